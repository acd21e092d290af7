//! M4a (AAC, ALAC): checks that the file is complete, and finds the extent of its song.
//!
//! An AAC encoder adds a delay before the first sample (usually 1024 or 2112 samples) and pads its last block. Two
//! places in the file state the extent of the song: the track's edit list (ISO/IEC 14496-12, 8.6.6), and iTunes'
//! gapless tag `iTunSMPB`, which is exact to the sample.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::Result as SymphoniaResult;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadBytes};
use symphonia::default::formats::IsoMp4Reader;

use crate::error::Problem;
use crate::source::read_up_to;
use crate::symphonia_decoder::SymphoniaFormat;
use crate::trim::{SeekInfo, Trim, to_i64};

/// Maximum number of boxes that are read in one file. A real file has a few dozen at these levels.
const MAX_BOXES: usize = 10_000;

/// The part of a track that is presented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Presentation starts here, in units of `timescale`.
    pub(crate) start: u64,
    /// Units per second. It is 0 if there is no edit list.
    pub(crate) timescale: u64,
    /// Length in seconds as a fraction. Its error is up to one unit of the denominator.
    pub(crate) length: Option<(u64, u64)>,
}

/// The contents of a file's movie box.
#[derive(Debug, Default)]
pub(crate) struct Mp4 {
    /// The edit of every audio track, with the track's number.
    edits: Vec<(u32, Edit)>,
    /// iTunes' gapless tag: samples before the song, samples of the song.
    gapless: Option<(u64, u64)>,
    /// A fragmented file does not state its length in the movie box.
    fragmented: bool,
}

#[derive(Clone, Copy)]
struct Atom {
    name: [u8; 4],
    start: u64,
    end: u64,
}

struct Walk<'a> {
    source: &'a mut dyn MediaSource,
    length: u64,
    boxes: usize,
}

impl Mp4 {
    /// Reads the movie box. The boxes of a complete file end where the file ends.
    pub(crate) fn parse(source: &mut dyn MediaSource, length: u64) -> Result<Self, Problem> {
        let mut walk = Walk { source, length, boxes: 0 };
        let top = walk.children(0, length)?;
        let moov =
            find(&top, b"moov").ok_or_else(|| Problem::Truncated("its movie box is missing".into()))?;
        let mut movie = Self::default();
        let mut movie_scale = 0;
        for atom in walk.children(moov.start, moov.end)? {
            match &atom.name {
                b"mvhd" => movie_scale = walk.timescale(atom)?,
                b"mvex" => movie.fragmented = true,
                b"trak" => {
                    if let Some(edit) = walk.track(atom, movie_scale)? {
                        movie.edits.push(edit);
                    }
                }
                b"udta" => movie.gapless = walk.gapless(atom)?.or(movie.gapless),
                _ => {}
            }
        }
        Ok(movie)
    }
}

impl SymphoniaFormat for Mp4 {
    fn container(&self) -> &'static str {
        "mp4"
    }

    fn demuxer(&self, mut stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        // The reader goes back four bytes: it expects to be after the size of the first box, at its name.
        stream.read_quad_bytes()?;
        Ok(Box::new(IsoMp4Reader::try_new(stream, Default::default())?))
    }

    fn name(&self, codec: AudioCodecId) -> Option<&'static str> {
        match codec {
            CODEC_ID_AAC => Some("m4a (aac)"),
            CODEC_ID_ALAC => Some("m4a (alac)"),
            _ => None,
        }
    }

    fn trim(
        &self,
        track: &Track,
        codec: &AudioCodecParameters,
        sample_rate: u32,
    ) -> (Trim, Option<SeekInfo>) {
        let rate = u128::from(sample_rate);
        let edit = self.edits.iter().find(|(id, _)| *id == track.id).map(|(_, edit)| *edit);
        let edit = edit.unwrap_or_default();
        let samples = |time: u64, scale: u64| {
            let scale = u128::from(scale.max(1));
            i64::try_from((u128::from(time) * rate * 2 + scale) / (scale * 2)).unwrap_or(i64::MAX)
        };
        // The sum of all packets' durations. Only the movie box of an unfragmented file states it.
        let coded = track.num_frames.filter(|_| !self.fragmented).map(to_i64);
        let is_aac = codec.codec == CODEC_ID_AAC;
        let (start, end) = if let Some((delay, length)) = self.gapless.filter(|_| is_aac) {
            (to_i64(delay), Some(to_i64(delay).saturating_add(to_i64(length))))
        } else {
            let start = samples(edit.start, edit.timescale);
            let end = edit.length.map(|(length, scale)| {
                let stated = start.saturating_add(samples(length, scale));
                // An edit's length is rounded to the movie's time unit, often a millisecond. If the packets end
                // within one unit of it, their end is the exact length.
                let unit = samples(1, scale).max(1);
                coded.filter(|coded| (coded - stated).abs() <= unit).unwrap_or(stated)
            });
            (start, end.or(coded))
        };
        let end = match (end, coded) {
            (Some(end), Some(coded)) => Some(end.min(coded)),
            (end, _) => end,
        };
        let preroll = if is_aac { 3 * 1024 } else { 0 };
        let seek = coded.map(|limit| SeekInfo { offset: 0, preroll, limit });
        (Trim { origin: 0, start, end: end.map(|end| end.max(start)) }, seek)
    }
}

fn find(atoms: &[Atom], name: &[u8; 4]) -> Option<Atom> {
    atoms.iter().find(|atom| &atom.name == name).copied()
}

impl Walk<'_> {
    /// The boxes in a range of bytes.
    fn children(&mut self, start: u64, end: u64) -> Result<Vec<Atom>, Problem> {
        let mut atoms = Vec::new();
        let mut position = start;
        while position + 8 <= end {
            let mut head = [0; 16];
            let got = read_up_to(self.source, position, &mut head)?;
            let (size, header) = match u64::from(be_u32(&head)) {
                0 => (end - position, 8),
                1 if got == 16 => (u64::from(be_u32(&head[8..])) << 32 | u64::from(be_u32(&head[12..])), 16),
                size => (size, 8),
            };
            let name = [head[4], head[5], head[6], head[7]];
            if size < header {
                return Err(Problem::header("a box is smaller than its own header"));
            }
            let Some(next) = position.checked_add(size).filter(|&next| next <= end) else {
                let name = String::from_utf8_lossy(&name);
                return Err(if end == self.length {
                    Problem::Truncated(format!("it ends inside its '{name}' box"))
                } else {
                    Problem::header(format!("the box '{name}' is larger than its parent"))
                });
            };
            self.boxes += 1;
            if self.boxes > MAX_BOXES {
                return Err(Problem::header("it has too many boxes"));
            }
            atoms.push(Atom { name, start: position + header, end: next });
            position = next;
        }
        Ok(atoms)
    }

    fn bytes<const N: usize>(&mut self, atom: Atom, offset: u64) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        if atom.start + offset + N as u64 > atom.end
            || read_up_to(self.source, atom.start + offset, &mut bytes)? < N
        {
            return Err(Problem::header(format!(
                "its box '{}' is too short",
                String::from_utf8_lossy(&atom.name)
            )));
        }
        Ok(bytes)
    }

    /// Units per second. `mvhd` and `mdhd` store them at the same offset, after two times of 32 or 64 bits.
    fn timescale(&mut self, atom: Atom) -> Result<u64, Problem> {
        let [version] = self.bytes(atom, 0)?;
        self.bytes(atom, if version == 0 { 12 } else { 20 }).map(|scale| u64::from(u32::from_be_bytes(scale)))
    }

    /// The number of a track and its edit, if it is audio.
    fn track(&mut self, trak: Atom, movie_scale: u64) -> Result<Option<(u32, Edit)>, Problem> {
        let parts = self.children(trak.start, trak.end)?;
        let (Some(tkhd), Some(mdia)) = (find(&parts, b"tkhd"), find(&parts, b"mdia")) else {
            return Ok(None);
        };
        let media = self.children(mdia.start, mdia.end)?;
        let (Some(mdhd), Some(hdlr)) = (find(&media, b"mdhd"), find(&media, b"hdlr")) else {
            return Ok(None);
        };
        if &self.bytes::<4>(hdlr, 8)? != b"soun" {
            return Ok(None);
        }
        let [version] = self.bytes(tkhd, 0)?;
        let number = u32::from_be_bytes(self.bytes(tkhd, if version == 0 { 12 } else { 20 })?);
        let mut edit = Edit { timescale: self.timescale(mdhd)?, ..Edit::default() };
        if let Some(edts) = find(&parts, b"edts")
            && let Some(elst) = find(&self.children(edts.start, edts.end)?, b"elst")
        {
            self.edit_list(elst, movie_scale, &mut edit)?;
        }
        Ok(Some((number, edit)))
    }

    fn edit_list(&mut self, elst: Atom, movie_scale: u64, edit: &mut Edit) -> Result<(), Problem> {
        let [version, ..] = self.bytes::<4>(elst, 0)?;
        let count = u64::from(u32::from_be_bytes(self.bytes(elst, 4)?));
        let wide = version == 1;
        let entry_bytes = if wide { 20 } else { 12 };
        let mut seen = false;
        // The count is not trusted. An entry beyond the end of the box is an error.
        for entry in 0..count.min(MAX_BOXES as u64) {
            let at = 8 + entry * entry_bytes;
            let (length, start) = if wide {
                (u64::from_be_bytes(self.bytes(elst, at)?), i64::from_be_bytes(self.bytes(elst, at + 8)?))
            } else {
                let start = i32::from_be_bytes(self.bytes(elst, at + 4)?);
                (u64::from(u32::from_be_bytes(self.bytes(elst, at)?)), i64::from(start))
            };
            // A negative start is a pause before the track. It is not part of the song.
            let Ok(start) = u64::try_from(start) else { continue };
            if seen {
                return Err(Problem::Unsupported("an m4a file with several edits".into()));
            }
            seen = true;
            edit.start = start;
            // A length of 0 means "to the end". Fragmented files have it.
            edit.length = (length > 0 && movie_scale > 0).then_some((length, movie_scale));
        }
        Ok(())
    }

    /// Reads the `----` item named iTunSMPB in moov/udta/meta/ilst.
    fn gapless(&mut self, udta: Atom) -> Result<Option<(u64, u64)>, Problem> {
        let Some(meta) = find(&self.children(udta.start, udta.end)?, b"meta") else { return Ok(None) };
        // Four bytes of version and flags come first.
        let Some(ilst) = find(&self.children(meta.start + 4, meta.end)?, b"ilst") else { return Ok(None) };
        for item in self.children(ilst.start, ilst.end)? {
            if &item.name != b"----" {
                continue;
            }
            let parts = self.children(item.start, item.end)?;
            let (Some(name), Some(data)) = (find(&parts, b"name"), find(&parts, b"data")) else { continue };
            if name.end - name.start != 12 || &self.bytes::<8>(name, 4)? != b"iTunSMPB" {
                continue;
            }
            let mut text = vec![0; (data.end - data.start).min(256) as usize];
            read_up_to(self.source, data.start, &mut text)?;
            return Ok(parse_gapless(&String::from_utf8_lossy(text.get(8..).unwrap_or_default())));
        }
        Ok(None)
    }
}

/// Parses hexadecimal words: 0, samples of delay, samples of padding, samples of the song, and others.
fn parse_gapless(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_whitespace().map(|word| u64::from_str_radix(word, 16));
    let delay = words.nth(1)?.ok()?;
    let samples = words.nth(1)?.ok()?;
    (samples > 0).then_some((delay, samples))
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{Edit, Mp4, parse_gapless};
    use crate::error::Problem;

    fn atom(name: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        [&(content.len() as u32 + 8).to_be_bytes(), name.as_slice(), &content].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A movie box with one audio track of number 7. The track's unit is 1/44100 s, the movie's is 1 ms.
    fn file(edits: &[u32], tags: &[u8]) -> Vec<u8> {
        let trak = atom(
            b"trak",
            &[
                &atom(b"tkhd", &[&words(&[0, 0, 0, 7, 0, 0])]),
                &atom(b"edts", &[&atom(b"elst", &[&words(edits)])]),
                &atom(
                    b"mdia",
                    &[
                        &atom(b"mdhd", &[&words(&[0, 0, 0, 44_100, 0])]),
                        &atom(b"hdlr", &[&words(&[0, 0]), b"soun", &words(&[0, 0, 0])]),
                    ],
                ),
            ],
        );
        let mvhd = atom(b"mvhd", &[&words(&[0, 0, 0, 1000, 0])]);
        [atom(b"ftyp", &[b"M4A "]), atom(b"moov", &[&mvhd, &trak, tags])].concat()
    }

    fn read(bytes: &[u8]) -> Result<Mp4, Problem> {
        Mp4::parse(&mut Cursor::new(bytes.to_vec()), bytes.len() as u64)
    }

    #[test]
    fn an_edit_list_gives_start_and_length() {
        let expected = Edit { start: 2112, timescale: 44_100, length: Some((5000, 1000)) };
        // One edit, and one edit after a pause of 20 ms.
        for edits in
            [&[0, 1, 5000, 2112, 0x1_0000][..], &[0, 2, 20, u32::MAX, 0x1_0000, 5000, 2112, 0x1_0000]]
        {
            assert_eq!(read(&file(edits, &[])).expect("well formed").edits, [(7, expected)]);
        }
        let two = read(&file(&[0, 2, 20, 5000, 0x1_0000, 5000, 2112, 0x1_0000], &[]));
        assert!(matches!(two, Err(Problem::Unsupported(_))), "{two:?}");
        let lying = read(&file(&[0, u32::MAX, 5000, 2112, 0x1_0000], &[]));
        assert!(matches!(lying, Err(Problem::Malformed { .. })), "{lying:?}");
    }

    #[test]
    fn the_gapless_tag_is_found_among_others() {
        let item = |name: &[u8], text: &[u8]| {
            let mean = atom(b"mean", &[&words(&[0]), b"com.apple.iTunes"]);
            let data = atom(b"data", &[&words(&[1, 0]), text]);
            atom(b"----", &[&mean, &atom(b"name", &[&words(&[0]), name]), &data])
        };
        let song = item(b"iTunSMPB", b" 00000000 00000840 000001CA 00000000000356B6 00000000");
        let ilst = atom(b"ilst", &[&item(b"iTunNORM", b" 00000001"), &song]);
        let udta = atom(b"udta", &[&atom(b"meta", &[&words(&[0]), &ilst])]);
        assert_eq!(read(&file(&[0, 0], &udta)).expect("well formed").gapless, Some((2112, 0x356b6)));
    }

    #[test]
    fn the_gapless_tag_gives_delay_and_length() {
        let text = " 00000000 00000840 000001CA 00000000003F31F6 00000000 00000000 00000000";
        assert_eq!(parse_gapless(text), Some((2112, 0x3f31f6)));
        assert_eq!(parse_gapless(" 00000000 00000840 000001CA 0000000000000000"), None);
        assert_eq!(parse_gapless("nonsense"), None);
        assert_eq!(parse_gapless(""), None);
    }
}
