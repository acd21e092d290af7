use super::*;

fn setting(kind: Kind, bounds: Bounds) -> Setting {
    Setting { bounds, ..Setting::new("some_name", "some-name", "group", "help", kind) }
}

#[test]
fn sizes_are_read() {
    assert_eq!(parse_bytes("8GB"), Some(8_000_000_000));
    assert_eq!(parse_bytes("1.5 GiB"), Some(1_610_612_736));
    assert_eq!(parse_bytes("800MB"), Some(800_000_000));
    assert_eq!(parse_bytes("42"), Some(42));
    for wrong in ["", "GB", "-1GB", "NaN", "8 gigabytes", "inf"] {
        assert_eq!(parse_bytes(wrong), None, "{wrong}");
    }
}

#[test]
fn every_kind_reads_its_own_text() {
    let choice = Kind::Choice(&["f32", "f16"]);
    for (kind, text) in [
        (Kind::Number, "0.05"),
        (Kind::Integer, "7"),
        (Kind::Bytes, "1000"),
        (Kind::Text, "a b"),
        (Kind::Path, "data/x"),
        (Kind::Path, " a folder "),
        (choice, "f16"),
        (Kind::Pair, "0.25,1.25"),
        (Kind::Integers, "4096,256"),
        (Kind::Texts, "encoder.*,mask"),
        (Kind::Texts, ""),
        (Kind::Weights, "spectral=0.5,waveform=1"),
        (Kind::Weights, ""),
    ] {
        let value = setting(kind, UNBOUNDED).parse(text);
        assert_eq!(value.as_ref().map(flag_text), Ok(text.into()), "{kind:?}");
    }
    let wrong = [
        (Kind::Integer, "1.5"),
        (Kind::Number, "nan"),
        (Kind::Number, "inf"),
        (Kind::Number, ""),
        (choice, "f64"),
        (Kind::Pair, "1"),
        (Kind::Pair, "1,2,3"),
        (Kind::Integers, "4,,5"),
        (Kind::Texts, "a,,b"),
        (Kind::Weights, "waveform"),
        (Kind::Weights, "waveform=1,waveform=2"),
    ];
    for (kind, text) in wrong {
        assert!(setting(kind, UNBOUNDED).parse(text).is_err(), "{kind:?} {text}");
    }
}

#[test]
fn a_refused_text_is_answered_with_the_accepted_values() {
    let refused = |kind, bounds, text| setting(kind, bounds).parse(text).unwrap_err();
    assert_eq!(refused(Kind::Integer, between(1.0, 4096.0), "x"), "must be an integer from 1 to 4096");
    assert_eq!(refused(Kind::Number, above_to(0.0, 1.0), "2"), "must be a number above 0 and at most 1");
    assert_eq!(refused(Kind::Choice(&["f32", "f16"]), UNBOUNDED, "x"), "must be f32 or f16");
    assert_eq!(
        refused(Kind::Pair, from_below(0.0, 1.0), "0.9,1"),
        "must be two numbers, each from 0 to below 1, with a comma between them"
    );
    assert!(refused(Kind::Bytes, UNBOUNDED, "x").contains("8GB"));
}

#[test]
fn numbers_of_single_precision_are_written_short() {
    assert_eq!(number_text(f64::from(0.7_f32)), "0.7");
    assert_eq!(number_text(0.7), "0.7");
    assert_eq!(number_text(5e-6), "5e-6");
}
