//! AAC in ADTS, the format of `.aac` files and of radio streams (ISO/IEC 13818-7, 6.2).
//!
//! The file is a sequence of packets, each with a header. It states neither its length nor the encoder's delay.

use symphonia::core::io::MediaSource;

use crate::aac;
use crate::error::Problem;
use crate::joined::Joined;
use crate::notice::{Notices, ReadOptions};
use crate::packet_codec::{Kind, PacketCodec, Settings};
use crate::pieces::{self, Piece, Stream};
use crate::source::{Shared, Window};
use crate::table::Table;

/// Size in bytes of a header without its checksum.
const HEADER: usize = 7;

/// Bytes that are searched for a packet at once.
const SEARCH: usize = 8 * 1024;

/// The fields of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// Profile, index of the rate, channel layout.
    config: (u8, u8, u8),
    /// Bytes before the packet's data.
    head: u32,
    /// Bytes of the whole packet.
    size: u32,
    /// Number of blocks of 1024 frames.
    blocks: u8,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xff, b1, b2, b3, b4, b5, b6, ..] = bytes else { return None };
        let head = if b1 & 1 == 1 { 7 } else { 9 };
        let size = u32::from(b3 & 3) << 11 | u32::from(b4) << 3 | u32::from(b5 >> 5);
        let rate = b2 >> 2 & 15;
        let config = (b2 >> 6, rate, (b2 & 1) << 2 | b3 >> 6);
        (b1 & 0xf6 == 0xf0 && rate < 13 && size > head).then_some(Self {
            config,
            head,
            size,
            blocks: (b6 & 3) + 1,
        })
    }
}

/// What lies at a position.
enum Found {
    Packet(Header),
    /// Bytes that hold no audio.
    Other(u64),
    /// Bytes between packets that may have been audio.
    Damage(u64),
}

/// Opens a file of `length` bytes, whose audio begins at `start` or later.
pub(crate) fn open(
    source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Joined, Problem> {
    let shared = Shared::new(source);
    let mut window = Window::new(shared.part(0..length));
    let mut scan = Scan { window: &mut window, length, streams: Vec::new(), bytes: 0, packets: 0, lead: 0 };
    let mut position = start;
    while position < length {
        position += match scan.at(position)? {
            Found::Packet(header) => {
                scan.push(position, header)?;
                u64::from(header.size)
            }
            Found::Other(size) => size,
            Found::Damage(size) => {
                scan.damage(size)?;
                size
            }
        };
    }
    let mut notices = Notices::new(options);
    let lost = (scan.lead > 0).then(|| scan.lead.div_ceil(scan.average()) * aac::FRAMES);
    let mut streams = Vec::new();
    for (config, table) in scan.streams {
        if table.ends_with_sbr(&mut window)? {
            return Err(aac::implicit_sbr());
        }
        let header = aac::of_adts(config.0, config.1, config.2);
        let parsed = aac::config(&header)?;
        let settings = Settings { kind: Kind::Aac, rate: parsed.rate, channels: parsed.channels, header };
        if let Some(lost) = lost.filter(|_| streams.is_empty()) {
            let detail = "it begins inside a packet";
            let refused = || Problem::header(detail);
            notices.missing(0.0, lost as f64 / f64::from(parsed.rate), detail, refused)?;
        }
        let pieces = vec![Piece { start: Some(0), frames: table.frames() }];
        let open = Box::new(move || Ok(Box::new(PacketCodec::new(&settings)?) as Box<_>));
        streams.push(Stream { table, open, pieces });
    }
    if streams.is_empty() {
        return Err(Problem::NoAudio);
    }
    drop(window);
    pieces::open("aac", streams, Box::new(shared.part(0..length)), length, notices)
}

struct Scan<'a> {
    window: &'a mut Window,
    length: u64,
    /// The packets of every configuration in turn.
    streams: Vec<((u8, u8, u8), Table)>,
    /// Size of all packets so far.
    bytes: u64,
    /// Number of packets so far.
    packets: u64,
    /// Bytes before the first packet that may have been audio.
    lead: u64,
}

impl Scan<'_> {
    /// The packet that begins at `position`. It must be followed by another one, by a tag or by the end, or, if it is
    /// `expected` there, have the configuration of the packets before.
    fn packet(&mut self, position: u64, expected: bool) -> Result<Option<Header>, Problem> {
        let Some(header) = Header::parse(self.window.at(position, HEADER)?) else { return Ok(None) };
        let known = self.streams.last().is_some_and(|(config, _)| *config == header.config);
        let next = position + u64::from(header.size);
        let follows = match self.window.at(next.min(self.length), HEADER)? {
            _ if expected && known => true,
            [] => known || next == self.length,
            rest if rest.len() < HEADER => true,
            rest => Header::parse(rest).is_some() || rest.starts_with(b"ID3") || rest.starts_with(b"TAG"),
        };
        Ok(Some(header).filter(|_| follows))
    }

    fn at(&mut self, position: u64) -> Result<Found, Problem> {
        if let Some(header) = self.packet(position, true)? {
            return Ok(Found::Packet(header));
        }
        let bytes = self.window.at(position, SEARCH)?.to_vec();
        let left = self.length - position;
        match bytes.as_slice() {
            [b'I', b'D', b'3', _, _, flags, s0, s1, s2, s3, ..] => {
                let size = [s0, s1, s2, s3].iter().fold(0, |size, byte| size << 7 | u64::from(**byte & 0x7f));
                return Ok(Found::Other((10 + size + if flags & 0x10 != 0 { 10 } else { 0 }).min(left)));
            }
            [b'T', b'A', b'G', ..] if left == 128 => return Ok(Found::Other(left)),
            [b'A', b'P', b'E', b'T', b'A', b'G', b'E', b'X', ..] => return Ok(Found::Other(left)),
            _ => {}
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros > 0 {
            return Ok(Found::Other(zeros as u64));
        }
        for offset in 1..bytes.len() {
            let here = &bytes[offset..];
            if here[0] == 0xff && self.packet(position + offset as u64, false)?.is_some()
                || here.starts_with(b"ID3")
                || here.starts_with(b"TAG") && left - offset as u64 == 128
            {
                return Ok(Found::Damage(offset as u64));
            }
        }
        Ok(Found::Damage(bytes.len() as u64))
    }

    fn push(&mut self, position: u64, header: Header) -> Result<(), Problem> {
        if header.blocks > 1 {
            return Err(Problem::Unsupported("AAC with several blocks in a packet".into()));
        }
        if self.streams.last().is_none_or(|(config, _)| *config != header.config) {
            self.streams.push((header.config, Table::default()));
        }
        self.bytes += u64::from(header.size);
        self.packets += 1;
        match self.streams.last_mut() {
            Some((_, table)) => {
                table.push(position + u64::from(header.head), header.size - header.head, aac::FRAMES)
            }
            None => Ok(()),
        }
    }

    /// Counts the packets that were lost in `size` bytes, by the average size of the packets before.
    fn damage(&mut self, size: u64) -> Result<(), Problem> {
        let average = self.average();
        let Some((_, table)) = self.streams.last_mut() else {
            self.lead += size;
            return Ok(());
        };
        for _ in 0..size.div_ceil(average) {
            table.push_missing(aac::FRAMES)?;
        }
        Ok(())
    }

    /// Average size of the packets so far.
    fn average(&self) -> u64 {
        (self.bytes / self.packets.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::Header;

    #[test]
    fn the_fields_of_a_header_are_found() {
        // AAC-LC, 44100 Hz, 2 channels, 371 bytes, no checksum.
        let header = Header::parse(&[0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc]).expect("a header");
        assert_eq!(header, Header { config: (1, 4, 2), head: 7, size: 371, blocks: 1 });
        let mp3 = [0xff, 0xfb, 0x90, 0x64, 0, 0, 0];
        assert_eq!(Header::parse(&mp3), None);
        assert_eq!(Header::parse(&[0xff, 0xf1, 0x50]), None);
    }
}
