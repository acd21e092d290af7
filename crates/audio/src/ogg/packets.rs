//! The packets of one stream in one link, with their place in time.

use super::page::Page;
use crate::codec::{Codec, Kind};
use crate::error::Problem;

/// Maximum size of a packet in bytes. A comment header with a cover can have a few million.
const MAX_PACKET: usize = 16 << 20;

/// Longest gap in seconds. A longer one is a wrong granule position.
const MAX_GAP: i64 = 600;

/// The audio of one page.
#[derive(Default)]
pub(crate) struct Audio {
    /// Frames that are missing before the first packet.
    pub(crate) gap: u64,
    /// Packets are missing before the first packet. The decoder must forget the previous ones.
    pub(crate) restart: bool,
    /// The packets that end on the page, and the frames that each must give.
    pub(crate) packets: Vec<(Vec<u8>, u64)>,
    /// The number of the decoder's first frame if decoding begins with the first of these packets.
    pub(crate) entry: u64,
}

/// Assembles the packets of a stream and computes their place in time. Frames are numbered from the beginning of the
/// decoder's output, with gaps.
pub(crate) struct Packets {
    kind: &'static Kind,
    headers: Vec<Vec<u8>>,
    codec: Option<Box<dyn Codec>>,
    /// The beginning of a packet that ends on a later page.
    partial: Option<Vec<u8>>,
    sequence: Option<u32>,
    /// Block of the last packet.
    previous: Option<u64>,
    /// Granule position of the last page on which a packet ended.
    granule: Option<i64>,
    /// Pages are missing since then.
    broken: bool,
    /// The number of the next frame.
    position: u64,
    /// Number of pages with audio so far, up to 2.
    pages: u8,
    /// Frames that the first page has too many. They are at its beginning, or at its end if no other page follows.
    outside: u64,
    /// Frames of the last page after the end of the song.
    excess: u64,
    ended: bool,
}

impl Packets {
    pub(crate) fn new(kind: &'static Kind) -> Self {
        Self {
            kind,
            headers: Vec::new(),
            codec: None,
            partial: None,
            sequence: None,
            previous: None,
            granule: None,
            broken: false,
            position: 0,
            pages: 0,
            outside: 0,
            excess: 0,
            ended: false,
        }
    }

    /// The codec, once its headers have been read.
    pub(crate) fn codec(&mut self) -> Option<&mut Box<dyn Codec>> {
        self.codec.as_mut()
    }

    /// Frames before the song. It is known after the second page with audio, or at the end.
    pub(crate) fn skip(&self) -> u64 {
        let delay = self.codec.as_ref().map_or(0, |codec| codec.delay());
        let outside = if self.pages == 1 { 0 } else { self.outside };
        (delay + outside).min(self.position)
    }

    /// The frames of the song so far.
    pub(crate) fn frames(&self) -> u64 {
        let excess = if self.pages == 1 { self.outside } else { self.excess };
        self.position.saturating_sub(excess).saturating_sub(self.skip())
    }

    /// The frames between the end of the last page and `granule`.
    pub(crate) fn frames_until(&self, granule: i64) -> u64 {
        self.granule.map_or(0, |last| u64::try_from(granule.saturating_sub(last)).unwrap_or(0))
    }

    /// The last page was marked as the last of the stream, and no packet was left incomplete.
    pub(crate) fn ended(&self) -> bool {
        self.ended && self.partial.is_none()
    }

    /// Continues at a page whose first packet begins on it. `entry` is that of its [`Audio`]. The headers have been read.
    pub(crate) fn resume(&mut self, entry: u64) {
        self.position = entry;
        self.partial = None;
        self.sequence = None;
        self.previous = None;
        self.granule = None;
        self.broken = false;
    }

    /// Takes the next page of the stream. `None` if no audio packet ends on it.
    pub(crate) fn page(&mut self, page: &Page) -> Result<Option<Audio>, Problem> {
        self.broken |= self.sequence.is_some_and(|sequence| page.sequence != sequence.wrapping_add(1));
        self.sequence = Some(page.sequence);
        self.ended = page.last;
        let mut packets = Vec::new();
        let mut continued = page.continued;
        if !continued {
            self.partial = None;
        }
        for (piece, complete) in page.pieces() {
            let follows = std::mem::take(&mut continued);
            let mut packet = match self.partial.take() {
                Some(partial) => partial,
                // The beginning of the packet is missing.
                None if follows => continue,
                None => Vec::new(),
            };
            if packet.len() + piece.len() > MAX_PACKET {
                return Err(Problem::header("it has a packet that is too large"));
            }
            packet.extend_from_slice(piece);
            if complete {
                packets.push(packet);
            } else {
                self.partial = Some(packet);
            }
        }
        if self.codec.is_none() {
            self.take_headers(&mut packets)?;
        }
        let Some(codec) = &self.codec else { return Ok(None) };
        let mut audio = Audio::default();
        let mut first_block = None;
        let before = self.previous;
        for packet in packets {
            let Some(block) = codec.block(&packet) else {
                self.broken |= !packet.is_empty();
                continue;
            };
            audio.packets.push((packet, codec.frames(self.previous, block)));
            first_block.get_or_insert(block);
            self.previous = Some(block);
        }
        let Some(first_block) = first_block else { return Ok(None) };
        let total: u64 = audio.packets.iter().map(|(_, frames)| frames).sum();
        let (rate, alone) = (codec.rate(), codec.frames(None, first_block));
        let sum = i64::try_from(total).unwrap_or(i64::MAX);
        // A page on which a packet ends must have a granule position.
        let granule = page.granule.unwrap_or_else(|| self.granule.unwrap_or(0).saturating_add(sum));
        self.excess = 0;
        match self.granule {
            None if self.position == 0 => {
                // A positive origin belongs to a stream that was cut out of a longer one.
                let origin = granule.saturating_sub(sum);
                self.outside = u64::try_from(origin.saturating_neg()).unwrap_or(0).min(total);
            }
            None => {}
            Some(last) => {
                let expected = last.saturating_add(sum);
                self.excess = u64::try_from(expected.saturating_sub(granule)).unwrap_or(0).min(total);
                let lost = granule != expected && !(page.last && granule < expected);
                if self.broken && lost {
                    audio.restart = true;
                    self.excess = 0;
                    if before.is_some() {
                        audio.packets[0].1 = alone;
                    }
                    let total: u64 = audio.packets.iter().map(|(_, frames)| frames).sum();
                    let sum = i64::try_from(total).unwrap_or(i64::MAX);
                    let gap = granule.saturating_sub(sum).saturating_sub(last).max(0);
                    if gap / i64::from(rate) > MAX_GAP {
                        return Err(Problem::Malformed {
                            seconds: self.frames() as f64 / f64::from(rate),
                            detail: "its granule positions jump".into(),
                        });
                    }
                    audio.gap = gap.unsigned_abs();
                }
            }
        }
        self.broken = false;
        self.pages = (self.pages + 1).min(2);
        self.granule = Some(granule);
        self.position = self.position.saturating_add(audio.gap);
        audio.entry = (self.position + audio.packets[0].1).saturating_sub(alone);
        let total: u64 = audio.packets.iter().map(|(_, frames)| frames).sum();
        self.position = self.position.saturating_add(total);
        Ok(Some(audio))
    }

    /// Moves the header packets out of `packets`.
    fn take_headers(&mut self, packets: &mut Vec<Vec<u8>>) -> Result<(), Problem> {
        let missing = self.kind.headers - self.headers.len();
        self.headers.extend(packets.drain(..missing.min(packets.len())));
        if self.headers.len() == self.kind.headers {
            self.codec = Some((self.kind.open)(&self.headers)?);
            self.headers = Vec::new();
        }
        Ok(())
    }
}
