use super::*;
use crate::tensors::named_shapes;
use tfswa::config::Positional;

fn tiny() -> ModelConfig {
    ModelConfig::standard("tfswa_unet_tiny").expect("a standard network")
}

fn own(config: &mut ModelConfig) -> &mut TfswaConfig {
    let FamilyConfig::TfswaUnet(own) = &mut config.family else { panic!("not a TFSWA network") };
    own
}

fn field_of(config: &ModelConfig) -> Option<&'static str> {
    match config.validate() {
        Ok(()) => None,
        Err(ModelConfigError::Field { field, .. }) => Some(field),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn standard_networks_are_valid_and_have_the_documented_size() {
    for name in STANDARD_NETWORKS {
        assert_eq!(ModelConfig::standard(name).unwrap().name, name);
    }
    let size = |name| ModelConfig::standard(name).unwrap().parameters();
    assert!((12_000_000..16_000_000).contains(&size("tfswa_unet")), "{}", size("tfswa_unet"));
    assert!((18_000_000..20_000_000).contains(&size("tfswa_unet_base")), "{}", size("tfswa_unet_base"));
    assert!((1_000_000..3_000_000).contains(&size("tfswa_unet_small")), "{}", size("tfswa_unet_small"));
    assert!(size("tfswa_unet_tiny") < 500_000, "{}", size("tfswa_unet_tiny"));
    assert_eq!(own(&mut tiny()).subbands, 16);
    assert!(matches!(
        ModelConfig::standard("../../etc/passwd"),
        Err(ModelConfigError::UnknownNetwork { .. })
    ));
}

#[test]
fn toml_round_trip_and_unknown_fields() {
    let text = toml::to_string(&tiny()).unwrap();
    assert!(text.contains("family = \"tfswa_unet\""), "{text}");
    assert_eq!(ModelConfig::from_toml(&text).unwrap(), tiny());
    let refused = |text: &str, words: &[&str]| {
        let error = ModelConfig::from_toml(text).unwrap_err();
        assert!(matches!(error, ModelConfigError::Syntax(_)), "{error}");
        let error = error.to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(&format!("{text}\nwindow = 3\n"), &["window"]);
    for field in ["hop_length", "dims", "positional"] {
        let without = |line: &&str| !line.starts_with(field);
        let text = text.lines().filter(without).collect::<Vec<_>>().join("\n");
        refused(&text, &["missing field", field]);
    }
    refused(&text.replace("tfswa_unet\"\nsubbands", "other\"\nsubbands"), &["other", "tfswa_unet"]);
    assert!(ModelConfig::from_toml(&text.replace("n_fft = ", "n_fft = -")).is_err());
}

#[test]
fn a_file_of_an_earlier_version_is_read() {
    let text = toml::to_string(&tiny()).unwrap();
    let family = "family = \"tfswa_unet\"";
    assert!(text.contains(family), "{text}");
    let earlier = text.replace(family, "tsa_chunk_size = 32\nfsa_chunk_size = 0");
    assert_eq!(ModelConfig::from_toml(&earlier).unwrap(), tiny());
}

/// The shared fields and the family's fields are parsed separately, and both keep their position in the text.
#[test]
fn errors_in_toml_name_the_line() {
    let text = toml::to_string(&tiny()).unwrap();
    for (field, bad) in [("sample_rate", "\"x\""), ("num_heads", "1.5"), ("positional", "\"y\"")] {
        let line = text.lines().position(|line| line.starts_with(field)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[line] = format!("{field} = {bad}");
        let error = ModelConfig::from_toml(&lines.join("\n")).unwrap_err().to_string();
        assert!(error.contains(&format!("line {}", line + 1)) && error.contains(bad), "{error}");
    }
    let error = ModelConfig::from_toml(&format!("{text}\nwindow = 3\n")).unwrap_err().to_string();
    assert!(error.contains(&format!("line {}", text.lines().count() + 2)), "{error}");
}

/// Weights files and checkpoints store the configuration as JSON.
#[test]
fn json_round_trip_and_unknown_fields() {
    let text = serde_json::to_string(&tiny()).unwrap();
    assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), tiny());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["family"], "tfswa_unet");
    let parse = |value| serde_json::from_value::<ModelConfig>(value).map_err(|error| error.to_string());
    assert_eq!(parse(value.clone()), Ok(tiny()));
    let mut unknown = value.clone();
    unknown["window"] = 3.into();
    assert!(parse(unknown).unwrap_err().contains("window"));
    for field in ["hop_length", "family", "dims"] {
        let mut missing = value.clone();
        missing.as_object_mut().unwrap().remove(field);
        assert!(parse(missing).unwrap_err().contains(field), "{field}");
    }
}

#[test]
fn every_field_is_bounded_and_named() {
    type Change = fn(&mut ModelConfig);
    let cases: [(&str, Change); 29] = [
        ("name", |c| c.name = String::new()),
        ("name", |c| c.name = "a/b".into()),
        ("stems", |c| c.stems.clear()),
        ("stems", |c| c.stems[0] = "../vocals".into()),
        ("stems", |c| c.stems[0] = "a".repeat(65)),
        ("stems", |c| c.stems[1] = c.stems[0].to_uppercase()),
        ("stems", |c| c.stems = (0..17).map(|i| format!("s{i}")).collect()),
        ("sample_rate", |c| c.sample_rate = 0),
        ("sample_rate", |c| c.sample_rate = u32::MAX),
        ("n_fft", |c| c.n_fft = 0),
        ("n_fft", |c| c.n_fft = 2047),
        ("n_fft", |c| c.n_fft = 1022),
        ("n_fft", |c| c.n_fft = usize::MAX),
        ("n_fft", |c| c.n_fft = 375),
        ("hop_length", |c| c.hop_length = 0),
        ("hop_length", |c| c.hop_length = c.n_fft / 4 + 1),
        ("subbands", |c| own(c).subbands = 0),
        ("subbands", |c| own(c).subbands = 3),
        ("dims", |c| own(c).dims.clear()),
        ("dims", |c| own(c).dims[0] = usize::MAX),
        ("dims", |c| own(c).dims[0] += 1),
        ("depths", |c| own(c).depths[0] = 0),
        ("depths", |c| own(c).depths[0] = usize::MAX),
        ("depths", |c| own(c).depths.push(1)),
        ("num_heads", |c| own(c).num_heads = 0),
        ("num_heads", |c| own(c).num_heads = own(c).dims[0]),
        ("window_size", |c| own(c).window_size = [0, 8]),
        ("window_size", |c| own(c).window_size = [8, usize::MAX]),
        ("mlp_ratio", |c| own(c).mlp_ratio = 0),
    ];
    for (index, (field, change)) in cases.into_iter().enumerate() {
        let mut config = tiny();
        change(&mut config);
        assert_eq!(field_of(&config), Some(field), "case {index}");
    }
}

#[test]
fn the_largest_fields_together_are_refused_by_parameter_count() {
    let mut config = tiny();
    let own = own(&mut config);
    own.dims = vec![1024; 6];
    own.depths = vec![32; 6];
    own.num_heads = 64;
    own.mlp_ratio = 8;
    assert!(
        matches!(config.validate(), Err(ModelConfigError::Size(parameters)) if parameters > MAX_PARAMETERS)
    );
}

#[test]
fn odd_head_width_is_allowed_without_rotary() {
    let mut config = tiny();
    let own = own(&mut config);
    own.num_heads = own.dims[0];
    own.dims = vec![own.dims[0]; own.dims.len()];
    own.positional = Positional::None;
    assert_eq!(field_of(&config), None);
}

#[test]
fn planes_of_the_default_network() {
    let config = ModelConfig::standard("tfswa_unet").unwrap();
    let planes = config.planes(6 * 44_100);
    assert_eq!(planes, [[520, 1024, 32], [260, 512, 64], [130, 256, 128], [65, 128, 256]]);
}

/// Weights files of every family name parameters by their path within the family's module.
#[test]
fn parameter_names_do_not_contain_the_variant() {
    let network = tiny().init(&Device::flex());
    let Network::TfswaUnet(inner) = &network else { panic!("not a TFSWA network") };
    assert_eq!(named_shapes(&network), named_shapes(inner));
    assert!(named_shapes(&network).contains_key("encoder.0.blocks.0.time.qkv.weight"));
}

#[test]
fn a_network_keeps_its_configuration_and_execution() {
    let execution = Execution { tsa_chunk_size: 3, ..Execution::default() };
    let network = tiny().init(&Device::flex());
    assert_eq!((network.config(), network.execution()), (tiny(), Execution::default()));
    assert_eq!(network.with_execution(execution).execution(), execution);
}
