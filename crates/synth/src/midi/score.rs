//! Reads a Standard MIDI File into notes and controls with times in seconds.

use midly::{Format, MetaMessage, MidiMessage, Timing, TrackEvent, TrackEventKind};

/// Bytes of a file. The largest files of public collections have 2 MiB.
const MAX_BYTES: usize = 8 << 20;

/// Notes and controls of a file. This bounds the memory of a song to tens of megabytes.
const MAX_EVENTS: usize = 1_000_000;

/// The channel of the drums in General MIDI, from 0.
const DRUMS: u8 = 9;

/// The programs of basses in General MIDI, from 0.
pub(super) const BASSES: std::ops::Range<u8> = 32..40;

/// A note that never ends lasts this long, in seconds.
const ENDLESS: f64 = 8.0;

/// The reason why a MIDI file cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MidiProblem {
    /// The file is too large.
    #[error("it has more than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// The file does not begin as a Standard MIDI File.
    #[error("it is not a MIDI file")]
    NotMidi,
    /// A chunk is longer than the file.
    #[error("it is truncated")]
    Truncated,
    /// The tracks of the file are separate songs.
    #[error("its tracks are separate songs (format 2), which is not supported")]
    Sequential,
    /// The unit of time is zero.
    #[error("its unit of time is zero")]
    Timing,
    /// A track does not end with its end mark: an event of it is damaged.
    #[error("track {0} is damaged")]
    Damaged(usize),
    /// The file has more tracks or fewer tracks than it declares.
    #[error("it declares {declared} tracks but holds {found}")]
    Tracks {
        /// The number in the header.
        declared: usize,
        /// The number of track chunks.
        found: usize,
    },
    /// There are too many notes and controls.
    #[error("it has more than {MAX_EVENTS} events")]
    TooManyEvents,
    /// There is no note.
    #[error("it has no notes")]
    NoNotes,
}

/// A stem of a General MIDI song, as an index of [`STEMS`](crate::STEMS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Drums,
    Bass,
    Other,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Drums, Self::Bass, Self::Other];

    fn of(channel: u8, program: u8) -> Self {
        match (channel, program) {
            (DRUMS, _) => Self::Drums,
            (_, program) if BASSES.contains(&program) => Self::Bass,
            _ => Self::Other,
        }
    }
}

/// A note. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Note {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) channel: u8,
    pub(super) key: u8,
    pub(super) velocity: u8,
    pub(super) part: Part,
}

/// A message that is not a note, at a time in seconds: a status byte without the channel, and two data bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Control {
    pub(super) at: f64,
    pub(super) channel: u8,
    pub(super) status: u8,
    pub(super) data: [u8; 2],
}

/// The contents of a MIDI file.
#[derive(Clone, Debug)]
pub(super) struct MidiScore {
    /// In the order of their starts.
    pub(super) notes: Vec<Note>,
    /// In the order of their times.
    pub(super) controls: Vec<Control>,
}

/// A channel message at a time in ticks.
struct Message {
    tick: u64,
    channel: u8,
    message: MidiMessage,
}

impl MidiScore {
    /// Reads a file of format 0 or 1.
    ///
    /// # Errors
    /// [`MidiProblem`] if the file is damaged, too large, or without notes.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, MidiProblem> {
        if bytes.len() > MAX_BYTES {
            return Err(MidiProblem::TooLarge);
        }
        let (declared, found) = check_chunks(bytes)?;
        let (header, tracks) = midly::parse(bytes).map_err(|_| MidiProblem::NotMidi)?;
        if header.format == Format::Sequential {
            return Err(MidiProblem::Sequential);
        }
        if declared != found {
            return Err(MidiProblem::Tracks { declared, found });
        }
        let (mut messages, mut tempi) = (Vec::new(), Vec::new());
        for (index, track) in tracks.enumerate() {
            let damaged = MidiProblem::Damaged(index + 1);
            let (mut tick, mut ended) = (0u64, false);
            // The iterator ends at a damaged event. The end mark shows that it has read all of them.
            for event in track.map_err(|_| damaged.clone())? {
                let TrackEvent { delta, kind } = event.map_err(|_| damaged.clone())?;
                tick += u64::from(delta.as_int());
                match kind {
                    TrackEventKind::Midi { channel, message } => {
                        messages.push(Message { tick, channel: channel.as_int(), message });
                    }
                    TrackEventKind::Meta(MetaMessage::Tempo(tempo)) => tempi.push((tick, tempo.as_int())),
                    TrackEventKind::Meta(MetaMessage::EndOfTrack) => ended = true,
                    _ => {}
                }
                if messages.len() + tempi.len() > MAX_EVENTS {
                    return Err(MidiProblem::TooManyEvents);
                }
                if ended {
                    break;
                }
            }
            if !ended {
                return Err(damaged);
            }
        }
        // Stable, so that messages at one tick keep their order.
        messages.sort_by_key(|message| message.tick);
        tempi.sort_by_key(|&(tick, _)| tick);
        Self::collect(&messages, &Clock::new(header.timing, &tempi)?)
    }

    fn collect(messages: &[Message], clock: &Clock) -> Result<Self, MidiProblem> {
        let (mut notes, mut controls) = (Vec::<Note>::new(), Vec::new());
        let mut programs = [0u8; 16];
        // The notes that sound, per channel and key.
        let mut open: Vec<Vec<usize>> = vec![Vec::new(); 16 * 128];
        let last = messages.last().map_or(0.0, |message| clock.seconds(message.tick));
        for &Message { tick, channel, message } in messages {
            let at = clock.seconds(tick);
            let mut control = |status, data| controls.push(Control { at, channel, status, data });
            let slot = |key: u8| usize::from(channel) * 128 + usize::from(key);
            match message {
                MidiMessage::NoteOn { key, vel } if vel > 0 => {
                    let (key, velocity) = (key.as_int(), vel.as_int());
                    open[slot(key)].push(notes.len());
                    let part = Part::of(channel, programs[usize::from(channel)]);
                    notes.push(Note { start: at, end: f64::INFINITY, channel, key, velocity, part });
                }
                // The synthesiser ends all notes of the key.
                MidiMessage::NoteOn { key, .. } | MidiMessage::NoteOff { key, .. } => {
                    open[slot(key.as_int())].drain(..).for_each(|note| notes[note].end = at);
                }
                MidiMessage::ProgramChange { program } => {
                    programs[usize::from(channel)] = program.as_int();
                    control(0xC0, [program.as_int(), 0]);
                }
                MidiMessage::Controller { controller, value } => {
                    control(0xB0, [controller.as_int(), value.as_int()]);
                }
                MidiMessage::PitchBend { bend } => {
                    let value = bend.0.as_int();
                    control(0xE0, [(value & 127) as u8, (value >> 7) as u8]);
                }
                MidiMessage::Aftertouch { .. } | MidiMessage::ChannelAftertouch { .. } => {}
            }
        }
        for note in &mut notes {
            if note.end.is_infinite() {
                note.end = last.min(note.start + ENDLESS).max(note.start + 0.1);
            }
        }
        if notes.is_empty() { Err(MidiProblem::NoNotes) } else { Ok(Self { notes, controls }) }
    }

    /// The first start and the last end of a note, in seconds.
    pub(super) fn span(&self) -> (f64, f64) {
        let end = self.notes.iter().fold(0.0, |end: f64, note| end.max(note.end));
        (self.notes.first().map_or(0.0, |note| note.start), end)
    }
}

/// The number of tracks that the header declares, and the number of track chunks. midly would read a truncated file as
/// if it were complete.
fn check_chunks(bytes: &[u8]) -> Result<(usize, usize), MidiProblem> {
    if bytes.len() < 14 || &bytes[..4] != b"MThd" {
        return Err(MidiProblem::NotMidi);
    }
    let declared = usize::from(u16::from_be_bytes([bytes[10], bytes[11]]));
    let (mut rest, mut found) = (bytes, 0);
    // Some editors append a few bytes to a file.
    while rest.len() >= 8 {
        let length = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        found += usize::from(&rest[..4] == b"MTrk");
        rest = rest[8..].get(length..).ok_or(MidiProblem::Truncated)?;
    }
    Ok((declared, found))
}

/// Converts ticks to seconds.
struct Clock {
    /// Start in ticks, start in seconds, and seconds per tick of each section with one tempo.
    sections: Vec<(u64, f64, f64)>,
}

impl Clock {
    fn new(timing: Timing, tempi: &[(u64, u32)]) -> Result<Self, MidiProblem> {
        let (first, per_microsecond) = match timing {
            Timing::Metrical(ticks) if ticks.as_int() > 0 => {
                (0.5 / f64::from(ticks.as_int()), 1e-6 / f64::from(ticks.as_int()))
            }
            // Tempo changes have no effect.
            Timing::Timecode(frames, ticks) if ticks > 0 => {
                (1.0 / (f64::from(frames.as_f32()) * f64::from(ticks)), 0.0)
            }
            _ => return Err(MidiProblem::Timing),
        };
        let mut sections = vec![(0, 0.0, first)];
        for &(tick, tempo) in tempi.iter().filter(|_| per_microsecond > 0.0) {
            let &(from, seconds, length) = sections.last().expect("there is a first section");
            // A tempo of zero would put all notes at one time: at most 6000 beats per minute.
            let length_from_here = per_microsecond * f64::from(tempo.max(10_000));
            sections.push((tick, seconds + (tick - from) as f64 * length, length_from_here));
        }
        Ok(Self { sections })
    }

    fn seconds(&self, tick: u64) -> f64 {
        let index = self.sections.partition_point(|&(from, ..)| from <= tick) - 1;
        let (from, seconds, length) = self.sections[index];
        seconds + (tick - from) as f64 * length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::midi::fixture::{Smf, damaged_midi};

    #[test]
    fn times_programs_and_stems_are_read() {
        let song = Smf::new(480)
            .tempo(0, 1_000_000)
            .tempo(480, 250_000)
            .message(0, &[0xC0, 32])
            .message(0, &[0x90, 40, 100])
            .message(480, &[0x80, 40, 0])
            .message(480, &[0xC0, 40])
            .message(480, &[0x90, 60, 90])
            .message(960, &[0x90, 60, 0])
            .message(960, &[0x99, 36, 80]);
        let score = MidiScore::read(&song.bytes()).expect("a good file");
        let note =
            |start, end, channel, key, velocity, part| Note { start, end, channel, key, velocity, part };
        assert_eq!(
            score.notes,
            [
                note(0.0, 1.0, 0, 40, 100, Part::Bass),
                note(1.0, 1.25, 0, 60, 90, Part::Other),
                // It never ends.
                note(1.25, 1.35, 9, 36, 80, Part::Drums),
            ]
        );
        assert_eq!(score.span(), (0.0, 1.35));
        for (program, part) in [(31, Part::Other), (32, Part::Bass), (39, Part::Bass), (40, Part::Other)] {
            assert_eq!(Part::of(3, program), part);
            assert_eq!(Part::of(DRUMS, program), Part::Drums);
        }
    }

    #[test]
    fn damaged_files_are_refused_with_a_reason() {
        let damaged = damaged_midi();
        assert!(damaged.len() >= 10);
        for (what, bytes) in damaged {
            let problem = MidiScore::read(&bytes).err();
            assert!(problem.is_some_and(|p| !p.to_string().is_empty()), "{what} was accepted");
        }
    }

    #[test]
    fn absurd_times_are_finite() {
        let slowest = 0xFF_FFFF;
        let mut song = Smf::new(1).tempo(0, slowest).message(0, &[0x90, 60, 90]);
        for k in 1..100 {
            song = song.message(k * 0x0FFF_FFFF, &[0x90, 62, 90]);
        }
        let score = MidiScore::read(&song.bytes()).expect("a good file");
        assert!(score.span().1.is_finite() && score.notes[0].end == ENDLESS);
        let fast = Smf::new(480).tempo(0, 0).message(0, &[0x90, 60, 9]).message(4800, &[0x90, 61, 9]);
        assert!(MidiScore::read(&fast.bytes()).expect("a good file").notes[1].start >= 0.1 - 1e-9);
    }
}
