//! Sun's au (also named snd): a header of numbers, then samples.

use symphonia::core::io::MediaSource;

use crate::decoder::Decoder;
use crate::downmix::Mixer;
use crate::error::Problem;
use crate::extent::Stated;
use crate::notice::ReadOptions;
use crate::pcm::{Layout, PcmDecoder, Sample};
use crate::source::{be_u32, read_up_to};

/// Opens the file that begins at byte `start`.
pub(crate) fn open(
    mut source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Box<dyn Decoder>, Problem> {
    const UNKNOWN: u64 = u32::MAX as u64;
    let mut head = [0; 24];
    if read_up_to(&mut *source, start, &mut head)? < head.len() {
        return Err(Problem::Truncated("it ends inside its header".into()));
    }
    let [offset, size, encoding, sample_rate, channels] = [4, 8, 12, 16, 20].map(|at| be_u32(&head[at..]));
    let sample = match encoding {
        1 => Sample::MuLaw,
        2 => Sample::I8,
        3 => Sample::I16,
        4 => Sample::I24,
        5 => Sample::I32,
        6 => Sample::F32,
        7 => Sample::F64,
        27 => Sample::ALaw,
        _ => return Err(Problem::Unsupported(format!("an au file with encoding {encoding}"))),
    };
    let body = start + u64::from(offset);
    let audio = Some(u64::from(size)).filter(|&size| size < UNKNOWN);
    let file_end = body + u64::from(size);
    let stated = Stated { audio, file_end, narrow: true, is_chunk: |_, _| false };
    let extent = stated.extent(&mut *source, body, length)?;
    let mixer = match channels {
        0 => return Err(Problem::header("it has no channels")),
        channels => Mixer::of_count(channels as usize)?,
    };
    let layout = Layout { format: "au", sample, big_endian: true, sample_rate, mixer };
    Ok(Box::new(PcmDecoder::new(source, layout, body, &extent, options)?))
}
