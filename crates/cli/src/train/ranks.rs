//! `unbraid train --mpi`: the processes of an MPI job train one run.

use anyhow::{Context, ensure};
use unbraid_train::{Crew, Ranks, follow};

use super::Arguments;
use crate::device::open_all;
use crate::interrupt;
use crate::output::{be_quiet, error};
use crate::print_error;

/// Trains as one process of the job. The error of a process ends all of them.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let ranks = Ranks::start().context("MPI has been started before")?;
    let result = if ranks.rank() == 0 { lead(arguments, &ranks) } else { work(arguments, &ranks) };
    let Err(reason) = result else { return Ok(()) };
    error(format_args!("rank {} of {} failed, and the run ends", ranks.rank(), ranks.count()));
    print_error(&reason);
    ranks.abort()
}

fn lead(arguments: &Arguments, ranks: &Ranks) -> anyhow::Result<()> {
    interrupt::install();
    let config = arguments.settings()?;
    config.validate()?;
    let opened = open_all(share(arguments, ranks)?.as_slice())?;
    arguments.train(&config, &opened, |devices| Crew::leading(devices, ranks))
}

fn work(arguments: &Arguments, ranks: &Ranks) -> anyhow::Result<()> {
    interrupt::leave_to_others();
    be_quiet();
    let opened = open_all(share(arguments, ranks)?.as_slice())?;
    Ok(follow(ranks, opened.into_iter().map(|(device, _)| device).collect())?)
}

/// The devices of this process. All processes of a machine take the same one if only one is named.
fn share(arguments: &Arguments, ranks: &Ranks) -> anyhow::Result<Vec<unbraid_ops::device::Choice>> {
    let choices = arguments.devices.choices();
    let share = ranks.share(&choices).map(<[_]>::to_vec);
    if choices.len() == 1 {
        return Ok(choices);
    }
    let share = share.with_context(|| {
        format!("the processes of a machine cannot divide its {} devices equally", choices.len())
    })?;
    ensure!(!share.is_empty(), "there are more processes on a machine than devices");
    Ok(share)
}
