//! Walks from frame to frame. The scan of a file and its decoder make the same steps.

use super::header::Header;
use super::tags::{begins_tag, tag_end, trailing_tags};
use crate::error::Problem;
use crate::source::{Part, Window};

/// Bytes that are searched for a frame at once.
const SEARCH: usize = 32 * 1024;

/// What lies at the walk's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A complete frame.
    Frame(Header),
    /// The audio ends inside of this frame.
    Cut,
    /// This many bytes of no frame were passed. They are no tag, so audio is lost.
    Damage(u64),
    /// The end of the audio.
    End,
}

/// A position in a file of frames.
pub(crate) struct Walk {
    window: Window,
    position: u64,
    /// The end of the audio. Tags may follow.
    end: u64,
}

impl Walk {
    /// Begins at byte 0. Finds the tags at the end.
    pub(crate) fn new(source: Part) -> Result<Self, Problem> {
        let mut window = Window::new(source);
        let end = trailing_tags(&mut window)?;
        Ok(Self { window, position: 0, end })
    }

    /// A walk over a file that was walked before. `end` is that of [`Self::end`].
    pub(crate) fn resume(source: Part, end: u64) -> Self {
        Self { window: Window::new(source), position: 0, end }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The end of the audio in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn window(&mut self) -> &mut Window {
        &mut self.window
    }

    pub(crate) fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// The bytes of the frame at the position.
    pub(crate) fn frame(&mut self, header: &Header) -> Result<&[u8], Problem> {
        self.window.at(self.position, header.bytes)
    }

    /// Moves past the frame at the position.
    pub(crate) fn pass(&mut self, header: &Header) {
        self.position += header.bytes as u64;
    }

    /// The next step after the frame `last`.
    pub(crate) fn step(&mut self, last: &Header) -> Result<Step, Problem> {
        let bytes = self.bytes(self.position, 4)?;
        let cut = bytes.len() < 4 && bytes.first() == Some(&0xff);
        if let Some(header) = Header::parse(bytes)
            && (header.layout == last.layout || self.is_followed(self.position, &header, 2)?)
        {
            let start = self.position;
            if start + header.bytes as u64 > self.end {
                return Ok(Step::Cut);
            }
            return Ok(if self.is_cut(&header)? {
                Step::Damage(self.position - start)
            } else {
                Step::Frame(header)
            });
        }
        if cut {
            return Ok(Step::Cut);
        }
        self.skip(last)
    }

    /// Whether the frame at the position is cut by another frame that begins inside of it. Moves there if so.
    fn is_cut(&mut self, header: &Header) -> Result<bool, Problem> {
        const FOLLOWERS: usize = 2;
        let start = self.position;
        if self.is_followed(start, header, 1)? {
            return Ok(false);
        }
        for at in start + 1..start + header.bytes as u64 {
            if let Some(inner) = Header::parse(self.bytes(at, 4)?)
                && self.is_followed(at, &inner, FOLLOWERS)?
            {
                self.position = at;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Passes bytes that are no frame.
    fn skip(&mut self, last: &Header) -> Result<Step, Problem> {
        let start = self.position;
        let tagged = self.pass_tags()?;
        let before = self.position;
        let next = self.find(|walk, at, header| {
            let followers = if header.layout == last.layout { 1 } else { 2 };
            walk.is_followed(at, header, followers)
        })?;
        let passed = self.position - start;
        let junk = self.position - before;
        let Some(next) = next else {
            // Data of another kind after the last frame. A frame whose header is damaged has about the size of the last.
            let lost = !tagged && passed <= 2 * last.bytes as u64 && !self.is_zero(start, self.position)?;
            return Ok(if lost { Step::Damage(passed) } else { Step::End });
        };
        // A zeroed part between two frames of one stream was audio. Between two songs it is padding.
        let padding = next.layout != last.layout && self.is_zero(start, self.position)?;
        Ok(if tagged || padding || junk == 0 { Step::Frame(next) } else { Step::Damage(passed) })
    }

    /// Passes the tags at the position. Returns whether there is one.
    pub(crate) fn pass_tags(&mut self) -> Result<bool, Problem> {
        let mut tagged = false;
        while let Some(end) = tag_end(&mut self.window, self.position)? {
            tagged = true;
            // A wrong size must not hide frames.
            let inside = end <= self.end;
            let next = self.bytes(end, 11)?;
            let sound = inside
                && (next.is_empty()
                    || next.iter().all(|&byte| byte == 0)
                    || Header::parse(next).is_some()
                    || begins_tag(next));
            if !sound {
                break;
            }
            self.position = end;
        }
        Ok(tagged)
    }

    /// Moves to the next header for which `accept` is true. Moves to the end if there is none.
    pub(crate) fn find(
        &mut self,
        mut accept: impl FnMut(&mut Self, u64, &Header) -> Result<bool, Problem>,
    ) -> Result<Option<Header>, Problem> {
        loop {
            let bytes = self.bytes(self.position, SEARCH)?;
            let count = bytes.len();
            let candidate = (0..count.saturating_sub(3))
                .filter(|&at| bytes[at] == 0xff)
                .find_map(|at| Some((at as u64, Header::parse(&bytes[at..at + 4])?)));
            if let Some((at, header)) = candidate {
                self.position += at;
                if accept(self, self.position, &header)? {
                    return Ok(Some(header));
                }
                self.position += 1;
            } else if count < SEARCH {
                self.position = self.end.max(self.position);
                return Ok(None);
            } else {
                self.position += (SEARCH - 3) as u64;
            }
        }
    }

    /// Whether the frame at `position` is complete and followed by `followers` headers of the same stream, or by fewer and
    /// then by the end or a tag.
    pub(crate) fn is_followed(
        &mut self,
        position: u64,
        header: &Header,
        followers: usize,
    ) -> Result<bool, Problem> {
        let mut at = position + header.bytes as u64;
        if at > self.end {
            return Ok(false);
        }
        for _ in 0..followers {
            let bytes = self.bytes(at, 11)?;
            if bytes.len() < 4 {
                return Ok(true);
            }
            match Header::parse(bytes) {
                Some(next) if next.layout == header.layout => at += next.bytes as u64,
                _ => return Ok(begins_tag(bytes)),
            }
            if at > self.end {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Whether all bytes of a range are zero.
    pub(crate) fn is_zero(&mut self, mut start: u64, end: u64) -> Result<bool, Problem> {
        while start < end {
            let count = usize::try_from(end - start).unwrap_or(SEARCH).min(SEARCH);
            if self.window.at(start, count)?.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            start += count as u64;
        }
        Ok(true)
    }

    /// `count` bytes of the audio, or fewer at its end.
    fn bytes(&mut self, position: u64, count: usize) -> Result<&[u8], Problem> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        self.window.at(position, count.min(left))
    }
}

/// The number of frames that were lost with `bytes` after the frame `last`.
pub(crate) fn lost_frames(bytes: u64, last: &Header) -> u64 {
    let size = last.bytes as u64;
    ((bytes + size / 2) / size).max(1)
}
