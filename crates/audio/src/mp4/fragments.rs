//! The packets of a fragmented file (ISO/IEC 14496-12, 8.8). Each fragment describes its own packets.

use super::boxes::{Atom, Fields, Walk, find};
use super::samples::Builder;
use crate::error::Problem;

/// What holds for a track's packets unless a fragment states otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    entry: u32,
    duration: u32,
    size: u32,
}

impl Defaults {
    /// The entry of the sample description.
    pub(super) fn entry(&self) -> u32 {
        self.entry
    }
}

/// The defaults of a track in a `mvex` box.
pub(super) fn defaults(walk: &mut Walk<'_>, mvex: &[Atom], track: u32) -> Result<Defaults, Problem> {
    for &trex in mvex.iter().filter(|atom| &atom.name == b"trex") {
        let content = walk.content(trex)?;
        let mut fields = Fields::new(&content, "trex");
        fields.take(4)?;
        if fields.u32()? == track {
            return Ok(Defaults { entry: fields.u32()?, duration: fields.u32()?, size: fields.u32()? });
        }
    }
    Ok(Defaults { entry: 1, ..Defaults::default() })
}

/// Appends the packets of one fragment.
pub(super) fn add(
    builder: &mut Builder,
    walk: &mut Walk<'_>,
    moof: Atom,
    track: u32,
    (defaults, entry): (Defaults, u32),
) -> Result<(), Problem> {
    // Where the data of the next run begin if it does not state that.
    let mut next = moof.head;
    for traf in walk.children(moof.start, moof.end)? {
        if &traf.name != b"traf" {
            continue;
        }
        let parts = walk.children(traf.start, traf.end)?;
        let Some(tfhd) = find(&parts, b"tfhd") else { continue };
        let content = walk.content(tfhd)?;
        let mut fields = Fields::new(&content, "tfhd");
        let flags = fields.u32()?;
        let mut values = defaults;
        let id = fields.u32()?;
        let mut base = if flags & 0x2_0000 != 0 { moof.head } else { next };
        if flags & 1 != 0 {
            base = fields.u64()?;
        }
        if flags & 2 != 0 {
            values.entry = fields.u32()?;
        }
        if flags & 8 != 0 {
            values.duration = fields.u32()?;
        }
        if flags & 16 != 0 {
            values.size = fields.u32()?;
        }
        if id == track && values.entry != entry {
            return Err(Problem::Unsupported("an mp4 whose codec settings change".into()));
        }
        next = base;
        for &trun in parts.iter().filter(|atom| &atom.name == b"trun") {
            let content = walk.content(trun)?;
            let target = (id == track).then_some(&mut *builder);
            next = run(target, walk.length, &content, base, next, values)?;
        }
    }
    Ok(())
}

/// Reads a run of packets. Returns the position after the last one. `builder` is `None` for other tracks.
fn run(
    mut builder: Option<&mut Builder>,
    length: u64,
    trun: &[u8],
    base: u64,
    next: u64,
    values: Defaults,
) -> Result<u64, Problem> {
    let mut fields = Fields::new(trun, "trun");
    let flags = fields.u32()?;
    let count = fields.u32()?;
    let mut position = next;
    if flags & 1 != 0 {
        let offset = i64::from(fields.u32()? as i32);
        position = base
            .checked_add_signed(offset)
            .ok_or_else(|| Problem::header("a fragment begins before the file"))?;
    }
    if flags & 4 != 0 {
        fields.take(4)?;
    }
    if flags & 0xf00 == 0 && (u64::from(count) > length || values.size == 0) {
        return Err(Problem::header("it states more packets than it can hold"));
    }
    if builder.is_none() && flags & 0xf00 == 0 {
        return Ok(position.saturating_add(u64::from(count) * u64::from(values.size)));
    }
    for _ in 0..count {
        let duration = if flags & 0x100 != 0 { fields.u32()? } else { values.duration };
        let size = if flags & 0x200 != 0 { fields.u32()? } else { values.size };
        if flags & 0x400 != 0 {
            fields.take(4)?;
        }
        if flags & 0x800 != 0 {
            fields.take(4)?;
        }
        if let Some(builder) = &mut builder {
            builder.push(position, size, duration)?;
        }
        position = position.saturating_add(u64::from(size));
    }
    Ok(position)
}
