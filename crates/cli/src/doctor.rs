//! `unbraid doctor`: the devices of this machine, and what a GPU lacks that is not among them.

mod vulkan;

use std::path::Path;

use clap::Args;
use serde::Serialize;
use unbraid_ops::device::{self, Choice, DeviceInfo, DeviceKind};

use crate::output::print;
use vulkan::{Finding, Probe};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct DeviceEntry {
    device: String,
    name: String,
    kind: String,
    backend: String,
    driver: String,
    driver_version: String,
    max_binding_bytes: Option<u64>,
    max_buffer_bytes: Option<u64>,
    workgroup_memory_bytes: Option<u32>,
    shader_f16: bool,
    subgroups: bool,
    timestamps: bool,
    trusted: bool,
    reason: Option<String>,
    /// Whether `--device auto` chooses this device.
    auto: bool,
}

impl DeviceEntry {
    fn of(info: DeviceInfo, auto: Option<Choice>) -> Self {
        Self {
            auto: auto == Some(info.choice),
            device: info.choice.to_string(),
            name: info.name,
            kind: info.kind.to_string(),
            backend: info.backend,
            driver: info.driver,
            driver_version: info.driver_version,
            max_binding_bytes: info.limits.map(|limits| limits.binding),
            max_buffer_bytes: info.limits.map(|limits| limits.buffer),
            workgroup_memory_bytes: info.limits.map(|limits| limits.workgroup_memory),
            // The CPU has f16 tensors, but training does not use them there.
            shader_f16: info.limits.is_some() && info.features.f16,
            subgroups: info.features.subgroups,
            timestamps: info.features.timestamps,
            trusted: info.trusted.is_ok(),
            reason: info.trusted.err(),
        }
    }

    fn lines(&self) -> String {
        let auto = if self.auto { "  ← auto" } else { "" };
        let mut lines = vec![format!("{:<6} {} ({}){auto}", self.device, self.name, self.kind)];
        if !self.driver.is_empty() {
            lines.push(format!("{} · {} {}", self.backend, self.driver, self.driver_version));
        }
        if let (Some(binding), Some(buffer)) = (self.max_binding_bytes, self.max_buffer_bytes) {
            let mib = |bytes: u64| bytes >> 20;
            lines.push(format!(
                "one tensor up to {} MiB, one buffer up to {} MiB",
                mib(binding),
                mib(buffer)
            ));
        }
        let features =
            [(self.shader_f16, "f16"), (self.subgroups, "subgroups"), (self.timestamps, "timestamps")];
        let features: Vec<_> = features.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        if !features.is_empty() {
            lines.push(features.join(", "));
        }
        lines.push(
            self.reason.as_ref().map_or_else(|| "trusted".into(), |reason| format!("not trusted: {reason}")),
        );
        lines.join("\n       ")
    }
}

#[derive(Debug, Serialize)]
struct Report {
    devices: Vec<DeviceEntry>,
    /// Why a GPU of this machine is not among the devices.
    findings: Vec<Finding>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let auto = device::select(Choice::Auto).ok().map(|(_, info)| info.choice);
        let devices = device::list();
        let is_gpu = |info: &DeviceInfo| !matches!(info.kind, DeviceKind::Cpu | DeviceKind::Software);
        let findings = if cfg!(target_os = "linux") && !devices.iter().any(is_gpu) {
            Probe::new(Path::new("/"), |name| std::env::var(name).ok()).findings()
        } else {
            Vec::new()
        };
        let devices = devices.into_iter().map(|info| DeviceEntry::of(info, auto)).collect();
        let report = Report { devices, findings };
        if self.json {
            return print(serde_json::to_string_pretty(&report)?);
        }
        let devices = report.devices.iter().map(DeviceEntry::lines);
        let findings = report.findings.iter();
        let findings = findings.map(|Finding { fact, advice }| format!("missing: {fact}\n         {advice}"));
        print(devices.chain(findings).collect::<Vec<_>>().join("\n"))
    }
}
