//! `unbraid train --mpi`: the processes of an MPI job train one run.

use anyhow::{Context, ensure};
use unbraid_ops::device::Choice;
use unbraid_train::{Ranks, follow};

use crate::advice::print_error;
use crate::device::{Opened, open_all};
use crate::interrupt;
use crate::output::{be_quiet, error};

/// Runs one process of the job with its share of the devices `choices`: `lead` in the first process, the steps of its
/// part of the batches in the others. The error of a process ends all of them.
pub(super) fn run(
    choices: &[Choice],
    lead: impl FnOnce(&Ranks, &[Opened]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let ranks = Ranks::start().context("MPI has been started before")?;
    let result = if ranks.rank() == 0 {
        interrupt::install();
        share(choices, &ranks).and_then(|own| lead(&ranks, &open_all(&own)?))
    } else {
        work(choices, &ranks)
    };
    let Err(reason) = result else { return Ok(()) };
    error(format_args!("rank {} of {} failed, and the run ends", ranks.rank(), ranks.count()));
    print_error(&reason);
    ranks.abort()
}

fn work(choices: &[Choice], ranks: &Ranks) -> anyhow::Result<()> {
    interrupt::leave_to_others();
    be_quiet();
    let opened = open_all(&share(choices, ranks)?)?;
    Ok(follow(ranks, opened.into_iter().map(|(device, _)| device).collect())?)
}

/// The devices of this process. All processes of a machine take the same one if only one is named.
fn share(choices: &[Choice], ranks: &Ranks) -> anyhow::Result<Vec<Choice>> {
    if choices.len() == 1 {
        return Ok(choices.to_vec());
    }
    let share = ranks.share(choices).with_context(|| {
        format!("the processes of a machine cannot divide its {} devices equally", choices.len())
    })?;
    ensure!(!share.is_empty(), "there are more processes on a machine than devices");
    Ok(share.to_vec())
}
