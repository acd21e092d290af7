//! Decodes the audio stream of one link.

use std::collections::VecDeque;
use std::ops::Range;

use unbraid_base::Stereo;

use super::packets::{Audio, Packets};
use super::page::Pages;
use crate::codec::Kind;
use crate::error::Problem;
use crate::joined::{Gap, SectionDecoder};
use crate::source::Shared;

/// Frames of silence that are appended at once.
const BLOCK: u64 = 16_384;

/// The audio stream of one link.
pub(crate) struct Link {
    /// The pages of the link, as byte positions.
    pub(crate) range: Range<u64>,
    pub(crate) serial: u32,
    pub(crate) kind: &'static Kind,
    /// Frames of the decoder's output before the song.
    pub(crate) skip: u64,
    /// Places where decoding can begin: the position of a page, and the number of the decoder's first frame.
    pub(crate) entries: Vec<(u64, u64)>,
}

/// Decoder of a link. Frames are numbered as in [`Packets`].
pub(crate) struct LinkDecoder {
    pages: Pages,
    packets: Packets,
    serial: u32,
    skip: u64,
    entries: Vec<(u64, u64)>,
    /// Packets to be decoded, and the frames that each must give.
    queue: VecDeque<(Vec<u8>, u64)>,
    /// Frames of silence before the queue.
    silence: u64,
    /// The number of the next frame.
    next: u64,
    /// The number of the next frame to be output.
    wanted: u64,
    block: Stereo,
}

impl LinkDecoder {
    pub(crate) fn new(source: &Shared, link: &Link) -> Self {
        let mut pages = Pages::new(source.part(0..link.range.end));
        pages.seek(link.range.start);
        Self {
            pages,
            packets: Packets::new(link.kind),
            serial: link.serial,
            skip: link.skip,
            entries: link.entries.clone(),
            queue: VecDeque::new(),
            silence: 0,
            next: 0,
            wanted: link.skip,
            block: Stereo::default(),
        }
    }

    /// Reads a page. Returns `false` at the end.
    fn read_page(&mut self) -> Result<bool, Problem> {
        let Some(page) = self.pages.next()? else { return Ok(false) };
        if page.serial != self.serial {
            return Ok(true);
        }
        if let Some(Audio { gap, restart, packets, .. }) = self.packets.page(&page)? {
            self.silence = gap;
            self.queue.extend(packets);
            if restart && let Some(codec) = self.packets.codec() {
                codec.reset();
            }
        }
        Ok(true)
    }

    /// Appends the part of `self.block` that is wanted. Returns `false` if there is none.
    fn emit(&mut self, out: &mut Stereo) -> bool {
        let length = self.block[0].len();
        let dropped = self.wanted.saturating_sub(self.next).min(length as u64) as usize;
        self.next += length as u64;
        for (out, block) in out.iter_mut().zip(&self.block) {
            out.extend_from_slice(&block[dropped..]);
        }
        dropped < length
    }

    /// Decodes a packet into `self.block`.
    fn decode(&mut self, packet: &[u8], frames: u64, gaps: &mut Vec<Gap>) {
        let Some(codec) = self.packets.codec() else { return };
        let frames = frames as usize;
        self.block.iter_mut().for_each(Vec::clear);
        let mut detail = "a packet holds too little audio".to_owned();
        if let Err(problem) = codec.decode(packet, &mut self.block) {
            detail = match problem {
                Problem::Malformed { detail, .. } => detail,
                problem => problem.to_string(),
            };
            codec.reset();
            self.block.iter_mut().for_each(Vec::clear);
        }
        let missing = frames.saturating_sub(self.block[0].len());
        if missing > 0 {
            gaps.push(Gap { at: self.next.saturating_sub(self.skip), frames: missing as u64, detail });
        }
        for channel in &mut self.block {
            channel.truncate(frames);
            channel.splice(..0, std::iter::repeat_n(0.0, missing));
        }
    }
}

impl SectionDecoder for LinkDecoder {
    fn read(&mut self, out: &mut Stereo, gaps: &mut Vec<Gap>) -> Result<bool, Problem> {
        loop {
            if self.silence > 0 {
                let unwanted = self.wanted.saturating_sub(self.next).min(self.silence);
                self.next += unwanted;
                self.silence -= unwanted;
                let count = self.silence.min(BLOCK);
                self.silence -= count;
                self.block = [vec![0.0; count as usize], vec![0.0; count as usize]];
                if self.emit(out) {
                    return Ok(true);
                }
                continue;
            }
            let mut any = false;
            while let Some((packet, frames)) = self.queue.pop_front() {
                self.decode(&packet, frames, gaps);
                any |= self.emit(out);
            }
            if any {
                return Ok(true);
            }
            if !self.read_page()? {
                return Ok(false);
            }
        }
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        self.wanted = self.skip.saturating_add(frame);
        while self.packets.codec().is_none() {
            if !self.read_page()? {
                return Ok(());
            }
        }
        let Some(codec) = self.packets.codec() else { return Ok(()) };
        let Some(preroll) = codec.preroll() else { return Ok(()) };
        let target = self.wanted.saturating_sub(preroll);
        let index = self.entries.partition_point(|&(_, first)| first <= target);
        if let Some(&(page, first)) = index.checked_sub(1).and_then(|index| self.entries.get(index))
            && first > self.next
        {
            codec.reset();
            self.queue.clear();
            self.silence = 0;
            self.packets.resume(first);
            self.pages.seek(page);
            self.next = first;
        }
        Ok(())
    }
}
