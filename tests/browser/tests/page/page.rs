//! The page in a window: what a person does there, and what is seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use browser::{Browser, Gpu, Window};
use serde_json::{Value, json};

use crate::World;
use crate::worker::no_violations;

/// Runs before the page's own scripts.
const WATCH: &str = include_str!("watch.js");

/// What a busy machine may take for anything here; a page that hangs shows then.
const PATIENCE_SECONDS: f64 = 180.0;

/// A window of the page, with its downloads in a folder of its own.
pub(crate) struct Page<'a> {
    pub(crate) browser: Browser<'a>,
    downloads: tempfile::TempDir,
}

impl<'a> Page<'a> {
    /// Opens the page and waits for its model. `query` is what follows the address.
    pub(crate) fn open(world: &'a World, gpu: Gpu, query: &str) -> Result<Self> {
        let page = Self::blank(world, gpu)?;
        page.load(world, query)?;
        Ok(page)
    }

    /// A window that watches, before the page is loaded.
    pub(crate) fn blank(world: &'a World, gpu: Gpu) -> Result<Self> {
        let browser = Browser::open(&world.driver, gpu, [1280, 800])?;
        let downloads = tempfile::tempdir()?;
        browser
            .devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }))
            .context("no watch")?;
        let folder = json!({ "behavior": "allow", "downloadPath": downloads.path() });
        browser.devtools("Browser.setDownloadBehavior", &folder).context("no folder for downloads")?;
        Ok(Self { browser, downloads })
    }

    /// Loads the page and waits for its model.
    pub(crate) fn load(&self, world: &World, query: &str) -> Result<()> {
        self.browser.go(&format!("{}{query}", world.page))?;
        self.until("!$('model-details')?.hidden && $('model-stems').children.length > 0")
    }

    /// What an expression of JavaScript gives in the page.
    pub(crate) fn value(&self, expression: &str) -> Result<Value> {
        self.browser.run(&format!("return {expression};"), &[])
    }

    /// Waits until an expression holds.
    pub(crate) fn until(&self, condition: &str) -> Result<()> {
        let script = format!(
            "const end = performance.now() + 1000 * arguments[0];
             while (!({condition})) {{
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

    /// Demands that an expression holds now.
    pub(crate) fn ensure(&self, condition: &str) -> Result<()> {
        let holds = self.value(&format!("Boolean({condition})"))?;
        ensure!(holds == true, "not so: {condition}; {}", self.value("document.body.innerText")?);
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

    /// Gives a file to an input: `file` or `model-file`.
    pub(crate) fn give(&self, hook: &str, file: &Path) -> Result<()> {
        let input = self.browser.find(&format!("[data-test='{hook}']"))?;
        self.browser.type_into(&input, &file.to_string_lossy())
    }

    /// Chooses what a list shows, as a person does.
    pub(crate) fn choose(&self, hook: &str, value: &str) -> Result<()> {
        let script = "const list = $(arguments[0]);
            list.value = arguments[1];
            list.dispatchEvent(new Event('change', { bubbles: true }));";
        self.browser.run(script, &[hook.into(), value.into()]).map(drop)
    }

    /// Gives a song to the page and waits until it was read.
    pub(crate) fn add(&self, song: &Path) -> Result<()> {
        let name = song.file_stem().context("a song with a name")?.to_string_lossy();
        self.give("file", song)?;
        self.until(&format!("$('song-title').textContent === {}", json!(name)))?;
        self.until("document.querySelector('#range-hint').hidden")
    }

    /// Separates the chosen song to its end.
    pub(crate) fn separate(&self) -> Result<()> {
        self.until("!$('separate').disabled")?;
        self.click("separate")?;
        self.done()
    }

    /// Waits until the song is separated and its files can be had.
    pub(crate) fn done(&self) -> Result<()> {
        self.until("$('song').dataset.state === 'done' && !$('download-zip').disabled")
    }

    /// Uses another model than the page's own.
    pub(crate) fn use_model(&self, file: &Path) -> Result<()> {
        let name = file.file_name().context("a model with a name")?.to_string_lossy();
        self.give("model-file", file)?;
        self.until(&format!("$('model-name').textContent.includes({})", json!(name)))
    }

    /// The bytes of the file that a control gives, which must have this name.
    pub(crate) fn download(&self, click: impl FnOnce(&Self) -> Result<()>, name: &str) -> Result<Vec<u8>> {
        let path = self.downloads.path().join(name);
        click(self)?;
        let end = Instant::now() + Duration::from_secs_f64(PATIENCE_SECONDS);
        // It gets its name once it is whole.
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

    /// A stem's own download.
    pub(crate) fn download_stem(&self, song: &str, stem: &str) -> Result<Vec<u8>> {
        self.download(|page| page.click_in(stem, "save"), &format!("{song} - {stem}.wav"))
    }

    /// Begins to watch frames and tasks.
    pub(crate) fn watch(&self) -> Result<()> {
        self.browser.run("watch.begin();", &[]).map(drop)
    }

    /// The longest time between two frames since [`Page::watch`], in ms, with how many frames there were, and the
    /// longest task of the main thread, 0 where none took 50 ms.
    pub(crate) fn smoothness(&self) -> Result<(f64, u64, f64)> {
        let seen =
            self.value("{ worst: watch.worst, frames: watch.frames, task: Math.max(0, ...watch.tasks) }")?;
        let number = |name: &str| seen[name].as_f64().context("a number");
        Ok((number("worst")?, number("frames")? as u64, number("task")?))
    }

    /// Nothing may have offended against the page's policy.
    pub(crate) fn end(self) -> Result<()> {
        let violations = self.value("watch.violations")?;
        ensure!(violations == json!([]), "{violations}");
        no_violations(&self.browser)
    }
}
