//! The sample tables of a track (ISO/IEC 14496-12, 8.6 and 8.7): where its packets lie, and their lengths.

use super::boxes::{Atom, Fields, Walk, find};
use super::entry::Description;
use crate::error::Problem;
use crate::table::Table;

/// Size in bytes of a packet of uncompressed samples.
const BLOCK: usize = 16 * 1024;

/// Appends packets to a table.
pub(super) struct Builder {
    pub(super) table: Table,
    /// Of every packet, if the codec fixes it.
    each: Option<u64>,
    /// Bytes of a frame of uncompressed samples.
    frame_bytes: Option<usize>,
    rate: u64,
    timescale: u64,
    /// Length of all packets in units of the timescale, as the file states it.
    stated: u64,
}

impl Builder {
    pub(super) fn new(description: &Description, timescale: u64) -> Self {
        Self {
            table: Table::default(),
            each: description.each(),
            frame_bytes: description.frame_bytes(),
            rate: u64::from(description.rate()),
            timescale,
            stated: 0,
        }
    }

    /// Appends a packet of `duration` units of the timescale.
    pub(super) fn push(&mut self, position: u64, size: u32, duration: u32) -> Result<(), Problem> {
        self.stated = self.stated.saturating_add(u64::from(duration));
        // The difference of rounded times, so that errors do not add up.
        let frames =
            self.each.unwrap_or_else(|| self.frames(self.stated).saturating_sub(self.table.frames()));
        self.table.push(position, size, frames)
    }

    /// Appends a chunk of uncompressed samples in packets of at most [`BLOCK`] bytes.
    fn push_chunk(&mut self, mut position: u64, frames: usize, frame_bytes: usize) -> Result<(), Problem> {
        let most = (BLOCK / frame_bytes).max(1);
        for first in (0..frames).step_by(most) {
            let frames = most.min(frames - first);
            let size = frames * frame_bytes;
            self.table.push(position, size as u32, frames as u64)?;
            position = position.saturating_add(size as u64);
        }
        Ok(())
    }

    /// Converts a time of the track to frames.
    pub(super) fn frames(&self, time: u64) -> u64 {
        let scale = u128::from(self.timescale.max(1));
        let frames = (u128::from(time) * u128::from(self.rate) * 2 + scale) / (scale * 2);
        u64::try_from(frames).unwrap_or(u64::MAX)
    }

    /// The length of the track. The last packet may be stated to be shorter than what the decoder outputs.
    pub(super) fn length(&self) -> u64 {
        let coded = self.table.frames();
        let stated = self.frames(self.stated);
        let cut = coded.saturating_sub(stated);
        if self.each.is_some_and(|each| cut < each) { coded - cut } else { coded }
    }

    /// Appends the packets of the tables in a `stbl` box.
    pub(super) fn add_tables(
        &mut self,
        walk: &mut Walk<'_>,
        stbl: &[Atom],
        entry: u32,
    ) -> Result<(), Problem> {
        let disagree = || Problem::header("its sample tables disagree");
        let sizes = Sizes::read(walk, stbl)?;
        if sizes.count == 0 {
            return Ok(());
        }
        let wanted = |name: &[u8; 4]| {
            find(stbl, name).ok_or_else(|| Problem::header("it does not state where its audio is"))
        };
        let durations = walk.content(wanted(b"stts")?)?;
        let mut durations = Durations::new(&durations)?;
        let (chunks, wide) = match find(stbl, b"co64") {
            Some(co64) => (walk.content(co64)?, true),
            None => (walk.content(wanted(b"stco")?)?, false),
        };
        let mut chunks = Fields::new(&chunks, "stco");
        chunks.take(4)?;
        let count = chunks.count(if wide { 8 } else { 4 })?;
        let groups = walk.content(wanted(b"stsc")?)?;
        let groups = groups_of_chunks(&groups, entry)?;
        let mut group = 0;
        let mut sample = 0;
        for chunk in 1..=count as u64 {
            let mut position = if wide { chunks.u64()? } else { u64::from(chunks.u32()?) };
            while groups.get(group + 1).is_some_and(|&(first, _)| first <= chunk) {
                group += 1;
            }
            let &(_, samples) = groups.get(group).ok_or_else(disagree)?;
            let first = sample;
            sample += samples.min(sizes.count - sample);
            if let Some(frame_bytes) = self.frame_bytes {
                self.push_chunk(position, sample - first, frame_bytes)?;
                continue;
            }
            for sample in first..sample {
                let size = sizes.of(sample);
                self.push(position, size, durations.next()?)?;
                position = position.saturating_add(u64::from(size));
            }
        }
        if sample < sizes.count { Err(disagree()) } else { Ok(()) }
    }
}

/// The number of the entry of `stsd` that the packets use. A track may use one entry only.
pub(super) fn entry_of(walk: &mut Walk<'_>, stbl: &[Atom]) -> Result<u32, Problem> {
    let Some(stsc) = find(stbl, b"stsc") else { return Ok(1) };
    let [_, _, _, _, count @ ..] = walk.bytes::<8>(stsc, 0)?;
    if u32::from_be_bytes(count) == 0 { Ok(1) } else { walk.bytes(stsc, 16).map(u32::from_be_bytes) }
}

/// The first chunk of every group, and the samples in each of its chunks.
fn groups_of_chunks(stsc: &[u8], entry: u32) -> Result<Vec<(u64, usize)>, Problem> {
    let mut fields = Fields::new(stsc, "stsc");
    fields.take(4)?;
    let mut groups = Vec::new();
    for _ in 0..fields.count(12)? {
        groups.push((u64::from(fields.u32()?), fields.u32()? as usize));
        if fields.u32()? != entry {
            return Err(Problem::Unsupported("an mp4 whose codec settings change".into()));
        }
    }
    Ok(groups)
}

/// The sizes of the packets.
struct Sizes {
    count: usize,
    /// Of all packets. 0 if they differ.
    size: u32,
    content: Vec<u8>,
    /// Bits per entry of `stz2`, or 32.
    bits: usize,
}

impl Sizes {
    fn read(walk: &mut Walk<'_>, stbl: &[Atom]) -> Result<Self, Problem> {
        if let Some(stz2) = find(stbl, b"stz2") {
            let content = walk.content(stz2)?;
            let mut fields = Fields::new(&content, "stz2");
            let (bits, count) = (fields.take(8)?[7], fields.u32()? as usize);
            if !matches!(bits, 4 | 8 | 16) || count > fields.rest().len() * 8 / usize::from(bits) {
                return Err(Problem::header("the box 'stz2' is smaller than its table"));
            }
            return Ok(Self { count, size: 0, bits: bits.into(), content: fields.rest().to_vec() });
        }
        let stsz =
            find(stbl, b"stsz").ok_or_else(|| Problem::header("it does not state where its audio is"))?;
        let content = walk.content(stsz)?;
        let mut fields = Fields::new(&content, "stsz");
        fields.take(4)?;
        let size = fields.u32()?;
        if size > 0 {
            let count = fields.u32()?;
            // Every packet has at least one byte. A file that is cut short lacks most of its bytes at most.
            if u64::from(count) > walk.length.saturating_mul(16) {
                return Err(Problem::header("it states more packets than it can hold"));
            }
            return Ok(Self { count: count as usize, size, bits: 32, content: Vec::new() });
        }
        let count = fields.count(4)?;
        Ok(Self { count, size: 0, bits: 32, content: fields.rest().to_vec() })
    }

    fn of(&self, sample: usize) -> u32 {
        let byte = |at: usize| u32::from(self.content.get(at).copied().unwrap_or(0));
        match self.bits {
            _ if self.size > 0 => self.size,
            4 => byte(sample / 2) >> (4 * (1 - sample % 2)) & 15,
            8 => byte(sample),
            16 => byte(2 * sample) << 8 | byte(2 * sample + 1),
            _ => (0..4).fold(0, |sum, k| sum << 8 | byte(4 * sample + k)),
        }
    }
}

/// The durations of the packets, as runs.
struct Durations<'a> {
    fields: Fields<'a>,
    runs: usize,
    left: u32,
    duration: u32,
}

impl<'a> Durations<'a> {
    fn new(stts: &'a [u8]) -> Result<Self, Problem> {
        let mut fields = Fields::new(stts, "stts");
        fields.take(4)?;
        let runs = fields.count(8)?;
        Ok(Self { fields, runs, left: 0, duration: 0 })
    }

    /// The duration of the next packet. The last one is repeated if there are too few.
    fn next(&mut self) -> Result<u32, Problem> {
        while self.left == 0 && self.runs > 0 {
            self.left = self.fields.u32()?;
            self.duration = self.fields.u32()?;
            self.runs -= 1;
        }
        self.left = self.left.saturating_sub(1);
        Ok(self.duration)
    }
}
