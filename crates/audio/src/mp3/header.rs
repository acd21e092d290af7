//! Frame headers (ISO/IEC 11172-3, 2.4.1.3, and 13818-3 for the low rates).

/// The properties that all frames of a stream share. A decoder keeps its state only within one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// 1, 2 or 3.
    pub(crate) layer: u8,
    /// Samples per second of one channel.
    pub(crate) rate: u32,
    pub(crate) channels: usize,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) layout: Layout,
    /// Size of the whole frame.
    pub(crate) bytes: usize,
    /// Samples of one channel.
    pub(crate) samples: u64,
    /// Size of the side information, which follows the header and the checksum. 0 except in layer 3.
    pub(crate) side_info: usize,
    pub(crate) has_crc: bool,
}

impl Header {
    /// Size of the largest frame: layer 1, 32 kHz, 448 kbit/s, padded.
    pub(crate) const MAX_BYTES: usize = 2880;

    /// Parses the first four bytes of a frame. `None` if they are not a header, or that of a frame of free format.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        // In kbit/s. The number of a bit rate is its index.
        const MPEG1: [[usize; 15]; 3] = [
            [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
            [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
            [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        ];
        const MPEG2_LAYER1: [usize; 15] = [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256];
        const MPEG2: [usize; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
        let (layer, divisor, rate) = Self::common(bytes)?;
        let mpeg1 = divisor == 1;
        let table = match (mpeg1, layer) {
            (true, _) => &MPEG1[usize::from(layer) - 1],
            (false, 1) => &MPEG2_LAYER1,
            (false, _) => &MPEG2,
        };
        // A bit rate of 0 means the free format, whose frames do not state their size.
        let bits = *table.get(usize::from(bytes[2] >> 4)).filter(|&&kbits| kbits > 0)? * 1000;
        let padding = usize::from(bytes[2] >> 1 & 1);
        let channels = if bytes[3] >> 6 == 3 { 1 } else { 2 };
        let samples = match layer {
            1 => 384,
            3 if !mpeg1 => 576,
            _ => 1152,
        };
        let size = match layer {
            1 => (12 * bits / rate as usize + padding) * 4,
            _ => samples / 8 * bits / rate as usize + padding,
        };
        let side_info = match (layer, mpeg1, channels) {
            (3, true, 2) => 32,
            (3, true, _) | (3, false, 2) => 17,
            (3, false, _) => 9,
            _ => 0,
        };
        Some(Self {
            layout: Layout { layer, rate, channels },
            bytes: size,
            samples: samples as u64,
            side_info,
            has_crc: bytes[1] & 1 == 0,
        })
    }

    /// Whether the bytes begin a frame of free format.
    pub(crate) fn is_free_format(bytes: &[u8]) -> bool {
        Self::common(bytes).is_some() && bytes[2] >> 4 == 0
    }

    /// The layer, the divisor of the rate, and the rate.
    fn common(bytes: &[u8]) -> Option<(u8, u32, u32)> {
        let &[sync, second, third, _] = bytes.get(..4)?.first_chunk()?;
        if sync != 0xff || second & 0xe0 != 0xe0 {
            return None;
        }
        let layer = match second >> 1 & 3 {
            0 => return None,
            field => 4 - field,
        };
        // 3: MPEG 1. 2: MPEG 2, half the rate. 0: MPEG 2.5, a quarter of the rate.
        let divisor = match second >> 3 & 3 {
            3 => 1,
            2 => 2,
            0 => 4,
            _ => return None,
        };
        let rate = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3))? / divisor;
        Some((layer, divisor, rate))
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, Layout};

    #[test]
    fn headers_give_size_and_layout() {
        let parse = |word: u32| {
            Header::parse(&word.to_be_bytes()).map(|header| (header.layout, header.bytes, header.samples))
        };
        let layout = |layer, rate, channels| Layout { layer, rate, channels };
        // Sizes that ffmpeg writes: 128 kbit/s MPEG 1, padded; 64 kbit/s MPEG 2; 8 kbit/s MPEG 2.5; layers 2 and 1.
        assert_eq!(parse(0xfffb_9264), Some((layout(3, 44_100, 2), 418, 1152)));
        assert_eq!(parse(0xfff3_80c4), Some((layout(3, 22_050, 1), 208, 576)));
        assert_eq!(parse(0xffe3_18c4), Some((layout(3, 8_000, 1), 72, 576)));
        assert_eq!(parse(0xfffd_a400), Some((layout(2, 48_000, 2), 576, 1152)));
        assert_eq!(parse(0xffff_e800), Some((layout(1, 32_000, 2), 672, 384)));
        // No sync, reserved version, reserved layer, reserved rate, bit rate 15, free format.
        for word in [0xfe7b_9264, 0xffeb_9264, 0xfff9_9264, 0xfffb_9c64, 0xfffb_f264, 0xfffb_0264] {
            assert_eq!(parse(word), None, "{word:x}");
        }
        assert!(Header::is_free_format(&0xfffb_0264_u32.to_be_bytes()));
        assert_eq!(parse(0xffff_ea00).map(|(_, bytes, _)| bytes), Some(676));
    }
}
