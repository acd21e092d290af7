//! Every format against ffmpeg, over a grid of codecs, rates, channels, metadata and truncation.
//!
//! ffmpeg encodes a signal and decodes the file. This crate must read the same number of frames: the same bits where
//! the codec is lossless, and the same sound within [`LEAST_SNR`] where it is lossy. Without ffmpeg the tests are
//! ignored, with that reason.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::f64::consts::{FRAC_1_SQRT_2, TAU};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use unbraid_audio::{AudioReader, Notice, ReadOptions, Stereo};
use unbraid_base::snr_db;

/// Lower bound of the agreement with ffmpeg's decoder of a lossy codec, in dB.
const LEAST_SNR: f64 = 80.0;

/// Length of the signal in seconds. It is no whole number of frames of any codec.
const SECONDS: f64 = 0.7123;

const ALL_RATES: &[u32] = &[8_000, 44_100, 96_000];
const UP_TO_48: &[u32] = &[8_000, 22_050, 44_100, 48_000];
/// Above them, ffmpeg writes a header that symphonia refuses.
const ADPCM: &[u32] = &[8_000, 44_100];
const OPUS: &[u32] = &[48_000];

/// A way to write files.
struct Codec {
    name: &'static str,
    extension: &'static str,
    /// ffmpeg's arguments between the input and the output.
    encode: &'static str,
    rates: &'static [u32],
    most_channels: usize,
    lossless: bool,
    /// Whether the file states the exact length of the signal. ffmpeg 5 outputs the padding of some of these files.
    states_length: bool,
    /// Frames at the beginning that only ffmpeg outputs. It ignores the edit list of a fragmented mp4.
    early: usize,
    /// Whether it can carry tags and a cover.
    cover: bool,
    /// Whether what is left of a cut file can be read. An mp4 whose movie box is at its end cannot.
    readable_when_cut: bool,
}

const fn lossless(name: &'static str, extension: &'static str, encode: &'static str) -> Codec {
    Codec {
        name,
        extension,
        encode,
        rates: ALL_RATES,
        most_channels: 6,
        lossless: true,
        states_length: true,
        early: 0,
        cover: false,
        readable_when_cut: true,
    }
}

const fn mov(name: &'static str, encode: &'static str) -> Codec {
    Codec { readable_when_cut: false, ..lossless(name, "mov", encode) }
}

const fn lossy(name: &'static str, extension: &'static str, encode: &'static str) -> Codec {
    Codec { rates: UP_TO_48, most_channels: 2, lossless: false, ..lossless(name, extension, encode) }
}

const CODECS: &[Codec] = &[
    lossless("wav_u8", "wav", "-c:a pcm_u8"),
    lossless("wav_s16", "wav", "-c:a pcm_s16le"),
    lossless("wav_s24", "wav", "-c:a pcm_s24le"),
    lossless("wav_s32", "wav", "-c:a pcm_s32le"),
    lossless("wav_f32", "wav", "-c:a pcm_f32le"),
    lossless("wav_f64", "wav", "-c:a pcm_f64le"),
    lossless("rf64_s24", "wav", "-c:a pcm_s24le -rf64 always"),
    // ffmpeg counts the padding of the chunk as audio.
    Codec { states_length: false, ..lossless("w64_s16", "w64", "-c:a pcm_s16le") },
    lossless("w64_f32", "w64", "-c:a pcm_f32le"),
    lossless("aiff_s16", "aiff", "-c:a pcm_s16be"),
    lossless("aiff_s24", "aiff", "-c:a pcm_s24be"),
    lossless("aifc_sowt", "aiff", "-c:a pcm_s16le"),
    lossless("caf_s16", "caf", "-c:a pcm_s16le"),
    lossless("caf_s24be", "caf", "-c:a pcm_s24be"),
    lossless("caf_f32", "caf", "-c:a pcm_f32le"),
    Codec { cover: true, ..lossless("flac_16", "flac", "-c:a flac -sample_fmt s16") },
    lossless("flac_24", "flac", "-c:a flac -sample_fmt s32"),
    lossless("flac_fast", "flac", "-c:a flac -compression_level 0 -sample_fmt s16"),
    Codec { readable_when_cut: false, ..lossless("alac", "m4a", "-c:a alac") },
    mov("mov_u8", "-c:a pcm_u8"),
    mov("mov_s8", "-c:a pcm_s8"),
    mov("mov_sowt", "-c:a pcm_s16le"),
    mov("mov_twos", "-c:a pcm_s16be"),
    mov("mov_in24", "-c:a pcm_s24be"),
    mov("mov_in24le", "-c:a pcm_s24le"),
    mov("mov_in32", "-c:a pcm_s32be"),
    mov("mov_fl32", "-c:a pcm_f32be"),
    mov("mov_fl32le", "-c:a pcm_f32le"),
    mov("mov_fl64", "-c:a pcm_f64be"),
    Codec { readable_when_cut: true, ..mov("mov_front", "-c:a pcm_s24le -movflags +faststart") },
    Codec { most_channels: 2, ..mov("mov_alaw", "-c:a pcm_alaw") },
    Codec { most_channels: 2, ..mov("mov_mulaw", "-c:a pcm_mulaw") },
    Codec { most_channels: 2, ..lossless("wav_alaw", "wav", "-c:a pcm_alaw") },
    Codec { most_channels: 2, ..lossless("wav_mulaw", "wav", "-c:a pcm_mulaw") },
    Codec {
        states_length: false,
        most_channels: 2,
        rates: ADPCM,
        ..lossless("adpcm_ms", "wav", "-c:a adpcm_ms")
    },
    Codec {
        states_length: false,
        most_channels: 2,
        rates: ADPCM,
        ..lossless("adpcm_ima", "wav", "-c:a adpcm_ima_wav")
    },
    Codec { cover: true, ..lossy("mp3_cbr", "mp3", "-c:a libmp3lame -b:a 64k") },
    Codec { cover: true, ..lossy("mp3_vbr", "mp3", "-c:a libmp3lame -q:a 4 -id3v2_version 3") },
    Codec {
        states_length: false,
        ..lossy("mp3_untagged", "mp3", "-c:a libmp3lame -b:a 64k -write_xing 0 -id3v2_version 0")
    },
    lossy("vorbis", "ogg", "-c:a libvorbis -q:a 4 -page_duration 100000"),
    lossy("vorbis_low", "ogg", "-c:a libvorbis -q:a -1 -page_duration 100000"),
    lossy("vorbis_high", "ogg", "-c:a libvorbis -q:a 10 -page_duration 100000"),
    Codec { cover: true, readable_when_cut: false, ..lossy("aac", "m4a", "-c:a aac -aac_pns 0 -b:a 96k") },
    lossy("aac_front", "mp4", "-c:a aac -aac_pns 0 -movflags +faststart"),
    Codec {
        early: 1024,
        ..lossy(
            "aac_fragmented",
            "mp4",
            "-c:a aac -aac_pns 0 -movflags +frag_keyframe+empty_moov+delay_moov -frag_duration 200000",
        )
    },
    Codec { readable_when_cut: false, ..lossy("aac_mov", "mov", "-c:a aac -aac_pns 0") },
    Codec { states_length: false, ..lossy("aac_adts", "aac", "-c:a aac -aac_pns 0") },
    Codec {
        rates: OPUS,
        most_channels: 8,
        ..lossy("opus", "opus", "-c:a libopus -b:a 96k -page_duration 100000")
    },
    Codec {
        rates: OPUS,
        ..lossy("opus_speech", "opus", "-c:a libopus -b:a 16k -application voip -page_duration 100000")
    },
    // 60 ms are three frames in a packet.
    Codec {
        rates: OPUS,
        most_channels: 8,
        ..lossy("opus_long", "opus", "-c:a libopus -b:a 192k -frame_duration 60 -page_duration 100000")
    },
    Codec { rates: OPUS, most_channels: 8, ..lossy("webm_opus", "webm", "-c:a libopus -b:a 96k") },
    Codec { states_length: false, ..lossy("mka_vorbis", "mka", "-c:a libvorbis -q:a 4") },
];

/// A file of the grid.
#[derive(Clone, Copy)]
struct Case {
    codec: &'static Codec,
    rate: u32,
    channels: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    /// With tags and, where the format can hold it, a cover.
    Tagged,
    /// Only the first 70 % of the bytes.
    Cut,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for codec in CODECS {
        for &rate in codec.rates {
            for channels in [1, 2, 6, 8] {
                let usual = rate == if codec.rates.contains(&44_100) { 44_100 } else { 48_000 };
                if channels > codec.most_channels || (channels > 2 && !usual) {
                    continue;
                }
                cases.push(Case { codec, rate, channels, kind: Kind::Plain });
                if channels == 2 && usual {
                    cases.push(Case { codec, rate, channels, kind: Kind::Tagged });
                    cases.push(Case { codec, rate, channels, kind: Kind::Cut });
                }
            }
        }
    }
    cases
}

fn main() {
    let arguments = Arguments::from_args();
    let has_ffmpeg = Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status().is_ok();
    let cases = cases();
    assert!(cases.len() >= 200, "the grid has {} files", cases.len());
    let trials = cases.into_iter().map(|case| {
        let name =
            format!("{}_{}_{}ch_{:?}", case.codec.name, case.rate, case.channels, case.kind).to_lowercase();
        Trial::ignorable_test(name, move || {
            if !has_ffmpeg {
                return Ok(Completion::ignored_with("ffmpeg is not installed"));
            }
            case.check().map(|()| Completion::Completed)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

impl Case {
    fn check(self) -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        let path = self.write(folder.path())?;
        let expected =
            ffmpeg_decodes(&path, self.channels)?.map(|mut channel| channel.split_off(self.codec.early));
        if self.kind == Kind::Cut {
            return self.check_cut(&path, &expected);
        }
        let rate = rate_of(&path)?;
        if rate != self.rate {
            return Err(format!("the rate is {rate} Hz").into());
        }
        let mut reader = AudioReader::open(&path, rate, ReadOptions::COMPLETE)?;
        let announced = reader.frames();
        let stereo = reader.read(usize::MAX)?;
        if announced.is_some_and(|announced| announced != stereo[0].len() as u64) {
            return Err(format!("{announced:?} frames announced, {} read", stereo[0].len()).into());
        }
        let gaps = reader.notices().iter().filter(|notice| matches!(notice, Notice::Missing { .. })).count();
        if gaps > 0 {
            return Err(format!("gaps in a whole file: {:?}", reader.notices()).into());
        }
        self.compare(&expected, &stereo)
    }

    /// What is left of a cut file is read with a notice, and refused where the whole song is needed.
    fn check_cut(self, path: &Path, whole: &Stereo) -> Result<(), Failed> {
        let bytes = fs::read(path)?;
        fs::write(path, &bytes[..bytes.len() * 7 / 10])?;
        if AudioReader::open(path, self.rate, ReadOptions::COMPLETE)
            .and_then(|mut reader| reader.read(usize::MAX))
            .is_ok()
            && self.codec.extension != "aac"
        {
            return Err("a cut file passed for a whole one".into());
        }
        let opened = AudioReader::open(path, self.rate, ReadOptions::ANY_LENGTH);
        if !self.codec.readable_when_cut {
            return if opened.is_err() { Ok(()) } else { Err("a file without its tables was read".into()) };
        }
        let mut reader = opened?;
        let stereo = reader.read(usize::MAX)?;
        // A cut between two pages of an ogg leaves no other trace than the missing mark of the end.
        let tells = |notice: &Notice| matches!(notice, Notice::Missing { .. } | Notice::EndNotMarked);
        let missing = reader.notices().iter().any(tells);
        if !missing && self.codec.extension != "aac" {
            return Err(format!("no notice of the missing end: {:?}", reader.notices()).into());
        }
        let frames = stereo[0].len().min(whole[0].len());
        let share = frames as f64 / whole[0].len() as f64;
        if !(0.35..0.95).contains(&share) {
            return Err(format!("{share:.2} of the song were read").into());
        }
        // The end of the last frame of a lossy codec overlaps with the frame that is missing.
        let sound = if self.codec.lossless { frames } else { frames.saturating_sub(2_400) };
        let part = |song: &Stereo| song.each_ref().map(|channel| channel[..sound].to_vec());
        self.compare(&part(whole), &part(&stereo))
    }

    fn compare(self, expected: &Stereo, actual: &Stereo) -> Result<(), Failed> {
        let (decoded, got) = (expected[0].len(), actual[0].len());
        let input = if self.kind == Kind::Cut { got } else { frames(self.rate) };
        let wanted = if self.codec.states_length { input } else { decoded };
        if wanted != got || decoded < got {
            return Err(format!(
                "{got} frames were read; ffmpeg decodes {decoded}, and {input} were encoded"
            )
            .into());
        }
        let expected = &expected.each_ref().map(|channel| channel[..got].to_vec());
        // Sums of several channels are rounded in another order.
        if self.codec.lossless && self.channels <= 2 {
            let equal = expected.iter().zip(actual).all(|(e, a)| e.iter().zip(a).all(|(e, a)| e == a));
            return if equal {
                Ok(())
            } else {
                Err(format!("other samples: {:.1} dB", snr(expected, actual)).into())
            };
        }
        let snr = snr(expected, actual);
        if snr >= LEAST_SNR { Ok(()) } else { Err(format!("{snr:.1} dB").into()) }
    }

    /// Writes the file with ffmpeg.
    fn write(self, folder: &Path) -> Result<PathBuf, Failed> {
        let path = folder.join(format!("song.{}", self.codec.extension));
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-hide_banner", "-loglevel", "error", "-y"]);
        ffmpeg.args(["-f", "f32le", "-ar", &self.rate.to_string(), "-ac", &self.channels.to_string()]);
        ffmpeg.args(["-i", "pipe:0"]);
        if self.kind == Kind::Tagged {
            if self.codec.cover {
                ffmpeg.args(["-f", "lavfi", "-i", "testsrc=s=300x300:d=1", "-map", "0", "-map", "1"]);
                ffmpeg.args(["-frames:v", "1", "-c:v", "png", "-disposition:v", "attached_pic"]);
            }
            ffmpeg.args(["-metadata", "title=A 'song' – ünïcode 🎵", "-metadata", "artist=Somebody"]);
        }
        ffmpeg.args(self.codec.encode.split(' ')).args(["-bitexact", "-strict", "-2"]).arg(&path);
        let mut child = ffmpeg.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().unwrap();
        let bytes = signal(self.rate, self.channels);
        std::thread::spawn(move || std::io::Write::write_all(&mut input, &bytes));
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("ffmpeg: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(path)
    }
}

fn snr(expected: &Stereo, actual: &Stereo) -> f64 {
    let wide = |song: &Stereo| song.iter().flatten().map(|&sample| f64::from(sample)).collect::<Vec<_>>();
    snr_db(wide(expected), wide(actual))
}

fn rate_of(path: &Path) -> Result<u32, Failed> {
    Ok(AudioReader::open(path, 44_100, ReadOptions::ANY_LENGTH)?.source().sample_rate)
}

fn frames(rate: u32) -> usize {
    (SECONDS * f64::from(rate)) as usize
}

/// Interleaved 32-bit floats: another chord in each channel, and noise in all of them.
fn signal(rate: u32, channels: usize) -> Vec<u8> {
    let frames = frames(rate);
    let mut noise = 1u32;
    let mut bytes = Vec::with_capacity(4 * frames * channels);
    for n in 0..frames {
        let t = n as f64 / f64::from(rate);
        for channel in 0..channels {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = 0.02 * (f64::from(noise >> 8) / f64::from(1 << 24) - 0.5);
            let tone = (TAU * (110.0 * (channel + 1) as f64) * t).sin()
                + 0.5 * (TAU * (700.0 + 300.0 * t) * t).sin();
            // Full scale is not reached, so that an encoder's overshoot is not clipped.
            bytes.extend(((0.15 * tone + hiss) as f32).to_le_bytes());
        }
    }
    bytes
}

/// The song as ffmpeg decodes it, mixed down to stereo by ITU-R BS.775.
fn ffmpeg_decodes(path: &Path, channels: usize) -> Result<Stereo, Failed> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-loglevel", "error"]);
    // ffmpeg's own decoder of Opus differs from the reference in speech.
    if path.extension().is_some_and(|extension| extension == "opus" || extension == "webm") {
        ffmpeg.args(["-c:a", "libopus", "-request_sample_fmt", "flt"]);
    }
    ffmpeg.arg("-i").arg(path);
    let output = ffmpeg.args(["-map", "0:a", "-f", "f32le", "-c:a", "pcm_f32le", "-"]).output()?;
    if !output.status.success() {
        return Err(format!("ffmpeg: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let samples: Vec<f32> =
        output.stdout.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let frame = |side: usize| {
        samples.chunks_exact(channels).map(move |frame| match *frame {
            [mono] => mono,
            [left, right] => [left, right][side],
            // Front left, front right, centre, low frequencies, left and right surround.
            [l, r, c, _, ls, rs] => {
                let [front, surround] = [[l, r][side], [ls, rs][side]];
                (f64::from(front) + FRAC_1_SQRT_2 * (f64::from(c) + f64::from(surround))) as f32
            }
            // The same with two surrounds on each side.
            [l, r, c, _, bl, br, sl, sr] => {
                let rest = [f64::from(c), f64::from([bl, br][side]), f64::from([sl, sr][side])];
                (f64::from([l, r][side]) + FRAC_1_SQRT_2 * rest.iter().sum::<f64>()) as f32
            }
            _ => panic!("the grid has no files of {channels} channels"),
        })
    };
    Ok([frame(0).collect(), frame(1).collect()])
}
