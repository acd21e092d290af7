//! A file of several sections that are decoded one after the other, such as songs that were joined end to end.
//!
//! The sections may differ in their sample rate. The output has the rate of the first section.

use unbraid_base::Stereo;

use crate::decoder::Decoder;
use crate::downmix::Mixer;
use crate::error::Problem;
use crate::info::{AudioInfo, check_layout};
use crate::notice::{Notice, Notices};
use crate::resample::{Resampler, converted_length};
use crate::symphonia_decoder::guarded;

/// Maximum number of sections. A recording of a day of radio has a few hundred.
const MAX_SECTIONS: usize = 4096;

/// Maximum number of frames of silence that are appended at once.
const BLOCK: u64 = 16_384;

/// The layout and the length of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Samples per second of one channel.
    pub(crate) rate: u32,
    pub(crate) channels: usize,
    /// Length at the section's own rate. What is known to be missing inside of the section counts as silence.
    pub(crate) frames: u64,
}

/// Missing audio that was found out only by decoding. The decoder replaces it by silence.
#[derive(Debug)]
pub(crate) struct Gap {
    /// First missing frame, counted from the beginning of the section.
    pub(crate) at: u64,
    pub(crate) frames: u64,
    pub(crate) detail: String,
}

/// Decodes one section at its own sample rate. Mono is copied to both channels.
pub(crate) trait SectionDecoder: Send {
    /// Appends the next block to `out`, and what proved to be missing to `gaps`. Returns `false` at the end.
    ///
    /// [`Joined`] drops frames beyond the length of the section.
    fn read(&mut self, out: &mut Stereo, gaps: &mut Vec<Gap>) -> Result<bool, Problem>;

    /// Makes `frame` the next frame to be read. Called before the first read, with a frame inside of the section.
    fn seek(&mut self, frame: u64) -> Result<(), Problem>;
}

/// Opens the decoders of the sections.
pub(crate) trait OpenSection: Send {
    /// The decoder of a section, at the section's first frame. Called with any index below the number of sections.
    fn open(&self, index: usize) -> Result<Box<dyn SectionDecoder>, Problem>;
}

/// Decoder of a file of one or more sections.
pub(crate) struct Joined {
    source: Box<dyn OpenSection>,
    sections: Vec<Section>,
    /// First frame of each section, and the length of the file, at the rate of the first section.
    starts: Vec<u64>,
    info: AudioInfo,
    notices: Notices,
    /// The section that is being decoded. `None` before the first, between two and after the last.
    current: Option<Current>,
    /// The converter of a section that has ended, for the next section of the same rate. Making one is expensive.
    spare: Option<Resampler>,
    /// The next section to be opened.
    next: usize,
    /// The first block. It is decoded on opening, so that a file that cannot be decoded fails there.
    first: Stereo,
}

/// Refuses a file of too many sections. A scan calls it for every section, so that its time is limited.
pub(crate) fn check_count(sections: usize) -> Result<(), Problem> {
    if sections > MAX_SECTIONS {
        return Err(Problem::Unsupported(format!("a file of more than {MAX_SECTIONS} joined sections")));
    }
    Ok(())
}

struct Current {
    index: usize,
    decoder: Box<dyn SectionDecoder>,
    resampler: Option<Resampler>,
    /// The next frame of the section, at the section's rate.
    position: u64,
    /// Set when the decoder has nothing more. The rest of the section is silence.
    exhausted: bool,
}

impl Joined {
    /// Opens the first section and decodes its first block. `format` is that of [`AudioInfo`]. `notices` tell what the
    /// scan of the file found.
    pub(crate) fn open(
        format: &'static str,
        mut sections: Vec<Section>,
        source: Box<dyn OpenSection>,
        mut notices: Notices,
    ) -> Result<Self, Problem> {
        let Some(&first) = sections.first() else { return Err(Problem::NoAudio) };
        check_count(sections.len())?;
        sections.shrink_to_fit();
        for section in &sections {
            check_layout(section.channels, section.rate)?;
        }
        let mut starts = vec![0_u64];
        for section in &sections {
            let start = starts[starts.len() - 1];
            starts.push(start.saturating_add(converted_length(section.frames, section.rate, first.rate)));
        }
        let frames = starts[sections.len()];
        if frames == 0 {
            return Err(Problem::NoAudio);
        }
        let channels = sections.iter().map(|section| section.channels).max().unwrap_or(first.channels);
        if let Some(notice) = Mixer::of_count(channels)?.notice() {
            notices.add(notice);
        }
        let info = AudioInfo { format, sample_rate: first.rate, channels, frames: Some(frames) };
        let mut joined = Self {
            source,
            sections,
            starts,
            info,
            notices,
            current: None,
            spare: None,
            next: 0,
            first: Stereo::default(),
        };
        for index in 1..joined.sections.len() {
            let (from, to) = (joined.sections[index - 1].rate, joined.sections[index].rate);
            if from != to {
                let at = joined.seconds(index, 0);
                joined.notices.add(Notice::RateChange { at, from, to });
            }
        }
        let mut block = Stereo::default();
        guarded(|| joined.decode(&mut block))?;
        joined.first = block;
        Ok(joined)
    }

    /// Appends the next block. Returns `false` at the end.
    fn decode(&mut self, out: &mut Stereo) -> Result<bool, Problem> {
        let before = out[0].len();
        while out[0].len() == before {
            let Some(mut current) = self.current.take() else {
                if self.next == self.sections.len() {
                    return Ok(false);
                }
                self.current = Some(self.open_section(self.next)?);
                self.next += 1;
                continue;
            };
            self.decode_section(&mut current, out)?;
            if current.position < self.sections[current.index].frames {
                self.current = Some(current);
            } else if let Some(resampler) = &mut current.resampler {
                resampler.finish(out);
                self.spare = current.resampler;
            }
        }
        Ok(true)
    }

    fn open_section(&mut self, index: usize) -> Result<Current, Problem> {
        let decoder = self.source.open(index).map_err(|problem| self.shifted(problem, index))?;
        let (from, to) = (self.sections[index].rate, self.info.sample_rate);
        let resampler = (from != to).then(|| {
            let mut resampler = match self.spare.take().filter(|spare| spare.from() == from) {
                Some(spare) => spare,
                None => Resampler::new(from, to),
            };
            resampler.seek(0);
            resampler
        });
        Ok(Current { index, decoder, resampler, position: 0, exhausted: false })
    }

    /// Appends a block of the section. It may be empty.
    fn decode_section(&mut self, current: &mut Current, out: &mut Stereo) -> Result<(), Problem> {
        let index = current.index;
        let section = self.sections[index];
        let left = section.frames - current.position;
        let mut block = Stereo::default();
        let mut gaps = Vec::new();
        if current.exhausted {
            block.iter_mut().for_each(|channel| channel.resize(left.min(BLOCK) as usize, 0.0));
        } else if left > 0 {
            let result = current.decoder.read(&mut block, &mut gaps);
            current.exhausted = !result.map_err(|problem| self.shifted(problem, index))?;
            let left = left.saturating_sub(block[0].len() as u64);
            if current.exhausted && left > 0 {
                let detail = "its audio ends early".to_owned();
                gaps.push(Gap { at: section.frames - left, frames: left, detail });
            }
        }
        for gap in gaps {
            let at = self.seconds(index, gap.at);
            let seconds = gap.frames as f64 / f64::from(section.rate);
            let refused = || Problem::Malformed { seconds: at, detail: gap.detail.clone() };
            self.notices.missing(at, seconds, gap.detail.clone(), refused)?;
        }
        let count = block[0].len().min(usize::try_from(left).unwrap_or(usize::MAX));
        block.iter_mut().for_each(|channel| channel.truncate(count));
        current.position += count as u64;
        match &mut current.resampler {
            Some(resampler) => resampler.push(&block, out),
            None => out.iter_mut().zip(&mut block).for_each(|(out, block)| out.append(block)),
        }
        Ok(())
    }

    /// Time of a frame of a section from the beginning of the file.
    fn seconds(&self, index: usize, frame: u64) -> f64 {
        self.starts[index] as f64 / f64::from(self.info.sample_rate)
            + frame as f64 / f64::from(self.sections[index].rate)
    }

    /// Converts the time of an error from the beginning of the section to that of the file.
    fn shifted(&self, problem: Problem, index: usize) -> Problem {
        match problem {
            Problem::Malformed { seconds, detail } => {
                Problem::Malformed { seconds: self.seconds(index, 0) + seconds, detail }
            }
            problem => problem,
        }
    }
}

impl Decoder for Joined {
    fn info(&self) -> &AudioInfo {
        &self.info
    }

    fn notices(&self) -> &[Notice] {
        self.notices.list()
    }

    fn read(&mut self, _frames: usize, out: &mut Stereo) -> Result<bool, Problem> {
        if self.first[0].is_empty() {
            let result = guarded(|| self.decode(out));
            if result.is_err() {
                (self.current, self.next) = (None, self.sections.len());
            }
            return result;
        }
        for (out, first) in out.iter_mut().zip(&mut self.first) {
            out.append(first);
        }
        Ok(true)
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        let ready = self.first[0].len();
        if let Ok(frame) = usize::try_from(frame)
            && frame < ready
        {
            self.first.iter_mut().for_each(|first| drop(first.drain(..frame)));
            return Ok(());
        }
        self.first.iter_mut().for_each(Vec::clear);
        self.current = None;
        // The last section that starts at the frame or before. Sections of no frames start where the next one starts.
        let index = self.starts.partition_point(|&start| start <= frame) - 1;
        self.next = self.sections.len().min(index + 1);
        if index == self.sections.len() {
            return Ok(());
        }
        let current = guarded(|| {
            let mut current = self.open_section(index)?;
            let frame = frame - self.starts[index];
            current.position = current.resampler.as_mut().map_or(frame, |resampler| resampler.seek(frame));
            current.decoder.seek(current.position).map_err(|problem| self.shifted(problem, index))?;
            Ok(current)
        })?;
        self.current = Some(current);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Gap, Joined, OpenSection, Section, SectionDecoder};
    use crate::decoder::Decoder;
    use crate::error::Problem;
    use crate::notice::{Notice, Notices, ReadOptions};
    use unbraid_base::Stereo;

    /// Outputs a constant in blocks of 100 frames, and fails at its last frame if it must.
    struct Constant {
        value: f32,
        left: usize,
        fails: bool,
    }

    impl SectionDecoder for Constant {
        fn read(&mut self, out: &mut Stereo, _: &mut Vec<Gap>) -> Result<bool, Problem> {
            let count = self.left.min(100);
            self.left -= count;
            if self.left == 0 && self.fails {
                return Err(Problem::Malformed { seconds: 0.25, detail: "a test".into() });
            }
            out.iter_mut().for_each(|channel| channel.resize(channel.len() + count, self.value));
            Ok(count > 0)
        }

        fn seek(&mut self, frame: u64) -> Result<(), Problem> {
            self.left = self.left.saturating_sub(frame as usize);
            Ok(())
        }
    }

    /// For each section, the frames that its decoder outputs, and whether it fails.
    struct Constants(Vec<(usize, bool)>);

    impl OpenSection for Constants {
        fn open(&self, index: usize) -> Result<Box<dyn SectionDecoder>, Problem> {
            let (left, fails) = self.0[index];
            Ok(Box::new(Constant { value: 1.0 + index as f32, left, fails }))
        }
    }

    fn open(stated: &[u64], given: &[(usize, bool)], options: ReadOptions) -> Result<Joined, Problem> {
        let section = |&frames| Section { rate: 1000, channels: 1, frames };
        let sections = stated.iter().map(section).collect();
        Joined::open("test", sections, Box::new(Constants(given.to_vec())), Notices::new(options))
    }

    fn read(joined: &mut Joined) -> Result<Vec<f32>, Problem> {
        let mut out = Stereo::default();
        while joined.read(1, &mut out)? {}
        Ok(out[0].clone())
    }

    #[test]
    fn every_section_has_its_stated_length() {
        // The second decoder outputs too much, the third is empty, the fourth ends early.
        let (stated, given) = ([150, 250, 0, 300], [(150, false), (400, false), (9, false), (120, false)]);
        let mut joined = open(&stated, &given, ReadOptions::NEARLY_COMPLETE).expect("it opens");
        let expected = [vec![1.0; 150], vec![2.0; 250], vec![4.0; 120], vec![0.0; 180]].concat();
        assert_eq!(joined.info().frames, Some(700));
        assert!(read(&mut joined).expect("little is missing") == expected);
        let [Notice::Missing { at, seconds, .. }] = joined.notices() else {
            panic!("{:?}", joined.notices())
        };
        assert_eq!((*at, *seconds), (0.52, 0.18));
        for frame in [0, 99, 100, 149, 150, 399, 400, 519, 520, 699, 700, 9000] {
            let mut joined = open(&stated, &given, ReadOptions::NEARLY_COMPLETE).expect("it opens");
            joined.seek(frame).expect("it seeks");
            let rest = &expected[(frame as usize).min(700)..];
            assert!(read(&mut joined).expect("little is missing") == rest, "{frame}");
        }
        let mut joined = open(&stated, &given, ReadOptions::COMPLETE).expect("it opens");
        let error = read(&mut joined).expect_err("something is missing");
        assert!(matches!(error, Problem::Malformed { seconds: 0.52, .. }), "{error}");
        assert_eq!(read(&mut joined).expect("nothing follows an error"), []);
    }

    #[test]
    fn the_time_of_an_error_counts_from_the_beginning_of_the_file() {
        let mut joined =
            open(&[500, 300], &[(500, false), (300, true)], ReadOptions::COMPLETE).expect("it opens");
        let error = read(&mut joined).expect_err("the second section is bad");
        assert!(matches!(error, Problem::Malformed { seconds: 0.75, .. }), "{error}");
    }

    #[test]
    fn files_of_no_or_too_many_sections_are_refused() {
        assert!(matches!(open(&[], &[], ReadOptions::COMPLETE), Err(Problem::NoAudio)));
        assert!(matches!(open(&[0, 0], &[], ReadOptions::COMPLETE), Err(Problem::NoAudio)));
        assert!(matches!(open(&[1; 5000], &[], ReadOptions::COMPLETE), Err(Problem::Unsupported(_))));
    }
}
