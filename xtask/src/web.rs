//! `cargo xtask web`: builds the page and serves it.

mod build;
mod serve;

use std::path::PathBuf;

use anyhow::Result;

pub(crate) use build::build;
pub(crate) use serve::Server;

use crate::cargo::{say, target_folder};

/// Commands for the page.
#[derive(clap::Subcommand)]
pub(crate) enum Web {
    /// Builds a folder that any static host can serve under any path
    Build {
        /// The folder; an earlier page in it is replaced. `target/web` if not given
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Builds the page and serves it to this machine only
    Serve {
        /// Port; 0 selects a free one
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
}

pub(crate) fn web(verb: Web) -> Result<()> {
    match verb {
        Web::Build { out } => {
            let out = out.map_or_else(folder, Ok)?;
            build(&out)?;
            say(&format!("The page is in {}.", out.display()));
        }
        Web::Serve { port } => {
            let out = folder()?;
            build(&out)?;
            let server = Server::bind(&out, port)?;
            say(&format!("The page: {} (Ctrl-C stops the server)", server.url()));
            server.run();
        }
    }
    Ok(())
}

/// The folder of the page, unless another one is given.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(target_folder()?.join("web"))
}
