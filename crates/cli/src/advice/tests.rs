use super::*;
use anyhow::Context;

fn of(error: impl Into<anyhow::Error>) -> String {
    advice(&error.into()).unwrap_or_default().to_owned()
}

#[test]
fn a_cause_is_reported_once() {
    let missing = std::path::Path::new("no/such.toml");
    let loaded = unbraid_train::TrainConfig::load(missing).context("there is no run to resume");
    let error = loaded.expect_err("there is no such file");
    let cause = error.root_cause().to_string();
    let expected = format!("there is no run to resume: cannot read the settings no/such.toml: {cause}");
    assert_eq!(fact(&error), expected);
}

#[test]
fn errors_get_the_flags_that_help() {
    assert!(of(TrainError::RunExists("run".into())).contains("--resume"));
    assert!(of(TrainError::NoF16).contains("--precision f32"));
    assert!(of(TrainError::Device("lost".into())).contains("--device cpu"));
    assert!(of(DeviceError::NoAdapter).contains("--device cpu"));
    assert!(of(DeviceError::NoSuchAdapter { index: 7, count: 1 }).contains("unbraid doctor"));
    assert!(of(SeparateError::NotFinite { seconds: 1.0 }).contains("--device cpu"));
    assert!(of(SynthError::NotEmpty("x".into())).contains("empty folder"));
    assert!(of(ConfigError::Invalid(Vec::new())).contains("unbraid settings"));
    assert_eq!(of(SeparateError::Block { left: 1, right: 2 }), "");
    assert!(of(TrainError::Locked("run".into())).contains("--out DIR"));
    assert!(of(TrainError::SettingsLost("run".into())).contains("--config"));
    assert!(of(TrainError::Freeze(unbraid_train::FreezeError::Everything)).contains("--freeze"));
    assert!(of(TrainError::Parts { batch: 3, parts: 2 }).contains("--batch-size"));
    let (theirs, ours) = ("a".to_owned(), "b".to_owned());
    assert!(of(TrainError::NothingFits { path: "w".into(), theirs, ours }).contains("--init"));
    let later = WeightsError { path: None, reason: Reason::LaterFormat { format: 9 } };
    assert!(of(later).starts_with("Update"));
    assert!(of(ImportError::Lora("x".into())).contains("--lora"));
    let fault = "is too large for 16 bits";
    assert!(of(ImportError::Value { name: "x".into(), fault }).contains("--precision f32"));
}

#[test]
fn advice_is_found_within_other_errors() {
    assert_eq!(
        of(TrainError::Data(DataError::NoFolder { folder: "x".into(), working_directory: None })),
        DATA_LAYOUT
    );
    let empty = AudioError { path: None, problem: Problem::Empty };
    assert!(of(TrainError::Data(empty.into())).contains("download"));
    let song =
        EvaluateError::Separate { song: "a".into(), source: SeparateError::NotFinite { seconds: 1.0 } };
    assert!(of(TrainError::Validation(song)).contains("--device cpu"));
    let nested = Err::<(), _>(TrainError::RunExists("run".into())).context("outer").context("outermost");
    assert!(of(nested.unwrap_err()).contains("--out DIR"));
}

/// The first fault with advice gives that of the list.
#[test]
fn faults_of_a_data_set_get_advice_about_names() {
    let missing = |similar: Option<&str>| DataError::MissingStem {
        folder: "songs/a".into(),
        stem: "bass".into(),
        files: vec!["bass.wav".into()],
        similar: similar.map(str::to_owned),
    };
    assert_eq!(of(missing(None)), DATA_LAYOUT);
    let faults = vec![missing(Some("Bass.wav")), missing(None)];
    assert!(of(DataError::Faults { folder: "songs".into(), faults, more: 0 }).starts_with("Rename"));
}

/// A run that goes on needs the same songs.
#[test]
fn a_song_that_breaks_a_run_is_to_be_replaced() {
    let audio = || DataError::from(AudioError { path: None, problem: Problem::NonFinite { seconds: 1.0 } });
    assert!(of(TrainError::Song { step: 7, source: audio() }).contains("--resume"));
    assert!(of(TrainError::Validation(EvaluateError::Data(audio()))).contains("--resume"));
    assert!(!of(TrainError::Data(audio())).contains("--resume"));
}

#[test]
fn own_advice_comes_first_and_is_not_part_of_the_fact() {
    let error = advised("a fact", "some advice").context("outer");
    assert_eq!(advice(&error), Some("some advice"));
    assert_eq!(format!("{error:#}"), "outer: a fact");
}

#[test]
fn an_error_without_advice_has_none() {
    assert_eq!(advice(&anyhow::anyhow!("unknown")), None);
}
