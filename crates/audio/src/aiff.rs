//! Aiff and aiff-c, uncompressed. Format: Apple's "Audio Interchange File Format" 1.3 and its extension "AIFF-C".

use symphonia::core::io::MediaSource;

use crate::core_audio::{channel_layout, codec_name};
use crate::decoder::Decoder;
use crate::downmix::Mixer;
use crate::error::Problem;
use crate::extent::{Extent, Stated, is_name};
use crate::notice::ReadOptions;
use crate::pcm::{Layout, PcmDecoder, Sample};
use crate::source::{be_u16, be_u32, be_u64, read_up_to};
use crate::wav::MAX_CHUNKS;

/// The common chunk.
struct Common {
    channels: usize,
    sample: Sample,
    big_endian: bool,
    sample_rate: u32,
}

/// Opens the file that begins at byte `start`.
pub(crate) fn open(
    mut source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Box<dyn Decoder>, Problem> {
    let mut head = [0; 16];
    read_up_to(&mut *source, start, &mut head)?;
    let file_end = start + 8 + u64::from(be_u32(&head[4..]));
    let mut common = None;
    let mut mixer = None;
    let mut audio: Option<(u64, Extent)> = None;
    let mut position = start + 12;
    for _ in 0..MAX_CHUNKS {
        // The chunks may have any order. Those after the audio cannot be found if its length is unknown.
        let searching = common.is_none() || audio.is_none();
        let got = read_up_to(&mut *source, position, &mut head)?;
        if got < 8 || !is_name(&head[..4]) {
            if searching {
                return Err(Problem::Truncated("its header announces audio that is missing".into()));
            }
            break;
        }
        let size = u64::from(be_u32(&head[4..]));
        let body = position + 8;
        match &head[..4] {
            b"COMM" => {
                let mut bytes = [0; 22];
                let wanted = size.min(22) as usize;
                if read_up_to(&mut *source, body, &mut bytes[..wanted])? < wanted {
                    return Err(Problem::Truncated("it ends inside its header".into()));
                }
                common = Some(Common::parse(&bytes[..wanted])?);
            }
            b"CHAN" => mixer = channel_layout(&mut *source, body, size)?,
            b"SSND" => {
                // The samples follow two numbers, the first of which is the number of bytes to skip.
                const NUMBERS: u64 = 8;
                let skip = if got == head.len() { u64::from(be_u32(&head[8..])) } else { 0 };
                let stated = Some(size.saturating_sub(NUMBERS + skip));
                let samples = body + NUMBERS + skip;
                let stated = Stated { audio: stated, file_end, narrow: true, is_chunk };
                audio = Some((samples, stated.extent(&mut *source, samples, length)?));
            }
            _ => {}
        }
        position = body + size + size % 2;
    }
    let (Some(common), Some((body, extent))) = (common, audio) else {
        return Err(Problem::header("it has too many chunks"));
    };
    let Common { channels, sample, big_endian, sample_rate } = common;
    let mixer = match mixer.filter(|mixer| mixer.channels() == channels) {
        Some(mixer) => mixer,
        None => Mixer::of_count(channels)?,
    };
    let layout = Layout { format: "aiff", sample, big_endian, sample_rate, mixer };
    Ok(Box::new(PcmDecoder::new(source, layout, body, &extent, options)?))
}

/// Whether a chunk begins with `head`. `rest` bytes are left in the file.
fn is_chunk(head: &[u8], rest: u64) -> bool {
    is_name(&head[..4]) && u64::from(be_u32(&head[4..])) + 8 <= rest
}

impl Common {
    /// Reads the content of a common chunk: channels, frames, bits, rate, and in aiff-c the codec.
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.len() < 18 {
            return Err(Problem::header("its common chunk is too short"));
        }
        let channels = usize::from(be_u16(bytes));
        if channels == 0 {
            return Err(Problem::header("it has no channels"));
        }
        let bits = usize::from(be_u16(&bytes[6..]));
        let integer = || Sample::integer(bits.div_ceil(8));
        let codec = bytes.get(18..22).unwrap_or(b"NONE");
        let (sample, big_endian) = match codec {
            b"NONE" | b"twos" => (integer(), true),
            b"sowt" => (integer(), false),
            b"raw " => (Some(Sample::U8).filter(|_| bits == 8), true),
            b"in24" => (Some(Sample::I24), true),
            b"in32" => (Some(Sample::I32), true),
            b"42ni" => (Some(Sample::I24), false),
            b"23ni" => (Some(Sample::I32), false),
            b"fl32" | b"FL32" => (Some(Sample::F32), true),
            b"fl64" | b"FL64" => (Some(Sample::F64), true),
            b"alaw" | b"ALAW" => (Some(Sample::ALaw), true),
            b"ulaw" | b"ULAW" => (Some(Sample::MuLaw), true),
            _ => {
                let name = codec_name(codec);
                return Err(Problem::Unsupported(format!("an aiff file with {name} inside")));
            }
        };
        let sample =
            sample.ok_or_else(|| Problem::Unsupported(format!("an aiff file with {bits}-bit samples")))?;
        Ok(Self { channels, sample, big_endian, sample_rate: extended_float(&bytes[8..18]) })
    }
}

/// A float of 80 bits, rounded to an integer: sign and exponent of 16 bits, mantissa of 64 bits. 0 if it is not in the
/// range of the result.
fn extended_float(bytes: &[u8]) -> u32 {
    const BIAS: i32 = 16_383;
    let exponent = i32::from(be_u16(bytes)) - BIAS;
    let mantissa = be_u64(&bytes[2..]);
    if !(0..32).contains(&exponent) {
        return 0;
    }
    u32::try_from((u128::from(mantissa) + (1 << (62 - exponent))) >> (63 - exponent)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::extended_float;

    #[test]
    fn sample_rates_are_floats_of_80_bits() {
        let rate = |exponent: u16, mantissa: u64| {
            extended_float(&[&exponent.to_be_bytes()[..], &mantissa.to_be_bytes()].concat())
        };
        assert_eq!(rate(0x400e, 0xac44 << 48), 44_100);
        assert_eq!(rate(0x4010, 0xbb80 << 48), 192_000);
        // 22254.5454… Hz, the rate of the first Macintosh.
        assert_eq!(rate(0x400d, 0xaddd_1745_d174_5d17), 22_255);
        assert_eq!([rate(0, 1), rate(0x7fff, u64::MAX), rate(0xc00e, 0xac44 << 48)], [0; 3]);
    }
}
