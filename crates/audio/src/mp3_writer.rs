//! Writes mp3 frame by frame, so that memory does not grow with the song.

use std::io::{self, Seek, SeekFrom, Write};

use rusty_mp3::{Mp3Encoder, Mp3EncoderConfig};

/// Target of the variable bit rate in kbit/s, the highest of MPEG-1. Passages with less content take less: silence
/// takes a tenth. With a constant rate, the encoder would keep all frames in memory until the end.
const KBPS: u32 = 320;

/// Writes an mp3 stream.
pub(crate) struct Mp3Writer<W> {
    out: W,
    encoder: Mp3Encoder,
    rate: u32,
    /// Position of the first frame, which states the length.
    start: u64,
}

impl<W: Write + Seek> Mp3Writer<W> {
    /// Starts a stream at the current position of `out`.
    pub(crate) fn new(mut out: W, rate: u32) -> io::Result<Self> {
        let start = out.stream_position()?;
        let config = Mp3EncoderConfig { bitrate_kbps: KBPS, vbr_quality: Some(KBPS as f32) };
        let mut writer = Self { out, encoder: Mp3Encoder::new(config), rate, start };
        // The encoder learns the rate here, so that a song without samples is a stream too.
        writer.write(&[])?;
        Ok(writer)
    }

    /// Appends interleaved samples.
    pub(crate) fn write(&mut self, samples: &[f32]) -> io::Result<()> {
        self.encoder.push_pcm_f32(samples, 2, self.rate).map_err(io::Error::other)?;
        self.write_frames()
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.encoder.finish();
        self.write_frames()?;
        // The first frame is written again, because only now are the length and the padding known.
        if let Some(frame) = self.encoder.lame_tag_frame() {
            self.out.seek(SeekFrom::Start(self.start))?;
            self.out.write_all(frame)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_frames(&mut self) -> io::Result<()> {
        while let Ok(frame) = self.encoder.next_packet() {
            self.out.write_all(&frame)?;
        }
        Ok(())
    }
}
