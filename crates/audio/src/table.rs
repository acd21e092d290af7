//! Packets whose places in the file are known in advance, and their decoding.
//!
//! One table serves the scan and the decoder, so that both walk over the same packets.

use std::sync::Arc;

use unbraid_base::Stereo;

use crate::aac;
use crate::codec::Codec;
use crate::error::Problem;
use crate::joined::{Gap, SectionDecoder};
use crate::source::{Shared, Window};

/// Maximum number of packets: 24 hours of AAC. Their table takes 64 MiB.
const MAX_PACKETS: usize = 4_000_000;

/// Maximum size of a packet in bytes. `Window` reads no more at once.
const MAX_PACKET: u32 = 64 * 1024;

/// Frames of silence that are appended at once.
const SILENCE: u64 = 16_384;

/// Number of packets that are searched for SBR.
const SBR_SAMPLES: usize = 64;

/// Consecutive packets of one length.
#[derive(Clone, Copy, Debug)]
struct Run {
    packet: usize,
    /// First frame of the decoder's output.
    frame: u64,
    /// Frames of every packet.
    each: u64,
}

/// The packets of one track.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Position in the file and size in bytes.
    places: Vec<(u64, u32)>,
    runs: Vec<Run>,
    frames: u64,
}

impl Table {
    /// Appends a packet, whose output has `frames` frames.
    pub(crate) fn push(&mut self, position: u64, size: u32, frames: u64) -> Result<(), Problem> {
        if self.places.len() >= MAX_PACKETS {
            return Err(Problem::header("it has too many packets"));
        }
        if self.runs.last().is_none_or(|run| run.each != frames) {
            self.runs.push(Run { packet: self.places.len(), frame: self.frames, each: frames });
        }
        self.places.push((position, size));
        self.frames = self.frames.saturating_add(frames);
        Ok(())
    }

    /// Appends a packet that the file does not hold.
    pub(crate) fn push_missing(&mut self, frames: u64) -> Result<(), Problem> {
        self.push(u64::MAX, 1, frames)
    }

    /// Number of packets.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Frames of the decoder's output.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// The first frame of a packet and the number of its frames.
    fn span(&self, packet: usize) -> (u64, u64) {
        match self.runs.partition_point(|run| run.packet <= packet).checked_sub(1) {
            Some(index) => {
                let run = self.runs[index];
                (run.frame + (packet - run.packet) as u64 * run.each, run.each)
            }
            None => (0, 0),
        }
    }

    /// The packet that holds a frame.
    fn packet_of(&self, frame: u64) -> usize {
        match self.runs.partition_point(|run| run.frame <= frame).checked_sub(1) {
            Some(index) => {
                let run = self.runs[index];
                let packet = run.packet as u64 + (frame - run.frame) / run.each.max(1);
                usize::try_from(packet).unwrap_or(usize::MAX).min(self.len())
            }
            None => 0,
        }
    }

    /// Ranges of frames whose packets do not lie within the first `length` bytes of the file.
    pub(crate) fn missing(&self, length: u64) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for packet in 0..self.len() {
            if self.present(packet, length) {
                continue;
            }
            let (start, frames) = self.span(packet);
            match ranges.last_mut() {
                Some(last) if last.1 == start => last.1 += frames,
                _ => ranges.push((start, start + frames)),
            }
        }
        ranges
    }

    fn present(&self, packet: usize, length: u64) -> bool {
        let (position, size) = self.places[packet];
        position.checked_add(u64::from(size)).is_some_and(|end| end <= length)
    }

    /// Reads a packet. `None` if it lies beyond the end of the file.
    pub(crate) fn read<'a>(
        &self,
        window: &'a mut Window,
        packet: usize,
    ) -> Result<Option<&'a [u8]>, Problem> {
        if !self.present(packet, window.length()) {
            return Ok(None);
        }
        let (position, size) = self.places[packet];
        if size > MAX_PACKET {
            return Err(Problem::header(format!("it has a packet of {size} bytes")));
        }
        window
            .at(position, size as usize)
            .map(|bytes| Some(bytes).filter(|bytes| bytes.len() == size as usize))
    }
}

impl Table {
    /// Whether most of the AAC packets end with SBR data. Some packets of the whole file are compared.
    pub(crate) fn ends_with_sbr(&self, window: &mut Window) -> Result<bool, Problem> {
        let (mut count, mut found) = (0, 0);
        for packet in (0..self.len()).step_by(self.len().div_ceil(SBR_SAMPLES).max(1)) {
            if let Some(packet) = self.read(window, packet)? {
                count += 1;
                found += usize::from(aac::ends_with_sbr(packet));
            }
        }
        Ok(2 * found > count)
    }
}

/// Decodes a range of frames of a table.
pub(crate) struct TableDecoder {
    table: Arc<Table>,
    window: Window,
    codec: Box<dyn Codec>,
    /// The range to be decoded.
    start: u64,
    end: u64,
    /// Packet to be decoded next.
    packet: usize,
    /// The next frame to be output.
    wanted: u64,
    /// What the current packet holds, from frame `first` on. The rest of the packet, up to `until`, is silence.
    block: Stereo,
    first: u64,
    until: u64,
}

impl TableDecoder {
    /// `start` and `end` count frames of the decoder's output.
    pub(crate) fn new(
        table: Arc<Table>,
        source: &Shared,
        length: u64,
        codec: Box<dyn Codec>,
        [start, end]: [u64; 2],
    ) -> Self {
        let window = Window::new(source.part(0..length));
        let mut decoder = Self {
            table,
            window,
            codec,
            start,
            end,
            packet: 0,
            wanted: start,
            block: Stereo::default(),
            first: 0,
            until: 0,
        };
        decoder.go_to(start);
        decoder
    }

    fn go_to(&mut self, frame: u64) {
        self.wanted = frame;
        self.until = frame;
        let preroll = self.codec.preroll();
        let packet = preroll.map_or(0, |preroll| self.table.packet_of(frame.saturating_sub(preroll)));
        // The first packet of some codecs has no output of its own.
        self.packet = packet.saturating_sub(1);
    }

    /// Decodes a packet into `self.block`, which stays shorter where audio is missing.
    fn decode(&mut self, first: u64, frames: u64, gaps: &mut Vec<Gap>) -> Result<(), Problem> {
        self.block.iter_mut().for_each(Vec::clear);
        let length = usize::try_from(frames).unwrap_or(usize::MAX);
        let result = match self.table.read(&mut self.window, self.packet)? {
            Some(packet) => self.codec.decode(packet, &mut self.block),
            // This is known since the file was opened.
            None => {
                self.codec.reset();
                return Ok(());
            }
        };
        let mut detail = "a packet holds too little audio".to_owned();
        match result {
            // The last packet may be stated to be shorter, because the rest is padding.
            Ok(()) if self.block[0].len() > length && self.packet + 1 < self.table.len() => {
                return Err(Problem::header("a packet holds more audio than the file states"));
            }
            Ok(()) => {}
            Err(problem) => {
                detail = match problem {
                    Problem::Malformed { detail, .. } => detail,
                    problem => return Err(problem),
                };
                self.codec.reset();
                self.block.iter_mut().for_each(Vec::clear);
            }
        }
        let decoded = self.block[0].len();
        let at = (first + decoded as u64).clamp(self.wanted, self.end);
        let until = first.saturating_add(frames).clamp(at, self.end);
        if until > at {
            gaps.push(Gap { at: at - self.start, frames: until - at, detail });
        }
        self.block.iter_mut().for_each(|channel| channel.truncate(length));
        Ok(())
    }
}

impl SectionDecoder for TableDecoder {
    fn read(&mut self, out: &mut Stereo, gaps: &mut Vec<Gap>) -> Result<bool, Problem> {
        while self.wanted >= self.until {
            if self.packet >= self.table.len() || self.wanted >= self.end {
                return Ok(false);
            }
            let (first, frames) = self.table.span(self.packet);
            self.decode(first, frames, gaps).map_err(|problem| match problem {
                Problem::Malformed { detail, .. } => Problem::Malformed {
                    seconds: first.saturating_sub(self.start) as f64 / f64::from(self.codec.rate()),
                    detail,
                },
                problem => problem,
            })?;
            self.packet += 1;
            self.first = first;
            self.until = first.saturating_add(frames).min(self.end);
        }
        let from = self.wanted - self.first;
        let to = (self.block[0].len() as u64).min(self.until - self.first);
        if from < to {
            for (out, block) in out.iter_mut().zip(&self.block) {
                out.extend_from_slice(&block[from as usize..to as usize]);
            }
            self.wanted = self.first + to;
        } else {
            let silence = (self.until - self.wanted).min(SILENCE);
            out.iter_mut().for_each(|channel| channel.resize(channel.len() + silence as usize, 0.0));
            self.wanted += silence;
        }
        Ok(true)
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        self.go_to(self.start.saturating_add(frame));
        Ok(())
    }
}
