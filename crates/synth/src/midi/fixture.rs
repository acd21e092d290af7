//! MIDI files and a SoundFont for the tests.

use unbraid_effects::math::sin_turns;

use super::font::TABLES;

/// A MIDI file with one track, under construction.
#[derive(Clone)]
pub(super) struct Smf {
    division: u16,
    events: Vec<(u64, Vec<u8>)>,
}

impl Smf {
    pub(super) fn new(division: u16) -> Self {
        Self { division, events: Vec::new() }
    }

    /// Adds an event at a tick that is not before the last one.
    pub(super) fn message(mut self, tick: u64, bytes: &[u8]) -> Self {
        self.events.push((tick, bytes.to_vec()));
        self
    }

    pub(super) fn tempo(self, tick: u64, microseconds: u32) -> Self {
        let [_, a, b, c] = microseconds.to_be_bytes();
        self.message(tick, &[0xFF, 0x51, 3, a, b, c])
    }

    /// A note with its end.
    pub(super) fn note(self, from: u64, to: u64, channel: u8, key: u8) -> Self {
        self.message(from, &[0x90 | channel, key, 100]).message(to, &[0x80 | channel, key, 0])
    }

    pub(super) fn bytes(mut self) -> Vec<u8> {
        self.events.sort_by_key(|event| event.0);
        let (mut track, mut last) = (Vec::new(), 0);
        for (tick, bytes) in self.events {
            let delta = tick - last;
            for shift in [21, 14, 7] {
                if delta >> shift > 0 {
                    track.push((delta >> shift) as u8 & 127 | 128);
                }
            }
            track.push(delta as u8 & 127);
            track.extend(bytes);
            last = tick;
        }
        track.extend([0, 0xFF, 0x2F, 0]);
        let mut file = b"MThd\0\0\0\x06\0\0\0\x01".to_vec();
        file.extend(self.division.to_be_bytes());
        file.extend(b"MTrk");
        file.extend((track.len() as u32).to_be_bytes());
        file.extend(track);
        file
    }
}

/// Eight seconds: drums, then a bass, then a piano. 480 ticks are half a second.
pub(super) fn band() -> Smf {
    let mut song = Smf::new(480).message(0, &[0xC1, 33]).message(0, &[0xC2, 0]);
    for beat in 0..4 {
        let at = beat * 480;
        song = song.note(at, at + 240, 9, 36).note(at + 2400, at + 2640, 1, 40);
        song = song.note(at + 4800, at + 5040, 2, 72);
    }
    song
}

/// Damaged versions of a good file, with names.
pub(super) fn damaged_midi() -> Vec<(String, Vec<u8>)> {
    let good = band().bytes();
    let change = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let mut files: Vec<(String, Vec<u8>)> = [
        ("an empty file", Vec::new()),
        ("a foreign signature", change(0, b"RIFF")),
        ("a huge header", change(4, &[0xFF; 4])),
        ("a short header", change(4, &[0, 0, 0, 2])),
        ("separate songs", change(8, &[0, 2])),
        ("an unknown format", change(8, &[0, 9])),
        ("no tracks", change(10, &[0, 0])),
        ("too many tracks", change(10, &[0xFF, 0xFF])),
        ("no unit of time", change(12, &[0, 0])),
        ("no unit of timecode", change(12, &[0xE7, 0])),
        ("a foreign track", change(14, b"XXXX")),
        ("a huge track", change(18, &[0x7F, 0xFF, 0xFF, 0xFF])),
        ("a track without an end mark", change(good.len() - 3, &[0x91, 60, 90])),
        ("a byte that is no status", change(22, &[0, 0x00])),
        ("a meta event beyond the end", change(22, &[0, 0xFF, 1, 0xFF, 0xFF, 0xFF, 0x7F])),
        ("a file without notes", Smf::new(480).message(0, &[0xC0, 5]).bytes()),
        ("nine megabytes", vec![0; 9 << 20]),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into();
    for length in [3, 13, 20, good.len() / 2, good.len() - 1] {
        files.push((format!("the first {length} bytes"), good[..length].to_vec()));
    }
    files
}

fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
    [name, &(content.len() as u32).to_le_bytes(), content].concat()
}

/// A record with a name of 20 bytes.
fn named(name: &str, rest: &[u8]) -> Vec<u8> {
    let mut record = name.as_bytes().to_vec();
    record.resize(20, 0);
    record.extend(rest);
    record
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A SoundFont with one looped tone of 441 Hz, for a drum kit, a piano and a bass.
pub(super) fn sound_font() -> Vec<u8> {
    let tone = |n: usize| (12_000.0 * sin_turns(n as f64 / 100.0)) as i16;
    let samples: Vec<u8> = (0..4400).flat_map(|n| tone(n).to_le_bytes()).chain([0; 92]).collect();
    let preset =
        |name, program, bank, zone| named(name, &[words(&[program, bank, zone]), vec![0; 12]].concat());
    let sample = [0u32, 4400, 100, 4300, 44_100].iter().flat_map(|x| x.to_le_bytes());
    let sample: Vec<u8> = sample.chain([69, 0, 0, 0, 1, 0]).collect();
    let contents: [Vec<u8>; 7] = [
        [
            preset("drums", 0, 128, 0),
            preset("piano", 0, 0, 1),
            preset("bass", 33, 0, 2),
            preset("EOP", 0, 0, 3),
        ]
        .concat(),
        words(&[0, 0, 1, 0, 2, 0, 3, 0]),
        // Generator 41 is the instrument.
        words(&[41, 0, 41, 0, 41, 0, 0, 0]),
        [named("tone", &[0, 0]), named("EOI", &[1, 0])].concat(),
        words(&[0, 0, 2, 0]),
        // Generator 54 is the mode of the loop, 53 the sample.
        words(&[54, 1, 53, 0, 0, 0]),
        [named("tone", &sample), named("EOS", &[0; 26])].concat(),
    ];
    let mut parameters = b"pdta".to_vec();
    for ((name, _), content) in TABLES.iter().zip(&contents) {
        parameters.extend(chunk(*name, content));
    }
    let info = [&b"INFO"[..], &chunk(b"ifil", &[2, 0, 1, 0])].concat();
    let sound = [&b"sdta"[..], &chunk(b"smpl", &samples)].concat();
    let lists = [chunk(b"LIST", &info), chunk(b"LIST", &sound), chunk(b"LIST", &parameters)].concat();
    chunk(b"RIFF", &[&b"sfbk"[..], &lists].concat())
}

/// Damaged versions of a good SoundFont, with names.
pub(super) fn damaged_fonts() -> Vec<(String, Vec<u8>)> {
    let good = sound_font();
    let find = |name: &[u8; 4]| good.windows(4).position(|w| w == name).expect("a chunk");
    let change = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    // A position within the content of a table.
    let within = |name: &[u8; 4], at: usize, bytes: &[u8]| change(find(name) + 8 + at, bytes);
    let mut files: Vec<(String, Vec<u8>)> = [
        ("an empty file", Vec::new()),
        ("a foreign signature", change(0, b"MThd")),
        ("a foreign form", change(8, b"WAVE")),
        ("a huge file size", change(4, &[0xFF; 4])),
        ("huge samples", change(find(b"smpl") + 4, &[0xFF, 0xFF, 0xFF, 0x7F])),
        ("no samples", change(find(b"smpl"), b"none")),
        ("a huge table", change(find(b"phdr") + 4, &[0xFF; 4])),
        ("a table of odd size", change(find(b"phdr") + 4, &[37, 0, 0, 0])),
        ("a missing table", change(find(b"shdr"), b"none")),
        ("a preset's zone beyond the end", within(b"phdr", 38 + 24, &[0xFF, 0xFF])),
        ("presets that go back", within(b"phdr", 3 * 38 + 24, &[0, 0])),
        ("a zone's generator beyond the end", within(b"pbag", 4, &[0xFF, 0x7F])),
        ("zones that go back", within(b"ibag", 0, &[2, 0, 0, 0, 0, 0])),
        ("an instrument's zone beyond the end", within(b"inst", 22 + 20, &[9, 0])),
        ("an unknown instrument", within(b"pgen", 2, &[7, 0])),
        ("a negative instrument", within(b"pgen", 2, &[0xFF, 0xFF])),
        ("an unknown sample", within(b"igen", 6, &[7, 0])),
        ("a sample beyond the end", within(b"shdr", 24, &[0, 0, 1, 0])),
        ("a sample that ends before it starts", within(b"shdr", 20, &[0xFF, 0x7F, 0, 0])),
        ("a negative loop", within(b"shdr", 28, &[0, 0, 0, 0xFF])),
        ("compressed samples that are not", within(b"smpl", 0, b"OggS")),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into();
    for length in [7, 100, good.len() / 2, good.len() - 20] {
        files.push((format!("the first {length} bytes"), good[..length].to_vec()));
    }
    files
}
