//! `isa`: compiles every shader that training and separation launch for a GPU that need not be there, and compares the
//! machine code with a table in the repository.
//!
//! Mesa's RADV, the driver of AMD's GPUs, offers a device without hardware if `RADV_FORCE_FAMILY` names a GPU. Two
//! processes share the work, because an environment selects one Vulkan driver: `shaders` records the shaders in dry runs
//! on a device that burn can open, and `compile` compiles them.

mod assembly;
mod driver;
mod kernels;
mod table;

use std::collections::BTreeMap;
use std::io::{Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use unbraid_ops::Shader;

use driver::Driver;
use table::{Differences, Row, Table};

/// The exit code if this machine lacks a driver. Standard error names it.
const CANNOT_RUN: u8 = 77;

/// Counts the instructions and registers of every shader, compiled for an AMD GPU that need not be there
///
/// The table in the repository has the numbers of one version of Mesa. With this version, a shader may have no more
/// instructions than in the table. With every version, no shader may spill registers or use scratch memory.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench isa", bin_name = "cargo xtask bench isa")]
struct Arguments {
    /// Replaces the table in the repository
    #[arg(long)]
    bless: bool,
    /// The GPU, by the name that RADV_FORCE_FAMILY takes: navi31, gfx1201, navi21, vega10, …
    #[arg(long, value_name = "GPU", default_value = "navi31", global = true)]
    family: String,
    /// Prints differences only
    #[arg(long)]
    quiet: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Prints the shaders as JSON
    #[command(hide = true)]
    Shaders,
    /// Reads shaders as JSON and prints the table as JSON
    #[command(hide = true)]
    Compile,
}

/// A shader between the two processes.
#[derive(Debug, Serialize, Deserialize)]
struct Passed {
    label: String,
    source: String,
    bindings: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.part {
        None => return compare(&arguments),
        Some(Part::Shaders) => print_shaders(),
        Some(Part::Compile) => print_table(&arguments.family),
    };
    outcome.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn print_shaders() -> Result<()> {
    let shaders = kernels::of_the_presets()?.into_iter();
    let shaders = shaders.map(|(label, Shader { source, bindings })| Passed {
        label: label.to_string(),
        source,
        bindings,
    });
    Ok(serde_json::to_writer(stdout(), &shaders.collect::<Vec<_>>())?)
}

fn print_table(family: &str) -> Result<()> {
    let shaders: Vec<Passed> = serde_json::from_reader(stdin())?;
    let driver = Driver::open()?;
    let row = |Passed { label, source, bindings }| {
        let row = driver.compile(&Shader { source, bindings }).and_then(|compiled| Row::of(&compiled));
        Ok((label.clone(), row.context(label)?))
    };
    let rows: Result<BTreeMap<String, Row>> = shaders.into_iter().map(row).collect();
    let table = Table { mesa: upstream(&driver.version).into(), family: family.into(), rows: rows? };
    Ok(serde_json::to_writer(stdout(), &table)?)
}

/// The version of Mesa without the name and the distribution's suffix: `Mesa 25.0.7-2~bpo12+1` → `25.0.7`.
fn upstream(version: &str) -> &str {
    let version = version.strip_prefix("Mesa ").unwrap_or(version);
    version.split(['-', ' ']).next().unwrap_or(version)
}

fn compare(arguments: &Arguments) -> ExitCode {
    let found = match (driver_file("radeon_icd"), driver_file("lvp_icd")) {
        (Some(radv), Some(llvmpipe)) => (radv, llvmpipe),
        _ => {
            eprintln!("Mesa's Vulkan drivers radv and llvmpipe are not installed");
            return CANNOT_RUN.into();
        }
    };
    match compared(arguments, &found) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

/// The manifest of a driver where distributions install it.
fn driver_file(name: &str) -> Option<PathBuf> {
    let files = std::fs::read_dir("/usr/share/vulkan/icd.d").ok()?;
    let mut files: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.sort();
    // Some distributions add the processor: `radeon_icd.x86_64.json`.
    files
        .into_iter()
        .find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
}

/// Whether the shaders are as good as the table says. Writes the table if `--bless` is given.
fn compared(arguments: &Arguments, (radv, llvmpipe): &(PathBuf, PathBuf)) -> Result<bool> {
    let mut shaders = part("shaders", llvmpipe)?;
    // The search for operations that burn can fuse is not needed, because burn's own kernels are not in the table.
    shaders.env("BURN_FUSION_MAX_EXPLORATIONS", "0");
    let shaders = finished(shaders.stdin(Stdio::null()), &[])?;
    let mut compile = part("compile", radv)?;
    compile.env("RADV_FORCE_FAMILY", &arguments.family).env("MESA_SHADER_CACHE_DISABLE", "true");
    let now = finished(compile.stdin(Stdio::piped()).args(["--family", &arguments.family]), &shaders)?;
    let now: Table = serde_json::from_slice(&now).context("the table")?;
    let spilling = now.spilling();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{}.txt", arguments.family));
    if !arguments.quiet {
        print!("{now}");
    }
    let tell = |lines: &[String]| lines.iter().for_each(|line| println!("{line}"));
    tell(&spilling);
    if arguments.bless {
        std::fs::write(&path, now.to_string()).with_context(|| path.display().to_string())?;
        println!("{} has {} shaders", path.display(), now.rows.len());
        return Ok(spilling.is_empty());
    }
    let known =
        std::fs::read_to_string(&path).with_context(|| format!("{}; --bless writes it", path.display()));
    let known = Table::read(&known?).with_context(|| path.display().to_string())?;
    let Differences { worse, other } = Differences::between(&known, &now);
    tell(&worse);
    tell(&other);
    let summary = |judgement: &str| {
        println!(
            "{} shaders, {} spill, {} worse than in the table, {} different{judgement}",
            now.rows.len(),
            spilling.len(),
            worse.len(),
            other.len()
        );
    };
    if known.mesa != now.mesa {
        summary(&format!(
            "; the table is of Mesa {} and this is {}, so only spills fail",
            known.mesa, now.mesa
        ));
        return Ok(spilling.is_empty());
    }
    summary(if worse.is_empty() && other.is_empty() { "" } else { "; --bless replaces the table" });
    Ok(spilling.is_empty() && worse.is_empty())
}

/// This program with a hidden verb, with one Vulkan driver.
fn part(verb: &str, driver: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    command.env("VK_DRIVER_FILES", driver).env_remove("VK_ICD_FILENAMES").stdout(Stdio::piped());
    command.arg(verb);
    Ok(command)
}

/// Standard output of a command that gets `input`.
fn finished(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command.spawn().context("cannot start a process")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).context("the process does not read")?;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "a process ended with {}", output.status);
    Ok(output.stdout)
}
