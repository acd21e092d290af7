//! The parsers of `unbraid import`.

use std::io::Cursor;
use std::sync::LazyLock;

use unbraid_import::{Checkpoint, Recognised, Settings};

/// The configuration of the networks in the good files.
static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let text = include_str!("../../../crates/import/tests/fixtures/network.yaml");
    Settings::parse(text).expect("a good configuration")
});

/// Reads the tensors of a checkpoint, recognises a network, and reads all values. Returns whether there are tensors.
pub(crate) fn parse(file: &[u8]) -> bool {
    let average = file.len().is_multiple_of(2);
    let Ok(checkpoint) = Checkpoint::read(Box::new(Cursor::new(file.to_vec())), average) else {
        return false;
    };
    for tensor in checkpoint.tensors.values() {
        tensor.values().ok();
    }
    if let Ok(recognised) = Recognised::new(checkpoint, None, &SETTINGS, "network", average) {
        for ours in recognised.parameters().keys() {
            recognised.values(ours, !average).ok();
        }
    }
    true
}

/// Parses a configuration.
pub(crate) fn parse_yaml(file: &[u8]) -> bool {
    Settings::parse(&String::from_utf8_lossy(file)).is_ok()
}
