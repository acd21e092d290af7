//! Holds the kernel launches of training steps to a table. A change of the code that launches more kernels, or other
//! kernels, changes the table with it.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::fmt::Write;

use libtest_mimic::{Arguments, Completion, Trial};
use unbraid_ops::device::{self, Choice, DeviceError};
use unbraid_train::{MemoryPreset, TrainConfig, dry_run};

/// The table. It has the launches of llvmpipe, because other adapters may need copies that it does not need.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/launches.txt");

/// Writes the table instead of comparing with it.
const BLESS: &str = "UNBRAID_BLESS";

fn main() {
    let trial = Trial::ignorable_test("a_step_launches_the_kernels_of_the_table", || {
        let (device, info) = match device::select(Choice::Gpu(None)) {
            Ok(found) => found,
            Err(error @ DeviceError::Unavailable { .. }) => return Err(error.into()),
            Err(error) => return Ok(Completion::ignored_with(error)),
        };
        if !info.name.contains("llvmpipe") {
            return Ok(Completion::ignored_with(format!(
                "the table is llvmpipe's, and this is {}",
                info.name
            )));
        }
        let mut table =
            String::from("# Kernel launches of a training step. UNBRAID_BLESS=1 writes this file.\n");
        for (name, config) in settings() {
            let steps = dry_run(&config, 3, &device, |_| {}).unwrap();
            let launches = &steps[2].launches;
            writeln!(table, "\n{name}: {}", launches.values().sum::<u64>()).unwrap();
            for (kernel, count) in launches {
                writeln!(table, "  {count:>5}  {kernel}").unwrap();
            }
        }
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(TABLE, &table)?;
        }
        let expected = std::fs::read_to_string(TABLE)?;
        if expected != table {
            return Err(format!("expected\n{expected}\nbut the launches are\n{table}").into());
        }
        Ok(Completion::Completed)
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn settings() -> [(&'static str, TrainConfig); 2] {
    let plain =
        TrainConfig { model: "tfswa_unet".into(), batch_size: 1, segment_seconds: 2.5, ..Default::default() };
    let mut low = TrainConfig { segment_seconds: 6.0, ..plain.clone() };
    MemoryPreset::LowVram.apply(&mut low);
    [("tfswa_unet, 2.5 s", plain), ("tfswa_unet, 6 s, low-vram", low)]
}
