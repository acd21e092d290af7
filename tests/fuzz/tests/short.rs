//! A short campaign against every parser. The program `fuzz` runs long ones.

use clap::ValueEnum;
use fuzz::{Campaign, Target};
use libtest_mimic::{Arguments, Failed, Trial};

/// Files per parser. They take about a second.
const EXECUTIONS: u64 = 2_000;

fn main() {
    let mut arguments = Arguments::from_args();
    // Memory is measured for the whole process.
    arguments.test_threads = Some(1);
    fuzz::watch();
    let trial = |target: &Target| {
        let target = *target;
        Trial::test(format!("{target}_handles_mutated_files"), move || {
            let campaign = Campaign { target, seed: 1 };
            let worst = campaign.run(0..EXECUTIONS).map_err(|failure| Failed::from(failure.reason))?;
            // A corpus that is refused as a whole would test nothing behind the first check.
            if worst.accepted < EXECUTIONS / 100 {
                return Err(format!("only {} files were accepted", worst.accepted).into());
            }
            Ok(())
        })
    };
    let trials = Target::value_variants().iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit();
}
