use super::*;

fn usable() -> TrainConfig {
    TrainConfig {
        run: "runs/x".into(),
        data: "data/x".into(),
        model: "tfswa_unet_tiny".into(),
        ..Default::default()
    }
}

#[test]
fn every_file_in_configs_train_is_usable() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/train");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let config = TrainConfig::load(&path).unwrap();
        config.validate().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        config.model_config().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        files += 1;
    }
    assert!(files >= 3, "{files} files");
}

#[test]
fn toml_round_trip_keeps_every_field() {
    let config = TrainConfig { max_minutes: Some(2.5), validation_seconds: Some(30.0), ..usable() };
    assert_eq!(TrainConfig::from_toml(&config.to_toml()).unwrap(), config);
}

#[test]
fn an_unknown_field_is_named() {
    let error = TrainConfig::from_toml("batch_sise = 3").unwrap_err().to_string();
    assert!(error.contains("batch_sise"), "{error}");
}

#[test]
fn all_impossible_fields_are_named_at_once() {
    let config = TrainConfig {
        batch_size: 0,
        gain_range: [1.0, 0.5],
        loss_resolutions: vec![2048, 77],
        ema_decay: f64::NAN,
        ..usable()
    };
    let error = config.validate().unwrap_err().to_string();
    for field in ["batch_size", "gain_range", "loss_resolutions", "ema_decay"] {
        assert!(error.contains(field), "{field} missing in: {error}");
    }
    usable().validate().unwrap();
}

#[test]
fn a_segment_shorter_than_the_transform_is_refused() {
    let error = TrainConfig { segment_seconds: 0.01, ..usable() }.model_config().unwrap_err().to_string();
    assert!(error.contains("segment_seconds"), "{error}");
    let error = TrainConfig { model: "nonsense".into(), ..usable() }.model_config().unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
}

#[test]
fn resume_may_change_length_but_not_data() {
    let saved = usable();
    assert_eq!(TrainConfig { steps: 7, workers: 9, ..usable() }.differs_from(&saved), None);
    let difference = TrainConfig { batch_size: 9, ..usable() }.differs_from(&saved).unwrap();
    assert!(difference.contains("batch_size"), "{difference}");
}
