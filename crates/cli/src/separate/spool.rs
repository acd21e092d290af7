//! Stores the bytes of a pipe in a temporary file, because a decoder must be able to move back and forth.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure};
use unbraid_audio::{AudioReader, Problem, ReadOptions};

use crate::advice::advised;
use crate::interrupt;

use super::songs::{Song, Source};

/// The bytes after which a source is refused if it is no audio. Otherwise an endless source would fill the disk.
const HEAD: usize = 1 << 20;

/// The most bytes that are stored: more than a day of music.
const MOST: u64 = 32 << 30;

/// Reads the song's pipe to its end. The file has no name, so it disappears with the process.
///
/// # Errors
/// If the pipe cannot be read, if the temporary folder has no space, if the first bytes are no audio, or if there are
/// too many bytes.
pub(super) fn spool(song: &Song, rate: u32) -> anyhow::Result<File> {
    let folder = std::env::temp_dir();
    let full = |error: io::Error| {
        let advice = "The environment variable `TMPDIR` names another folder.";
        advised(format_args!("cannot store the song in {}: {error}", folder.display()), advice)
    };
    let mut file = tempfile::tempfile_in(&folder).map_err(full)?;
    let mut head = Some(Vec::new());
    let mut stored = 0;
    // Opening and reading a pipe can block forever. The other thread waits, and this one can be interrupted.
    let (sender, receiver) = mpsc::sync_channel(4);
    let (path, source) = (song.path.clone(), song.source);
    thread::spawn(move || {
        let failed = send_blocks(&path, source, |block| sender.send(Ok(block)).is_ok());
        if let Err(error) = failed {
            sender.send(Err(error)).ok();
        }
    });
    loop {
        if interrupt::requested() {
            bail!("interrupted");
        }
        let block: Vec<u8> = match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(block) => block?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        file.write_all(&block).map_err(full)?;
        stored += block.len() as u64;
        ensure!(stored <= MOST, "the song has more than {} GiB", MOST >> 30);
        if let Some(bytes) = &mut head {
            bytes.extend(&block);
            if bytes.len() >= HEAD {
                refuse_if_unknown(head.take().unwrap_or_default(), rate)?;
            }
        }
    }
    file.rewind()?;
    Ok(file)
}

/// Passes the source's bytes to `send` until it returns `false`.
fn send_blocks(path: &Path, source: Source, mut send: impl FnMut(Vec<u8>) -> bool) -> io::Result<()> {
    const BLOCK: u64 = 1 << 16;
    let mut source: Box<dyn Read> = match source {
        Source::StandardInput => Box::new(io::stdin()),
        Source::Pipe | Source::File => Box::new(File::open(path)?),
    };
    loop {
        let mut block = Vec::new();
        source.by_ref().take(BLOCK).read_to_end(&mut block)?;
        if block.is_empty() || !send(block) {
            return Ok(());
        }
    }
}

/// Refuses a source whose first bytes are no audio. Its end is still missing, so other errors mean nothing.
fn refuse_if_unknown(head: Vec<u8>, rate: u32) -> anyhow::Result<()> {
    let opened = AudioReader::from_source(Box::new(Cursor::new(head)), None, rate, ReadOptions::ANY_LENGTH);
    let Err(error) = opened else { return Ok(()) };
    match error.problem {
        Problem::Truncated(_) | Problem::Malformed { .. } | Problem::NoAudio | Problem::Read(_) => Ok(()),
        Problem::Unsupported(_) | Problem::Channels(_) | Problem::SampleRate(_) => Ok(()),
        Problem::NonFinite { .. } => Ok(()),
        _ => Err(error.into()),
    }
}
