//! `unbraid report`: a page about one or several runs. `unbraid train` writes it at the end of a run.

mod chart;
mod excerpt;
mod history;
mod html;
mod page;
mod run;
mod spectrogram;

use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::tensor::Device;
use clap::Args;
use serde_json::json;
use unbraid_base::file::write_whole;
use unbraid_ops::device::DeviceInfo;
use unbraid_train::{RunFolder, TrainConfig};

use crate::device::DeviceArgument;
use crate::output::notice;
pub(crate) use history::History;
use run::Run;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folders of runs. Several are compared in the same charts
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page, by default report.html in the folder of the run, or in the working directory for several runs
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave out the excerpts: no song is separated
    #[arg(long)]
    no_excerpts: bool,
    #[command(flatten)]
    device: DeviceArgument,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runs: Vec<Run> = self.runs.iter().map(|path| Run::open(path)).collect::<anyhow::Result<_>>()?;
        let out = self.out.unwrap_or_else(|| match &runs[..] {
            [run] => run.folder.report(),
            _ => "report.html".into(),
        });
        let device = if self.no_excerpts { None } else { Some(self.device.open()?.0) };
        write(&runs, device.as_ref(), &out)
    }
}

/// Writes the page of a run that has ended, with excerpts if the run is `complete`. A failure is no failure of the run.
pub(crate) fn after_training(config: &TrainConfig, device: &Device, complete: bool) {
    let run = Run::open(&config.run);
    let written = run.and_then(|run| {
        let out = run.folder.report();
        write(&[run], complete.then_some(device), &out)
    });
    if let Err(error) = written {
        notice(format_args!("the report is not written: {error:#}"));
    }
}

/// Records the device of a run, for the page. It is no part of the run, so a failure is ignored.
pub(crate) fn record_device(config: &TrainConfig, info: &DeviceInfo) {
    let device = json!({ "name": info.name, "kind": info.kind.to_string() });
    write_whole(&RunFolder::new(&config.run).device(), device.to_string().as_bytes()).ok();
}

/// Writes the page. Excerpts that cannot be made are left out, and the page says why.
fn write(runs: &[Run], device: Option<&Device>, out: &Path) -> anyhow::Result<()> {
    let excerpts = match device {
        Some(device) => excerpt::section(runs, device).map_err(|error| format!("{error:#}")),
        None => Err("none were requested".to_owned()),
    };
    if let (Err(reason), Some(_)) = (&excerpts, device) {
        notice(format_args!("the report has no excerpts: {reason}"));
    }
    let page = page::page(runs, &excerpts);
    write_whole(out, page.as_bytes()).with_context(|| format!("cannot write {}", out.display()))?;
    notice(format_args!("report: {}", out.display()));
    Ok(())
}
