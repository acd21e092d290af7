//! The environment of the tests: Chromium's driver, the served page and the native program.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use browser::Driver;

/// A name and a function.
pub(crate) type Test = (&'static str, fn(&World) -> Result<()>);

/// The environment of every test.
pub(crate) struct World {
    pub(crate) driver: Driver,
    /// The page's address.
    pub(crate) page: String,
    /// The address of the page's sources, which include the tests of its scripts.
    pub(crate) sources: String,
    /// The native program.
    pub(crate) program: PathBuf,
    /// A folder for screenshots.
    pub(crate) shots: PathBuf,
    /// A temporary folder for songs and models.
    pub(crate) folder: tempfile::TempDir,
}

/// The error of a test that cannot run on this machine: what the machine lacks.
#[derive(Debug)]
pub(crate) struct Skipped(pub(crate) String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// The reason why the tests cannot run.
pub(crate) enum Unusable {
    /// This machine lacks something.
    Missing(String),
    /// Something is there and does not work, which is a failure.
    Broken(String),
}

impl World {
    /// Reads the environment and starts the driver.
    ///
    /// # Errors
    /// The reason why the tests cannot run.
    pub(crate) fn open() -> Result<Self, Unusable> {
        Driver::available().map_err(Unusable::Missing)?;
        let variable = |name: &str| {
            let missing = |_| Unusable::Missing(format!("{name} is not set; `cargo xtask test` sets it"));
            std::env::var(name).map_err(missing)
        };
        let [page, sources] = [variable("UNBRAID_PAGE")?, variable("UNBRAID_SOURCES")?];
        let [program, shots] = [variable("UNBRAID_PROGRAM")?, variable("UNBRAID_SHOTS")?];
        let driver = Driver::start().map_err(|error| Unusable::Broken(format!("{error:#}")))?;
        let folder = tempfile::tempdir().map_err(|error| Unusable::Broken(error.to_string()))?;
        std::fs::create_dir_all(&shots).map_err(|error| Unusable::Broken(format!("{shots}: {error}")))?;
        Ok(Self { driver, page, sources, program: program.into(), shots: shots.into(), folder })
    }
}
