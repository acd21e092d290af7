//! The boxes of an mp4 (ISO/IEC 14496-12, 4.2).

use symphonia::core::io::MediaSource;

use crate::error::Problem;
use crate::source::read_up_to;

/// Maximum number of boxes that are read in one file. A fragmented file of a day has about 400 000.
const MAX_BOXES: usize = 500_000;

/// Maximum size in bytes of a table that is read at once.
const MAX_TABLE: u64 = 32 << 20;

/// A box, without its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Atom {
    pub(super) name: [u8; 4],
    /// Position of the header.
    pub(super) head: u64,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Reads boxes.
pub(super) struct Walk<'a> {
    source: &'a mut dyn MediaSource,
    /// Of the file in bytes.
    pub(super) length: u64,
    boxes: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(source: &'a mut dyn MediaSource, length: u64) -> Self {
        Self { source, length, boxes: 0 }
    }

    /// The boxes of the file from `start` on. The last one may reach beyond the end of the file. Data after the last box are ignored.
    pub(super) fn top(&mut self, start: u64) -> Result<Vec<Atom>, Problem> {
        let mut atoms = Vec::new();
        let mut position = start;
        while let Some(atom) = self.next(position, self.length)? {
            position = atom.end;
            atoms.push(atom);
        }
        Ok(atoms)
    }

    /// The boxes inside of a box.
    pub(super) fn children(&mut self, start: u64, end: u64) -> Result<Vec<Atom>, Problem> {
        if end > self.length {
            return Err(Problem::Truncated("it ends inside its headers".into()));
        }
        let mut atoms = Vec::new();
        let mut position = start;
        while position + 8 <= end {
            let Some(atom) = self.next(position, end)? else {
                return Err(Problem::header("a box is smaller than its own header"));
            };
            if atom.end > end {
                let name = String::from_utf8_lossy(&atom.name);
                return Err(Problem::header(format!("the box '{name}' is larger than its parent")));
            }
            position = atom.end;
            atoms.push(atom);
        }
        Ok(atoms)
    }

    /// The box at a position. `None` if there is none. A size of 0 means "to the end", `end`.
    fn next(&mut self, position: u64, end: u64) -> Result<Option<Atom>, Problem> {
        let mut head = [0; 16];
        let got = read_up_to(self.source, position, &mut head)?;
        if got < 8 || end - position < 8 {
            return Ok(None);
        }
        let (size, header) = match u64::from(be_u32(&head)) {
            0 => (end - position, 8),
            1 if got == 16 => (u64::from(be_u32(&head[8..])) << 32 | u64::from(be_u32(&head[12..])), 16),
            size => (size, 8),
        };
        self.boxes += 1;
        if self.boxes > MAX_BOXES {
            return Err(Problem::header("it has too many boxes"));
        }
        let name = [head[4], head[5], head[6], head[7]];
        let next = position.checked_add(size).filter(|_| size >= header);
        Ok(next.map(|next| Atom { name, head: position, start: position + header, end: next }))
    }

    /// `N` bytes at an offset inside a box.
    pub(super) fn bytes<const N: usize>(&mut self, atom: Atom, offset: u64) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        let position = atom.start.saturating_add(offset);
        if position.saturating_add(N as u64) > atom.end || read_up_to(self.source, position, &mut bytes)? < N
        {
            let name = String::from_utf8_lossy(&atom.name);
            return Err(Problem::header(format!("the box '{name}' is too small")));
        }
        Ok(bytes)
    }

    /// The contents of a box.
    pub(super) fn content(&mut self, atom: Atom) -> Result<Vec<u8>, Problem> {
        let size = atom.end - atom.start;
        if atom.end > self.length {
            return Err(Problem::Truncated("it ends inside its headers".into()));
        }
        if size > MAX_TABLE {
            let name = String::from_utf8_lossy(&atom.name);
            return Err(Problem::header(format!("the box '{name}' is too large")));
        }
        let mut bytes = vec![0; size as usize];
        let got = read_up_to(self.source, atom.start, &mut bytes)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Units per second. `mvhd` and `mdhd` store them at the same offset, after two times of 32 or 64 bits.
    pub(super) fn timescale(&mut self, atom: Atom) -> Result<u64, Problem> {
        let [version] = self.bytes(atom, 0)?;
        self.bytes(atom, if version == 0 { 12 } else { 20 }).map(|scale| u64::from(u32::from_be_bytes(scale)))
    }
}

/// The first box of a name.
pub(super) fn find(atoms: &[Atom], name: &[u8; 4]) -> Option<Atom> {
    atoms.iter().find(|atom| &atom.name == name).copied()
}

pub(super) fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Reads the fields of a box's contents.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    name: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], name: &'static str) -> Self {
        Self { bytes, name }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (head, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or_else(|| Problem::header(format!("the box '{}' is too small", self.name)))?;
        self.bytes = rest;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Problem> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Problem> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        self.take(4).map(be_u32)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Problem> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of entries of `size` bytes that follow. It is not trusted.
    pub(super) fn count(&mut self, size: usize) -> Result<usize, Problem> {
        let count = self.u32()? as usize;
        if count > self.bytes.len() / size {
            return Err(Problem::header(format!("the box '{}' is smaller than its table", self.name)));
        }
        Ok(count)
    }

    /// The boxes that follow, as names and contents. Damage ends them.
    pub(super) fn boxes(&self) -> Vec<([u8; 4], &'a [u8])> {
        let mut bytes = self.bytes;
        let mut boxes = Vec::new();
        while bytes.len() >= 8 {
            let size = be_u32(bytes) as usize;
            if size < 8 || size > bytes.len() {
                break;
            }
            let (content, rest) = bytes.split_at(size);
            boxes.push(([content[4], content[5], content[6], content[7]], &content[8..]));
            bytes = rest;
        }
        boxes
    }
}
