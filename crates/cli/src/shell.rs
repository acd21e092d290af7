//! `unbraid completions` and `unbraid man`: the arguments, described for shells and for manuals.

use std::io;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use unbraid_base::file::write_whole;

use crate::output::{notice, print};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// `command` describes the program.
    pub(crate) fn run(self, mut command: Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print(String::from_utf8(script)?.trim_end())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// Folder for a page per command, for example ~/.local/share/man/man1. Without it, the program's page is printed
    dir: Option<PathBuf>,
}

impl Manual {
    /// `command` describes the program.
    pub(crate) fn run(self, mut command: Command) -> anyhow::Result<()> {
        // Gives the commands their full names, such as unbraid-data-synth.
        command.build();
        let Some(dir) = &self.dir else {
            return print(String::from_utf8(page(&command)?)?.trim_end());
        };
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot create the folder {}", dir.display()))?;
        let pages = commands(&command);
        for command in &pages {
            let path = dir.join(Man::new((*command).clone()).get_filename());
            write_whole(&path, &page(command)?)
                .with_context(|| format!("cannot write the page {}", path.display()))?;
        }
        notice(format_args!("wrote {} pages to {}", pages.len(), dir.display()));
        Ok(())
    }
}

/// The command and all commands below it, without those for help.
fn commands(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|command| command.get_name() != "help");
    std::iter::once(command).chain(below.flat_map(commands)).collect()
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
