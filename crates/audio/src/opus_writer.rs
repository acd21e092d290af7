//! Writes Opus in Ogg packet by packet, so that memory does not grow with the song.

use std::io::{self, Write};

use opus_pure::{Application, Error, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead, OpusTags};
use unbraid_base::Stereo;

use crate::resample::Resampler;

/// The sample rate of Opus in Hz.
const RATE: u32 = 48_000;

/// Frames of a packet: 20 ms.
const PACKET: usize = 960;

/// Bits per second. Stems are mixed again, which uncovers what a lower rate hides.
const BIT_RATE: i32 = 256_000;

/// Writes an Opus stream.
pub(crate) struct OpusWriter<W: Write> {
    out: OggOpusWriter<W>,
    encoder: OpusEncoder,
    resampler: Option<Resampler>,
    /// Samples at 48 kHz that do not fill a packet yet.
    pending: Stereo,
    /// Frames at 48 kHz so far, without the pending ones.
    encoded: u64,
    /// Frames at 48 kHz by which the output of a decoder is late.
    delay: u64,
    packet: Vec<u8>,
}

impl<W: Write> OpusWriter<W> {
    /// Starts a stream for samples at `rate` Hz, with `comments` as its tags.
    pub(crate) fn new(out: W, rate: u32, comments: &[(String, String)]) -> io::Result<Self> {
        let mut encoder = OpusEncoder::new(RATE as i32, 2, Application::Audio).map_err(failed)?;
        encoder.bitrate_bps = BIT_RATE;
        let mut tags = OpusTags::new();
        for (name, value) in comments {
            tags.push(name, value).map_err(failed)?;
        }
        let head = OpusHead::for_encoder(&encoder, rate);
        let delay = u64::from(head.pre_skip);
        Ok(Self {
            out: OggOpusWriter::with_tags(out, head, tags).map_err(failed)?,
            encoder,
            resampler: (rate != RATE).then(|| Resampler::new(rate, RATE)),
            pending: Stereo::default(),
            encoded: 0,
            delay,
            packet: vec![0; MAX_PACKET_BYTES],
        })
    }

    /// Appends a block of any length.
    pub(crate) fn write(&mut self, block: &Stereo) -> io::Result<()> {
        match &mut self.resampler {
            Some(resampler) => resampler.push(block, &mut self.pending),
            None => {
                for (pending, block) in self.pending.iter_mut().zip(block) {
                    pending.extend_from_slice(block);
                }
            }
        }
        let whole = self.pending[0].len() / PACKET * PACKET;
        for start in (0..whole).step_by(PACKET) {
            let size = self.encode(start)?;
            self.out.write_packet(&self.packet[..size]).map_err(failed)?;
        }
        self.pending.iter_mut().for_each(|pending| drop(pending.drain(..whole)));
        self.encoded += whole as u64;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        if let Some(mut resampler) = self.resampler.take() {
            resampler.finish(&mut self.pending);
            self.write(&Stereo::default())?;
        }
        // The last samples leave the encoder only after its delay, so silence follows them. The position of the last
        // packet states where the song ends in it.
        let rest = self.pending[0].len();
        let end = self.delay + self.encoded + rest as u64;
        let packets = (rest + self.delay as usize).div_ceil(PACKET);
        self.pending.iter_mut().for_each(|pending| pending.resize(packets * PACKET, 0.0));
        for index in 0..packets {
            let size = self.encode(index * PACKET)?;
            let position = self.out.granule().unsigned_abs();
            let frames = (end - position).min(PACKET as u64) as u32;
            self.out.write_packet_with_duration(&self.packet[..size], frames).map_err(failed)?;
        }
        let mut out = self.out.finish().map_err(failed)?;
        out.flush()?;
        Ok(out)
    }

    /// Encodes the packet of the pending samples from `start` on. Returns its size.
    fn encode(&mut self, start: usize) -> io::Result<usize> {
        let [left, right] = self.pending.each_ref().map(|channel| &channel[start..start + PACKET]);
        let samples: Vec<f32> = left.iter().zip(right).flat_map(|(&left, &right)| [left, right]).collect();
        self.encoder.encode(&samples, PACKET, &mut self.packet).map_err(failed)
    }
}

fn failed(error: Error) -> io::Error {
    io::Error::other(error)
}
