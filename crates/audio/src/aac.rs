//! AAC: its configuration (ISO/IEC 14496-3, 1.6.2.1), and whether packets hold more than AAC-LC.
//!
//! HE-AAC codes the upper half of the spectrum in extension elements (SBR) that a decoder of AAC-LC skips. Half of the
//! spectrum would be lost without an error. Therefore such files are refused, even if only the packets show it.

use crate::error::Problem;

/// Frames of a packet.
pub(crate) const FRAMES: u64 = 1024;

/// The rates of the 4-bit index.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// The contents of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Samples per second of one channel.
    pub(crate) rate: u32,
    pub(crate) channels: usize,
}

/// Parses a configuration. Anything but AAC-LC is an error that names it.
pub(crate) fn config(bytes: &[u8]) -> Result<Config, Problem> {
    let damaged = || Problem::header("its AAC configuration is damaged");
    let mut bits = Bits { bytes, position: 0 };
    let object = bits.object_type().ok_or_else(damaged)?;
    refuse(object)?;
    let rate = bits.rate().ok_or_else(damaged)?;
    let layout = bits.take(4).ok_or_else(damaged)?;
    let channels = match layout {
        0 => return Err(Problem::Unsupported("AAC with a channel configuration of its own".into())),
        1..=6 => layout as usize,
        7 => 8,
        _ => return Err(damaged()),
    };
    let short = bits.take(1).ok_or_else(damaged)?;
    if short == 1 {
        return Err(Problem::Unsupported("AAC with packets of 960 samples".into()));
    }
    // "Depends on core coder" and its delay, then the extension flag.
    if bits.take(1) == Some(1) {
        bits.take(14);
    }
    bits.take(1);
    // Backward compatible signalling of SBR.
    if bits.take(11) == Some(0x2b7) && bits.object_type() == Some(5) && bits.take(1) == Some(1) {
        refuse(5)?;
    }
    Ok(Config { rate, channels })
}

/// The configuration of an ADTS header's fields: profile, index of the rate, channel layout.
pub(crate) fn of_adts(profile: u8, rate: u8, layout: u8) -> Vec<u8> {
    let bits = u16::from(profile + 1) << 11 | u16::from(rate) << 7 | u16::from(layout) << 3;
    bits.to_be_bytes().to_vec()
}

fn refuse(object: u32) -> Result<(), Problem> {
    let name = match object {
        2 => return Ok(()),
        1 => "AAC Main",
        3 => "AAC SSR",
        4 => "AAC LTP",
        5 => "HE-AAC (AAC with SBR)",
        29 => "HE-AAC v2 (AAC with SBR and PS)",
        23 | 39 => "AAC-LD or AAC-ELD",
        36 => "MPEG-4 ALS",
        42 => "xHE-AAC (USAC)",
        other => return Err(Problem::Unsupported(format!("MPEG-4 audio of type {other}"))),
    };
    Err(Problem::Unsupported(name.into()))
}

/// The error for a file whose packets hold SBR although its header does not state it.
pub(crate) fn implicit_sbr() -> Problem {
    Problem::Unsupported("HE-AAC (AAC with SBR)".into())
}

/// Whether a packet ends with a fill element that holds SBR data.
///
/// The elements before it are not parsed. The end of the packet is compared with every possible length of such an
/// element. A packet of AAC-LC matches by chance in about 1 of 50 cases, so the majority of several packets decides.
pub(crate) fn ends_with_sbr(packet: &[u8]) -> bool {
    let bits = Bits { bytes: packet, position: 0 };
    // The packet ends with the element 7 and up to 7 zeros.
    let Some(last) = packet.last().filter(|&&last| last != 0) else {
        return packet.len() > 1 && ends_with_sbr(&packet[..packet.len() - 1]);
    };
    let end = packet.len() * 8 - last.trailing_zeros() as usize;
    let Some(end) = end.checked_sub(3).filter(|&end| bits.at(end, 3) == Some(7)) else { return false };
    let matches = |head: usize, count: usize| {
        let start = end.checked_sub(head + 8 * count);
        start.is_some_and(|start| {
            let size = if head == 7 {
                bits.at(start + 3, 4) == Some(count as u32)
            } else {
                bits.at(start + 3, 12) == Some(15 << 8 | (count as u32 - 14))
            };
            size && bits.at(start, 3) == Some(6) && matches!(bits.at(start + head, 4), Some(13 | 14))
        })
    };
    (1..15).any(|count| matches(7, count)) || (15..270).any(|count| matches(15, count))
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// Up to 24 bits at a position.
    fn at(&self, position: usize, count: usize) -> Option<u32> {
        (position..position + count).try_fold(0, |sum, position| {
            let byte = self.bytes.get(position / 8)?;
            Some(sum << 1 | u32::from(byte >> (7 - position % 8) & 1))
        })
    }

    fn take(&mut self, count: usize) -> Option<u32> {
        let value = self.at(self.position, count)?;
        self.position += count;
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            object => Some(object),
        }
    }

    fn rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => RATES.get(index as usize).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, config, ends_with_sbr, of_adts};
    use crate::error::Problem;

    #[test]
    fn configurations_other_than_lc_are_named() {
        let lc = Config { rate: 44_100, channels: 2 };
        assert_eq!(config(&[0x12, 0x10]).expect("AAC-LC"), lc);
        assert_eq!(of_adts(1, 4, 2), [0x12, 0x10]);
        // FFmpeg appends the statement that there is no SBR.
        assert_eq!(config(&[0x12, 0x10, 0x56, 0xe5, 0x00]).expect("AAC-LC"), lc);
        let name = |bytes: &[u8]| match config(bytes) {
            Err(Problem::Unsupported(name)) => name,
            other => panic!("{other:?}"),
        };
        assert!(name(&[0x12, 0x10, 0x56, 0xe5, 0x80]).starts_with("HE-AAC ("), "backward compatible");
        assert!(name(&[0x2b, 0x92, 0x08, 0x00]).starts_with("HE-AAC ("), "hierarchical");
        assert!(name(&[0xeb, 0x8a, 0x08, 0x00]).starts_with("HE-AAC v2"), "with parametric stereo");
        assert!(name(&[0xf9, 0x46, 0x40]).starts_with("xHE-AAC"), "USAC");
        assert!(matches!(config(&[0x12]), Err(Problem::Malformed { .. })));
    }

    /// Appends the bits of `text` and fills the last byte with zeros.
    fn packet(text: &str) -> Vec<u8> {
        let bits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
        bits.chunks(8)
            .map(|chunk| chunk.iter().enumerate().fold(0, |byte, (k, bit)| byte | bit << (7 - k)))
            .collect()
    }

    #[test]
    fn sbr_at_the_end_of_a_packet_is_found() {
        let body = "001 0000 1011010011 ";
        for (count, kind) in [(1, "1101"), (2, "1110"), (14, "1101"), (20, "1101"), (269, "1110")] {
            let size = if count < 15 { format!("{count:04b}") } else { format!("1111 {:08b}", count - 14) };
            let text = format!("{body} 110 {size} {kind} {} 111", "0110".repeat(2 * count - 1));
            assert!(ends_with_sbr(&packet(&text)), "{count} bytes");
        }
        assert!(!ends_with_sbr(&packet(&format!("{body} 111"))));
        let filled = format!("{body} 110 0010 0000 {} 111", "0000".repeat(3));
        assert!(!ends_with_sbr(&packet(&filled)), "filling is not SBR");
        assert!(!ends_with_sbr(&[]) && !ends_with_sbr(&[0]) && !ends_with_sbr(&[7]));
    }
}
