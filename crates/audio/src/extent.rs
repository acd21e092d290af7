//! How many bytes of audio a file holds, from what its header states and from what is there.
//!
//! A program that writes to a pipe, and a recorder that lost power, cannot fill in the length.

use symphonia::core::io::MediaSource;

use crate::error::Problem;
use crate::notice::{Notice, Notices};
use crate::source::read_up_to;

/// Maximum number of zeros after the audio that are looked at.
const MAX_ZEROS: u64 = 1 << 24;

/// The audio's bytes in a file, and how they differ from what the header states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The bytes that are there.
    pub(crate) bytes: u64,
    /// The difference. `None` if the header is right.
    pub(crate) difference: Option<Difference>,
}

/// How a file differs from its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The header does not state a length.
    NotStated,
    /// The file ends before the audio does. The stated number of bytes.
    Cut(u64),
    /// This number of bytes follows the stated audio, and they are neither a chunk nor a tag.
    Unknown(u64),
}

impl Extent {
    /// All of `available` bytes, because the header does not state a length.
    fn not_stated(available: u64) -> Self {
        Self { bytes: available, difference: Some(Difference::NotStated) }
    }

    /// `stated` bytes of which only `available` are there.
    fn cut(stated: u64, available: u64) -> Self {
        Self { bytes: available, difference: Some(Difference::Cut(stated)) }
    }

    /// Adds the notice about the difference. `byte_rate`: bytes per second.
    ///
    /// # Errors
    /// [`Problem::Truncated`] and [`Problem::Malformed`] if more is missing than the options allow.
    pub(crate) fn report(&self, notices: &mut Notices, byte_rate: f64) -> Result<(), Problem> {
        let at = self.bytes as f64 / byte_rate;
        match self.difference {
            None => Ok(()),
            Some(Difference::NotStated) => {
                notices.add(Notice::LengthNotStated);
                Ok(())
            }
            Some(Difference::Cut(stated)) => {
                let seconds = (stated - self.bytes) as f64 / byte_rate;
                let refused = || {
                    Problem::Truncated(format!(
                        "its header announces {stated} bytes of audio, but it holds {}",
                        self.bytes
                    ))
                };
                notices.missing(at, seconds, "the file is cut short", refused)
            }
            Some(Difference::Unknown(rest)) => {
                let detail =
                    format!("{rest} bytes of unknown content follow the length that its header states");
                let refused = || Problem::Malformed { seconds: at, detail: detail.clone() };
                notices.missing(at, rest as f64 / byte_rate, detail.clone(), refused)
            }
        }
    }
}

/// What the beginning of a file states about its sizes.
#[derive(Clone, Copy)]
pub(crate) struct Stated {
    /// Bytes of audio. `None` if the field holds a number that stands for an unknown length.
    pub(crate) audio: Option<u64>,
    /// Position of the end of the file.
    pub(crate) file_end: u64,
    /// Whether the number of bytes of audio has 32 bits.
    pub(crate) narrow: bool,
    /// Whether bytes are the beginning of one of the format's chunks. It takes 40 bytes, which are zeros after the end,
    /// and the number of bytes that are left in the file.
    pub(crate) is_chunk: fn(&[u8], u64) -> bool,
}

impl Stated {
    /// The audio from `body` on in a file of `length` bytes.
    pub(crate) fn extent(
        &self,
        source: &mut dyn MediaSource,
        body: u64,
        length: u64,
    ) -> Result<Extent, Problem> {
        const WRAP: u64 = 1 << 32;
        let available = length.saturating_sub(body);
        let Some(stated) = self.audio else { return Ok(Extent::not_stated(available)) };
        if stated > available {
            // The size of the whole file, if it is right, leaves no room for that much audio.
            let contradicted = body.saturating_add(stated) > self.file_end && self.file_end <= length;
            let unset = contradicted || (self.narrow && is_placeholder(stated));
            return Ok(if unset { Extent::not_stated(available) } else { Extent::cut(stated, available) });
        }
        let rest = available - stated;
        let end = body + stated;
        // A few bytes are too few for a chunk.
        let is_little = stated > 0 && rest < 8;
        if rest == 0 || is_little || self.is_chunk_or_tag(source, end, rest)? {
            return Ok(Extent { bytes: stated, difference: None });
        }
        if self.narrow && rest >= WRAP {
            // The program counted more than 4 GiB with 32 bits.
            let bytes = stated + rest / WRAP * WRAP;
            let rest = available - bytes;
            let exact = rest > 0 && self.is_chunk_or_tag(source, body + bytes, rest)?;
            return Ok(Extent::not_stated(if exact { bytes } else { available }));
        }
        if stated == 0 {
            return Ok(Extent::not_stated(available));
        }
        let difference = if are_zeros(source, end, rest)? { None } else { Some(Difference::Unknown(rest)) };
        Ok(Extent { bytes: stated, difference })
    }

    /// Whether the `rest` bytes from `position` to the end are chunks or a tag.
    fn is_chunk_or_tag(
        &self,
        source: &mut dyn MediaSource,
        position: u64,
        rest: u64,
    ) -> Result<bool, Problem> {
        let mut head = [0; 48];
        read_up_to(source, position, &mut head)?;
        let is_tag = [&b"TAG"[..], b"ID3", b"APETAGEX"].iter().any(|tag| head.starts_with(tag));
        // After audio of odd size there is a byte of padding, unless the program forgot it.
        let is_chunk = (self.is_chunk)(&head, rest) || (self.is_chunk)(&head[1..], rest);
        Ok(is_tag || is_chunk)
    }
}

/// Whether the last `rest` bytes of the file, from `position` on, are zeros. Too many to look at are not.
fn are_zeros(source: &mut dyn MediaSource, mut position: u64, rest: u64) -> Result<bool, Problem> {
    let mut block = vec![0; 1 << 16];
    loop {
        let got = read_up_to(source, position, &mut block)?;
        if rest > MAX_ZEROS || block[..got].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        if got < block.len() {
            return Ok(true);
        }
        position += got as u64;
    }
}

/// Whether bytes can be the name of a chunk.
pub(crate) fn is_name(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Whether a length of 32 bits is one that programs write when they do not know it: shortly below the largest signed or
/// the largest unsigned number. Each program rounds it to its own block or leaves room for its own header.
fn is_placeholder(length: u64) -> bool {
    const BELOW: u64 = 1 << 24;
    const ABOVE: u64 = 1 << 16;
    [1_u64 << 31, 1 << 32].iter().any(|limit| (limit - BELOW..=limit + ABOVE).contains(&length))
}

#[cfg(test)]
mod tests {
    use super::is_placeholder;

    #[test]
    fn lengths_near_the_limits_are_placeholders() {
        // Those of sox (wav, aiff), of Android, of ffmpeg and of players that leave room for the header.
        for length in [0x7fff_f000, 0x7f00_0008, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_ff00] {
            assert!(is_placeholder(length), "{length:x}");
        }
        for length in [0, 44, 1 << 30, 0x7eff_ffff, 0x8001_0001, 0xfeff_ffff] {
            assert!(!is_placeholder(length), "{length:x}");
        }
    }
}
