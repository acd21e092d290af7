//! The dashboard of `unbraid train` on a pseudo-terminal, which `script` (util-linux) makes and `vt100` emulates.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

const NETWORK: &str = "family = 'tfswa_unet'\nname = 'small'\nstems = ['drums', 'bass', 'other', 'vocals']\n\
    sample_rate = 44100\nn_fft = 1024\nhop_length = 256\nsubbands = 8\ndims = [8, 8]\ndepths = [1, 1]\n\
    num_heads = 2\nwindow_size = [4, 4]\nmlp_ratio = 2\npositional = 'rotary'\n";

const TRAIN: &str = "train --device cpu --data songs --model small.toml --segment 0.25 --batch-size 1 \
    --validation-interval 5 --validation-share 0.5 --validation-seconds 1 --validation-time-share 0.2";

/// A program on a terminal of 30 rows.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts `unbraid` with `arguments`. `None` if there is no `script`.
    fn start(folder: &Path, arguments: &str, columns: u16) -> Option<Self> {
        let program = env!("CARGO_BIN_EXE_unbraid");
        let command = format!("tty; stty rows 30 cols {columns}; exec {program} {arguments}");
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"]);
        script.current_dir(folder).env("TERM", "xterm").env_remove("NO_COLOR");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut child) = script.spawn() else {
            eprintln!("skipped: there is no `script`");
            return None;
        };
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut pipe, sink) = (child.stdout.take().unwrap(), Arc::clone(&output));
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut block) {
                sink.lock().unwrap().extend_from_slice(&block[..count]);
            }
        });
        let keyboard = child.stdin.take().unwrap();
        Some(Self { child, keyboard, output })
    }

    fn bytes(&self) -> Vec<u8> {
        self.output.lock().unwrap().clone()
    }

    /// The screen after all output so far, with another width from byte `change` on.
    fn screen(&self, columns: u16, change: Option<(usize, u16)>) -> vt100::Parser {
        let bytes = self.bytes();
        let mut parser = vt100::Parser::new(30, columns, 1000);
        match change {
            Some((at, narrow)) => {
                parser.process(&bytes[..at]);
                parser.screen_mut().set_size(30, narrow);
                parser.process(&bytes[at..]);
            }
            None => parser.process(&bytes),
        }
        parser
    }

    fn text(&self, columns: u16, change: Option<(usize, u16)>) -> String {
        rows(&self.screen(columns, change))
    }

    fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            let ended = self.child.try_wait().unwrap().is_some();
            let output = String::from_utf8_lossy(&self.bytes()).into_owned();
            assert!(!ended && began.elapsed() < PATIENCE, "{what}:\n{output}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The exit code.
    fn end(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // The last output is on its way.
                std::thread::sleep(Duration::from_millis(100));
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&self.bytes()));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The rows of the screen. A line that wraps has several.
fn rows(parser: &vt100::Parser) -> String {
    let columns = parser.screen().size().1;
    parser.screen().rows(0, columns).collect::<Vec<_>>().join("\n")
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lab() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.toml"), NETWORK).unwrap();
    let mut synth = Command::new(env!("CARGO_BIN_EXE_unbraid"));
    synth.args("data synth songs --tracks 3 --seconds 4 --seed 1".split(' ')).current_dir(folder.path());
    assert!(synth.stderr(Stdio::null()).status().unwrap().success());
    folder
}

/// The rows of the screen that the dashboard draws.
fn drawn(text: &str) -> Vec<&str> {
    let is_drawn = |row: &&str| {
        ["loss ", "lowest ", "rate ", "uSDR ", "bass "].iter().any(|label| row.starts_with(label))
            || row.starts_with("step ") && row.ends_with(" left")
    };
    text.lines().filter(is_drawn).collect()
}

#[test]
fn the_dashboard_draws_shrinks_and_leaves_a_clean_terminal() {
    let folder = lab();
    let Some(mut terminal) =
        Terminal::start(folder.path(), &format!("{TRAIN} --out run --steps 100000"), 100)
    else {
        return;
    };
    terminal.until("a curve and scores", |terminal| {
        let text = terminal.text(100, None);
        drawn(&text).len() == 6 && text.contains('─') && text.contains("dB, best")
    });
    let text = terminal.text(100, None);
    assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{text}");
    // Messages stay above it.
    let message = text.find("validation at step ").expect("a message");
    let curve = text.lines().position(|row| row.starts_with("loss ")).unwrap();
    assert!(text.lines().skip(curve).all(|row| !row.starts_with("validation at step ")), "{text}");
    assert!(message < text.find("loss ").unwrap(), "{text}");

    let tty = String::from_utf8_lossy(&terminal.bytes()).lines().next().unwrap().trim().to_owned();
    let resized = Command::new("stty").args(["-F", &tty, "cols", "60"]).status().unwrap();
    assert!(resized.success());
    let change = Some((terminal.bytes().len(), 60));
    let before = terminal.text(100, None);
    terminal.until("another drawing", |terminal| {
        let text = terminal.text(100, change);
        text != before && drawn(&text).len() == 6 && text.lines().all(|row| row.chars().count() <= 60)
    });
    // Several drawings later there is still one of them, and no row of it wraps.
    let bytes = terminal.bytes().len();
    terminal.until("more drawings", |terminal| terminal.bytes().len() > bytes + 10_000);
    terminal.until("one whole drawing", |terminal| drawn(&terminal.text(100, change)).len() == 6);

    terminal.keyboard.write_all(b"\x03").unwrap();
    assert_eq!(terminal.end(), Some(0), "{}", String::from_utf8_lossy(&terminal.bytes()));
    let parser = terminal.screen(100, change);
    let text = rows(&parser);
    assert!(text.contains("stopped after "), "{text}");
    assert!(drawn(&text).is_empty(), "{text}");
    assert_eq!(parser.screen().cursor_position().1, 0, "{text}");

    // Whenever the program ends: it has changed no mode of the terminal, and the cursor is below what it drew.
    let output = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    assert!(!output.contains("\x1b[?"), "a mode of the terminal");
    assert!(!output.contains("\x1b[2J"), "the screen is erased, which flickers");
    for (at, _) in output.match_indices("\x1b[J") {
        // After a line, or after the way back to the first one.
        let before = &output[..at];
        assert!(before.ends_with('\n') || before.ends_with('A'), "{:?}", &before[before.len() - 20..]);
    }
}

#[test]
fn a_resumed_run_goes_on_with_its_curves_and_plain_lines_have_no_escapes() {
    let folder = lab();
    let train = format!("{TRAIN} --out run --steps 12 --log-interval 1");
    let Some(mut terminal) = Terminal::start(folder.path(), &format!("{train} --plain"), 90) else { return };
    assert_eq!(terminal.end(), Some(0));
    let output = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    assert!(output.contains("done: 12 steps") && !output.contains('\x1b'), "{output}");
    // Curves of 12 steps and of their validations begin with the first step of this process.
    let resume = "train --device cpu --out run --resume --steps 100000 --validation-interval 0";
    let mut terminal = Terminal::start(folder.path(), resume, 90).unwrap();
    terminal.until("scores of the run before", |terminal| drawn(&terminal.text(90, None)).len() == 6);
    terminal.keyboard.write_all(b"\x03").unwrap();
    assert_eq!(terminal.end(), Some(0));
}
