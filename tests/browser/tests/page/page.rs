//! The page in a window: actions of a person, and observations.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use browser::{Browser, Gpu, Window};
use serde_json::{Value, json};

use crate::worker::no_violations;
use crate::world::World;

/// A script that runs before the page's own scripts.
const WATCH: &str = include_str!("watch.js");

/// Longest wait for anything in the page, long enough for a busy machine.
const PATIENCE_SECONDS: f64 = 180.0;

/// A window of the page with its own folder of downloads.
pub(crate) struct Page<'a> {
    pub(crate) browser: Browser<'a>,
    downloads: tempfile::TempDir,
}

/// Times of the page's main thread, in ms.
pub(crate) struct Smoothness {
    /// The time between each frame and the next.
    pub(crate) gaps: Vec<f64>,
    /// The longest task; 0 if none took 50 ms.
    pub(crate) longest_task: f64,
}

impl Smoothness {
    /// The longest time between two frames.
    pub(crate) fn longest_gap(&self) -> f64 {
        self.gaps.iter().copied().fold(0.0, f64::max)
    }
}

impl fmt::Display for Smoothness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gap, frames, task) = (self.longest_gap(), self.gaps.len(), self.longest_task);
        write!(f, "longest gap {gap:.0} ms of {frames} frames, longest task of the main thread {task:.0} ms")
    }
}

/// The quantile: the value below which a share of the values lies. Between two values, it is the larger one.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (share * sorted.len() as f64) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

impl<'a> Page<'a> {
    /// Opens the page and waits for its model. `query` is appended to the address.
    pub(crate) fn open(world: &'a World, gpu: Gpu, query: &str) -> Result<Self> {
        let page = Self::blank(world, gpu)?;
        page.load(world, query)?;
        Ok(page)
    }

    /// A window that records frames and workers, before the page is loaded.
    pub(crate) fn blank(world: &'a World, gpu: Gpu) -> Result<Self> {
        let browser = Browser::open(&world.driver, gpu, [1280, 800])?;
        let downloads = tempfile::tempdir()?;
        browser
            .devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }))
            .context("cannot add the recording script")?;
        let folder = json!({ "behavior": "allow", "downloadPath": downloads.path() });
        browser
            .devtools("Browser.setDownloadBehavior", &folder)
            .context("cannot set the folder of downloads")?;
        Ok(Self { browser, downloads })
    }

    /// Loads the page and waits for its model.
    pub(crate) fn load(&self, world: &World, query: &str) -> Result<()> {
        self.browser.go(&format!("{}{query}", world.page))?;
        self.until("!$('model-details')?.hidden && $('model-stems').children.length > 0")
    }

    /// The value of a JavaScript expression in the page.
    pub(crate) fn value(&self, expression: &str) -> Result<Value> {
        self.browser.run(&format!("return {expression};"), &[])
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&self, condition: &str) -> Result<()> {
        let script = format!(
            "const end = performance.now() + 1000 * arguments[0];
             // While the document loads, its elements are missing.
             const holds = async () => {{ try {{ return Boolean({condition}); }} catch {{ return false; }} }};
             while (!(await holds())) {{
                 if (performance.now() > end) return {{ state: $('song')?.dataset.state, notices: notices() }};
                 await sleep(20);
             }}"
        );
        let late = self.browser.run(&script, &[PATIENCE_SECONDS.into()])?;
        if late.is_null() {
            return Ok(());
        }
        let console = self.browser.console()?.join("\n");
        anyhow::bail!("not within {PATIENCE_SECONDS} s: {condition}\n{late}\n{console}")
    }

    /// Fails unless an expression is true now.
    pub(crate) fn ensure(&self, condition: &str) -> Result<()> {
        let holds = self.value(&format!("Boolean({condition})"))?;
        ensure!(holds == true, "not true: {condition}; {}", self.value("document.body.innerText")?);
        Ok(())
    }

    /// Clicks on the control with a hook.
    pub(crate) fn click(&self, hook: &str) -> Result<()> {
        self.click_at(&format!("[data-test='{hook}']"))
    }

    /// Clicks on a control of a row of the mixer.
    pub(crate) fn click_in(&self, stem: &str, hook: &str) -> Result<()> {
        self.click_at(&format!("[data-stem='{stem}'] [data-test='{hook}']"))
    }

    fn click_at(&self, selector: &str) -> Result<()> {
        self.browser.click(&self.browser.find(selector)?).with_context(|| format!("a click on {selector}"))
    }

    /// Chooses a file in an input: `file` or `model-file`.
    pub(crate) fn give(&self, hook: &str, file: &Path) -> Result<()> {
        let input = self.browser.find(&format!("[data-test='{hook}']"))?;
        self.browser.type_into(&input, &file.to_string_lossy())
    }

    /// Chooses an entry of a list, as a person does.
    pub(crate) fn choose(&self, hook: &str, value: &str) -> Result<()> {
        let script = "const list = $(arguments[0]);
            list.value = arguments[1];
            list.dispatchEvent(new Event('change', { bubbles: true }));";
        self.browser.run(script, &[hook.into(), value.into()]).map(drop)
    }

    /// Adds a song to the page and waits until it was read.
    pub(crate) fn add(&self, song: &Path) -> Result<()> {
        let name = song.file_stem().context("a song with a name")?.to_string_lossy();
        self.give("file", song)?;
        self.until(&format!("$('song-title').textContent === {}", json!(name)))?;
        self.until("document.querySelector('#range-hint').hidden")
    }

    /// Separates the chosen song completely.
    pub(crate) fn separate(&self) -> Result<()> {
        self.until("!$('separate').disabled")?;
        self.click("separate")?;
        self.done()
    }

    /// Waits until the song is separated and its files can be downloaded.
    pub(crate) fn done(&self) -> Result<()> {
        self.until("$('song').dataset.state === 'done' && !$('download-zip').disabled")
    }

    /// Replaces the page's model.
    pub(crate) fn use_model(&self, file: &Path) -> Result<()> {
        let name = file.file_name().context("a model with a name")?.to_string_lossy();
        self.give("model-file", file)?;
        self.until(&format!("$('model-name').textContent.includes({})", json!(name)))
    }

    /// The bytes of the file that a click downloads, which must have this name.
    pub(crate) fn download(&self, click: impl FnOnce(&Self) -> Result<()>, name: &str) -> Result<Vec<u8>> {
        let path = self.downloads.path().join(name);
        click(self)?;
        let end = Instant::now() + Duration::from_secs_f64(PATIENCE_SECONDS);
        // The file gets its name when it is complete.
        while !path.exists() {
            if Instant::now() > end {
                let there: Vec<PathBuf> = fs::read_dir(self.downloads.path())?
                    .map(|entry| Ok(entry?.path()))
                    .collect::<Result<_>>()?;
                anyhow::bail!("no download {name}; {there:?}; {}", self.value("notices()")?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.until(&format!("$('download-note').textContent.startsWith({})", json!(name)))?;
        self.until("!$('download-zip').disabled")?;
        let bytes = fs::read(&path)?;
        fs::remove_file(&path)?;
        Ok(bytes)
    }

    /// The download of one stem.
    pub(crate) fn download_stem(&self, song: &str, stem: &str) -> Result<Vec<u8>> {
        self.download(|page| page.click_in(stem, "save"), &format!("{song} - {stem}.wav"))
    }

    /// Starts to record frames and tasks.
    pub(crate) fn watch(&self) -> Result<()> {
        self.browser.run("watch.begin();", &[]).map(drop)
    }

    /// The frames and tasks since [`Page::watch`].
    pub(crate) fn smoothness(&self) -> Result<Smoothness> {
        let seen = self.value("{ gaps: watch.gaps, task: Math.max(0, ...watch.tasks) }")?;
        let gaps: Vec<f64> = serde_json::from_value(seen["gaps"].clone())?;
        Ok(Smoothness { gaps, longest_task: seen["task"].as_f64().context("a number")? })
    }

    /// Closes the window. Fails if the page's policy was violated.
    pub(crate) fn end(self) -> Result<()> {
        let violations = self.value("watch.violations")?;
        ensure!(violations == json!([]), "{violations}");
        no_violations(&self.browser)
    }
}
