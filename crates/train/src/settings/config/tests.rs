use super::*;
use crate::settings::setting::Kind;
use std::path::Path;
use toml::{Table, Value};

fn usable() -> TrainConfig {
    TrainConfig {
        run: "runs/x".into(),
        data: "data/x".into(),
        model: "tfswa_unet_tiny".into(),
        ..Default::default()
    }
}

/// Usable settings in which every optional one is set.
fn complete() -> TrainConfig {
    TrainConfig {
        memory_limit: Some(8_000_000_000),
        n_fft: Some(1024),
        hop_length: Some(256),
        max_minutes: Some(2.5),
        validation_seconds: Some(30.0),
        validation_songs: vec!["a song".into()],
        stems_map: [("guitar".into(), "other".into())].into(),
        init: Some("a.safetensors".into()),
        freeze: vec!["encoder.*".into()],
        stem_weights: BTreeMap::from([("vocals".into(), 2.0)]),
        ..usable()
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
fn the_toml_form_keeps_every_setting() {
    let config = complete();
    assert_eq!(TrainConfig::from_toml(&config.to_toml()).unwrap(), config);
    assert_eq!(TrainConfig::from_toml(&usable().to_toml()).unwrap(), usable());
    assert_eq!(TrainConfig::default().with_values(config.to_table().unwrap()).unwrap(), config);
    let table = config.to_table().unwrap();
    assert_eq!(table.len(), SETTINGS.len());
    assert!(SETTINGS.iter().all(|setting| table.contains_key(setting.name)));
}

#[test]
fn an_unknown_setting_is_named() {
    let error = TrainConfig::from_toml("batch_sise = 3").unwrap_err().to_string();
    assert!(error.contains("batch_sise"), "{error}");
}

#[test]
fn weights_of_the_loss_are_read_in_their_earlier_form_too() {
    let weights = |text: &str| TrainConfig::from_toml(text).unwrap().loss;
    let expected =
        |waveform, spectral| BTreeMap::from([("waveform".into(), waveform), ("spectral".into(), spectral)]);
    assert_eq!(weights("loss_spectral = 0.5\nseed = 1"), expected(1.0, 0.5));
    assert_eq!(weights("loss_waveform = 2.0\nloss_spectral = 0.0"), expected(2.0, 0.0));
    assert_eq!(weights("seed = 1\n[loss]\nspectral = 0.5"), BTreeMap::from([("spectral".into(), 0.5)]));
    let both = TrainConfig::from_toml("loss_spectral = 0.5\n[loss]\nspectral = 0.5").unwrap_err();
    assert!(both.to_string().contains("loss_spectral"), "{both}");
}

#[test]
fn all_problems_are_reported_at_once() {
    let config = TrainConfig {
        model: String::new(),
        batch_size: 0,
        gain_range: [1.0, 0.5],
        loss: BTreeMap::new(),
        loss_resolutions: vec![2048, 77, 2046],
        learning_rate: 1e-6,
        ema_decay: f64::NAN,
        max_minutes: Some(0.0),
        ..usable()
    };
    let error = config.validate().unwrap_err().to_string();
    for problem in [
        "model is missing",
        "batch_size = 0: it must be an integer from 1 to 4096",
        "gain_range = [1, 0.5]",
        "loss:",
        "loss_resolutions = [2048, 77, 2046]: it must be a list of integers, each from 256 to 4096",
        "loss_resolutions: n_fft 2046",
        "final_learning_rate",
        "ema_decay = NaN: it must be a number from 0 to below 1",
        "max_minutes = 0: it must be a number above 0",
    ] {
        assert!(error.contains(problem), "{problem} is missing in: {error}");
    }
    usable().validate().unwrap();
    complete().validate().unwrap();
}

/// Values outside the bounds of every setting with bounds are found.
#[test]
fn every_bound_is_checked() {
    let table = complete().to_table().unwrap();
    for setting in SETTINGS.iter().filter(|setting| setting.bounds_text().is_some()) {
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
            let value = match &table[setting.name] {
                Value::Array(values) if values.len() == 2 => Value::Array(vec![Value::Float(wrong); 2]),
                Value::Array(_) => Value::Array(vec![Value::Float(wrong)]),
                Value::Table(_) => Value::Table(Table::from_iter([("waveform".into(), Value::Float(wrong))])),
                _ => Value::Float(wrong),
            };
            let open = wrong == 1e30 && matches!(setting.bounds.1, std::ops::Bound::Unbounded);
            assert_eq!(setting.allows(&value), open, "{} = {value}", setting.name);
        }
    }
}

#[test]
fn every_choice_is_a_value_and_every_default_is_within_its_bounds() {
    let defaults = TrainConfig::default().to_table().unwrap();
    for setting in SETTINGS {
        if let Kind::Choice(names) = setting.kind {
            for name in names {
                let values = Table::from_iter([(setting.name.into(), setting.parse(name).unwrap())]);
                let config = usable().with_values(values).unwrap();
                assert_eq!(config.to_table().unwrap()[setting.name].as_str(), Some(*name));
            }
        }
        assert!(defaults.get(setting.name).is_none_or(|value| setting.allows(value)), "{}", setting.name);
    }
}

#[test]
fn names_and_flags_are_unique() {
    let mut seen = std::collections::HashSet::new();
    for setting in SETTINGS {
        assert!(seen.insert(setting.flag), "{}", setting.flag);
        assert!(setting.flag == setting.kebab_name || seen.insert(setting.kebab_name), "{}", setting.name);
        assert!(setting.help.ends_with('.') && !setting.help.contains("  "), "{}", setting.help);
    }
}

#[test]
#[cfg(unix)]
fn a_path_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let run = std::ffi::OsStr::from_bytes(b"runs/caf\xe9").into();
    let error = TrainConfig { run, ..usable() }.validate().unwrap_err().to_string();
    assert!(error.contains("run: the path is not UTF-8"), "{error}");
}

#[test]
fn a_segment_shorter_than_the_transform_is_refused() {
    let error = TrainConfig { segment_seconds: 0.01, ..usable() }.model_config().unwrap_err().to_string();
    assert!(error.contains("segment_seconds"), "{error}");
    let error = TrainConfig { model: "nonsense".into(), ..usable() }.model_config().unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
}

/// Another value of the same type.
fn changed(name: &str, value: &Value) -> Value {
    match value {
        Value::Integer(number) => Value::Integer(number + 1),
        Value::Float(number) => Value::Float(number + 0.25),
        Value::Array(values) => {
            let mut values = values.clone();
            values[0] = changed(name, &values[0]);
            Value::Array(values)
        }
        Value::Table(values) => {
            Value::Table(values.iter().map(|(key, value)| (key.clone(), changed(name, value))).collect())
        }
        Value::String(text) => {
            let kind = SETTINGS.iter().find(|setting| setting.name == name).unwrap().kind;
            Value::String(match kind {
                Kind::Choice(names) => names.iter().find(|name| *name != text).unwrap().to_string(),
                _ => format!("{text}-other"),
            })
        }
        other => panic!("{name} = {other}"),
    }
}

/// A new setting is refused on resume until it is declared with `may_change_on_resume`.
#[test]
fn every_setting_must_be_equal_on_resume_except_the_declared_ones() {
    let saved = complete();
    assert_eq!(saved.differs_from(&saved), None);
    for (name, value) in saved.to_table().unwrap() {
        let values = Table::from_iter([(name.clone(), changed(&name, &value))]);
        let difference = saved.with_values(values).unwrap().differs_from(&saved);
        let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
        match difference {
            Some(text) => assert!(!setting.may_change_on_resume && text.starts_with(&name), "{text}"),
            None => assert!(setting.may_change_on_resume, "{name}"),
        }
    }
    // An optional setting that is no longer set is a change too.
    let unset = TrainConfig { validation_seconds: None, ..saved.clone() };
    assert_eq!(unset.differs_from(&saved).unwrap(), "validation_seconds is not set, was 30");
}

/// The whole list, so that an addition to it is a decision.
#[test]
fn these_settings_may_change_on_resume() {
    let free = SETTINGS.iter().filter(|setting| setting.may_change_on_resume).map(|setting| setting.name);
    let mut free: Vec<_> = free.collect();
    free.sort_unstable();
    assert_eq!(
        free,
        [
            "best_metric",
            "checkpoint_interval",
            "data",
            "decay_factor",
            "decay_interval",
            "early_stop",
            "final_learning_rate",
            "freeze",
            "fsa_chunk_size",
            "hop_length",
            "init",
            "keep_checkpoints",
            "learning_rate",
            "log_interval",
            "max_minutes",
            "memory_limit",
            "micro_batch_size",
            "model",
            "n_fft",
            "plateau_patience",
            "precision",
            "prefetch",
            "recompute",
            "run",
            "schedule",
            "stall_steps",
            "steps",
            "tsa_chunk_size",
            "validation_interval",
            "validation_time_share",
            "warmup_steps",
            "workers",
        ]
    );
}
