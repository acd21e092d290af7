//! The flag `--device`.

use clap::Args;
use unbraid_ops::device::{self, Choice, DeviceError, DeviceInfo, DeviceKind};

use crate::advice::advised;
use crate::output::notice;

#[derive(Debug, Args)]
pub(crate) struct DeviceArgument {
    /// Device: auto, cpu, gpu, or gpu:N as `unbraid doctor` lists them. auto takes the best trusted GPU or the CPU, and
    /// never a software adapter
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = choice)]
    pub(crate) device: Choice,
}

/// The devices of a training run.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgument {
    #[command(flatten)]
    one: DeviceArgument,
    /// Train on several devices of this machine, separated by commas: 0,1 or gpu:0,gpu:1. Each takes an equal part of
    /// every batch, and needs the memory of that part
    #[arg(
        long, value_name = "DEVICE,…", value_delimiter = ',', value_parser = numbered, conflicts_with = "device"
    )]
    devices: Vec<Choice>,
}

impl DevicesArgument {
    /// The choices, at least one.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        if self.devices.is_empty() { vec![self.one.device] } else { self.devices.clone() }
    }

    /// The flag that makes the same choices.
    pub(crate) fn flag(&self) -> [String; 2] {
        let choices: Vec<String> = self.choices().iter().map(ToString::to_string).collect();
        ["--devices".into(), choices.join(",")]
    }
}

/// A device that was opened, and what is known about it.
pub(crate) type Opened = (burn::tensor::Device, DeviceInfo);

/// Opens devices and prints their names.
pub(crate) fn open_all(choices: &[Choice]) -> anyhow::Result<Vec<Opened>> {
    choices.iter().map(|choice| DeviceArgument { device: *choice }.open()).collect()
}

/// A device, or only the number of a GPU.
fn numbered(text: &str) -> Result<Choice, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    choice(&if is_number { format!("gpu:{text}") } else { text.to_owned() })
}

fn choice(text: &str) -> Result<Choice, &'static str> {
    text.parse().map_err(
        |_: DeviceError| "must be auto, cpu, gpu, or gpu:N with a number that `unbraid doctor` lists",
    )
}

impl DeviceArgument {
    /// Finds the device without opening it, and prints its name.
    pub(crate) fn find(&self) -> anyhow::Result<DeviceInfo> {
        let info = device::find(self.device)?;
        print_name(&info);
        Ok(info)
    }

    /// Opens the device and prints its name.
    pub(crate) fn open(&self) -> anyhow::Result<Opened> {
        let (device, info) = device::select(self.device)?;
        print_name(&info);
        Ok((device, info))
    }
}

fn print_name(info: &DeviceInfo) {
    notice(format_args!("device: {} ({})", info.name, info.kind));
    if let Some(warning) = warning(info) {
        notice(format_args!("warning: {warning}"));
    }
}

/// `--device gpu` takes a software adapter if there is nothing else, because tests need one.
fn warning(info: &DeviceInfo) -> Option<String> {
    (info.kind == DeviceKind::Software)
        .then(|| format!("{} is no GPU: it computes on the CPU, slower than `--device cpu`", info.name))
}

/// The error that the device refused memory, in this process. After it, other errors may follow that are not the cause.
pub(crate) fn out_of_memory() -> Option<anyhow::Error> {
    let refused = device::memory_refused()?;
    let advice = "Give a shorter `--segment`, or compute with `--device cpu`.";
    Some(advised(format_args!("the device does not have enough memory: {refused}"), advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_gpu() {
        assert_eq!(numbered("3"), Ok(Choice::Gpu(Some(3))));
        assert_eq!((numbered("gpu:3"), numbered("cpu")), (Ok(Choice::Gpu(Some(3))), Ok(Choice::Cpu)));
        assert!(numbered("").is_err() && numbered("-1").is_err() && numbered("cuda").is_err());
    }

    #[test]
    fn a_software_adapter_is_warned_about() {
        let cpu = device::find(Choice::Cpu).expect("the CPU is always there");
        assert_eq!(warning(&cpu), None);
        let name = "llvmpipe (LLVM 19.1.7, 256 bits)".to_owned();
        let software = DeviceInfo { name, kind: DeviceKind::Software, ..cpu };
        let text = warning(&software).expect("a warning");
        assert!(text.contains("llvmpipe") && text.contains("--device cpu"), "{text}");
    }
}
