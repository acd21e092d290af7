use burn::tensor::{Device, Distribution, Tensor};

use crate::family::roformer::bands::Bands;
use crate::family::roformer::config::RoformerConfig;
use crate::{FamilyConfig, ModelConfig, ModelConfigError, named_shapes};

fn standard(name: &str) -> ModelConfig {
    ModelConfig::standard(name).expect("a standard network")
}

fn changed(name: &str, change: impl Fn(&mut RoformerConfig)) -> ModelConfig {
    let config = standard(name);
    let mut own = config.family.roformer().expect("a RoFormer").clone();
    change(&mut own);
    // The family of the file, also if the bands do not fit it.
    let family = match config.family {
        FamilyConfig::BsRoformer(_) => FamilyConfig::BsRoformer(own),
        _ => FamilyConfig::MelBandRoformer(own),
    };
    ModelConfig { family, ..config }
}

fn refused_field(config: &ModelConfig) -> &'static str {
    match config.validate() {
        Err(ModelConfigError::Field { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn standard_networks_have_the_public_sizes() {
    let millions = |name| standard(name).parameters() as f64 / 1e6;
    let [bs, mel, small] = ["bs_roformer", "mel_band_roformer", "bs_roformer_small"].map(millions);
    assert!((90.0..110.0).contains(&bs), "{bs}");
    assert!((225.0..232.0).contains(&mel), "{mel}");
    assert!(small < 6.0, "{small}");
    assert_eq!(standard("bs_roformer").planes(8 * 44_100), [[801, 62, 384]]);
}

#[test]
fn toml_round_trip_of_both_families() {
    for name in ["bs_roformer", "mel_band_roformer"] {
        let text = toml::to_string(&standard(name)).unwrap();
        assert!(text.contains(&format!("family = \"{name}\"")), "{text}");
        assert_eq!(ModelConfig::from_toml(&text).unwrap(), standard(name));
        let error = ModelConfig::from_toml(&format!("{text}\nlinear_depth = 1\n")).unwrap_err().to_string();
        assert!(error.contains("linear_depth"), "{error}");
    }
    let text =
        toml::to_string(&standard("mel_band_roformer")).unwrap().replace("bands = 60", "bands = \"x\"");
    let error = ModelConfig::from_toml(&text).unwrap_err().to_string();
    assert!(error.contains("the number of bins of each band"), "{error}");
}

#[test]
fn every_field_is_bounded_and_named() {
    type Change = fn(&mut RoformerConfig);
    let cases: [(&str, Change); 17] = [
        ("bands", |c| c.bands = Bands::Mel(60)),
        ("bands", |c| c.bands = Bands::Bins(vec![1025])),
        ("bands", |c| c.bands = Bands::Bins(vec![1000, 24])),
        ("bands", |c| c.bands = Bands::Bins(vec![1025, 0])),
        ("bands", |c| c.bands = Bands::Bins(vec![usize::MAX, usize::MAX])),
        ("dim", |c| c.dim = 0),
        ("dim", |c| c.dim = usize::MAX),
        ("depth", |c| c.depth = 0),
        ("time_depth", |c| c.time_depth = 0),
        ("frequency_depth", |c| c.frequency_depth = usize::MAX),
        ("num_heads", |c| c.num_heads = 0),
        ("head_width", |c| c.head_width = 129),
        ("head_width", |c| c.head_width = 63),
        ("mask_depth", |c| c.mask_depth = 0),
        ("mask_depth", |c| c.mask_depth = usize::MAX),
        ("mask_expansion", |c| c.mask_expansion = 0),
        ("mask_expansion", |c| c.mask_expansion = usize::MAX),
    ];
    for (index, (field, change)) in cases.into_iter().enumerate() {
        assert_eq!(refused_field(&changed("bs_roformer", change)), field, "case {index}");
    }
    for bands in [Bands::Bins(vec![1000, 25]), Bands::Mel(1), Bands::Mel(500), Bands::Mel(usize::MAX)] {
        let config = changed("mel_band_roformer", |own| own.bands = bands.clone());
        assert_eq!(refused_field(&config), "bands", "{bands:?}");
    }
}

#[test]
fn the_largest_fields_together_are_refused_by_parameter_count() {
    let config = changed("bs_roformer", |own| {
        (own.dim, own.depth, own.time_depth, own.frequency_depth) = (1024, 64, 8, 8);
        (own.num_heads, own.head_width, own.mask_depth, own.mask_expansion) = (64, 128, 4, 8);
    });
    assert!(matches!(config.validate(), Err(ModelConfigError::Size(_))));
}

#[test]
fn the_network_keeps_its_configuration() {
    for name in ["bs_roformer_small", "mel_band_roformer"] {
        let network = standard(name).init(&Device::flex());
        assert_eq!(network.config(), standard(name));
        assert!(named_shapes(&network).contains_key("layers.0.frequency.blocks.0.gates.bias"));
    }
}

/// A mono network separates the channels of a mixture independently of each other.
#[test]
fn a_mono_network_separates_each_channel() {
    let device = Device::flex();
    device.seed(3);
    let config = changed("bs_roformer_small", |own| (own.stereo, own.depth) = (false, 1));
    let network = config.init(&device);
    let mixture = Tensor::<3>::random([1, 2, 4000], Distribution::Normal(0.0, 0.1), &device);
    let stems = network.forward(mixture.clone());
    assert_eq!(stems.dims(), [1, 4, 2, 4000]);
    let swapped = network.forward(mixture.flip([1])).flip([2]);
    assert_eq!(stems.into_data(), swapped.into_data());
}
