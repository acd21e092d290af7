use super::*;
use crate::run::checkpoint::Best;
use crate::run::checkpoint::tests::checkpoint;

#[test]
fn the_newest_and_the_best_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path().join("checkpoints")).unwrap();
    for step in [100, 200, 300, 400, 1_000_000] {
        let mut checkpoint = checkpoint(step);
        checkpoint.state.best = (step >= 200).then_some(Best { step: 200, usdr: 1.0, csdr: None });
        checkpoints.save(&checkpoint, 2).unwrap();
    }
    assert_eq!(checkpoints.steps(), [200, 400, 1_000_000]);
}

#[test]
fn the_checkpoint_before_a_damaged_one_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path().to_path_buf()).unwrap();
    for step in [1, 2, 3] {
        checkpoints.save(&checkpoint(step), 5).unwrap();
    }
    let cut = std::fs::read(checkpoints.path(3)).unwrap();
    std::fs::write(checkpoints.path(3), &cut[..cut.len() - 5]).unwrap();
    let mut flipped = std::fs::read(checkpoints.path(2)).unwrap();
    let at = flipped.len() - 10;
    flipped[at] ^= 4;
    std::fs::write(checkpoints.path(2), flipped).unwrap();
    std::fs::write(dir.path().join(".unbraid-xyz.part"), "half").unwrap();

    let checkpoints = Checkpoints::open(dir.path().to_path_buf()).unwrap();
    let mut reported = Vec::new();
    let found = checkpoints.newest(|message| reported.push(message.to_string())).unwrap();
    assert_eq!(found, checkpoint(1));
    assert!(
        reported.len() == 2 && reported[0].contains("step-000003") && reported[1].contains("checksum"),
        "{reported:?}"
    );
    assert_eq!(checkpoints.steps(), [1]);
    assert!(!dir.path().join(".unbraid-xyz.part").exists());
}
