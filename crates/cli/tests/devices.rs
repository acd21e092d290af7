//! `unbraid train --devices`: several devices in one process. The CPU stands for all of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use common::{program, stderr_text, temporary};
use unbraid_train::Checkpoint;

const SETTINGS: &str = "train --data songs --model tfswa_unet_tiny --segment 0.5 --batch-size 4 --steps 2 \
                        --validation-interval 0 --checkpoint-interval 1";

#[test]
fn devices_share_a_batch() {
    let (_guard, folder) = temporary();
    let run = |arguments: &str| {
        let output = program(&folder, arguments).output().unwrap();
        (output.status.success(), stderr_text(&output))
    };
    assert!(run("data synth songs --tracks 2 --seconds 3 --seed 1").0);
    let (done, text) = run(&format!("{SETTINGS} --device cpu --out one"));
    assert!(done, "{text}");
    let (done, text) = run(&format!("{SETTINGS} --devices cpu,cpu --out two"));
    assert!(done && text.matches("device: ").count() == 2, "{text}");
    let moment = |name: &str| {
        let path = folder.join(name).join("checkpoints/step-000001.safetensors");
        let Checkpoint { moments: [first, _], .. } = Checkpoint::read(&path).unwrap();
        first
    };
    let (one, two) = (moment("one"), moment("two"));
    let largest = one.iter().fold(0f32, |m, x| m.max(x.abs()));
    let error = one.iter().zip(&two).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(largest > 0.0 && error < 1e-5 * largest, "{error} of {largest}");
    // The run continues with another number of devices.
    let (done, text) = run("train --resume --out two --device cpu --steps 3");
    assert!(done && text.contains("resuming after step 2") && text.contains("done: 3 steps"), "{text}");

    let (done, text) = run(&format!("{SETTINGS} --devices cpu,cpu,cpu --out three"));
    assert!(!done && text.contains("batch_size = 4 cannot be divided among 3 devices\nhelp: "), "{text}");
    assert!(!folder.join("three").exists());
    let (done, text) = run(&format!("{SETTINGS} --devices cpu,cuda --out three"));
    assert!(!done && text.contains("--devices <DEVICE,…>"), "{text}");
    let (done, text) = run(&format!("{SETTINGS} --devices 97,98 --out three"));
    assert!(!done && !folder.join("three").exists(), "{text}");
    let (done, text) = run(&format!("{SETTINGS} --devices cpu,cpu --device cpu --out three"));
    assert!(!done && text.contains("cannot be used with"), "{text}");
}
