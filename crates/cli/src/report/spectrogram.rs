//! Spectrograms as PNG files of 256 colours.

use realfft::RealFftPlanner;
use unbraid_base::Stereo;

/// Pixels.
const WIDTH: usize = 480;
const HEIGHT: usize = 140;

/// Samples of a frame.
const FRAME: usize = 2048;

/// The lowest frequency of the picture in Hz.
const LOWEST: f64 = 40.0;

/// The range of the colours in dB.
const RANGE: f64 = 80.0;

/// Colours from silence to full scale, dark to bright. Those between are interpolated.
const COLOURS: [[u8; 3]; 7] =
    [[6, 6, 18], [38, 18, 74], [94, 26, 110], [160, 44, 100], [220, 78, 66], [250, 148, 50], [252, 240, 170]];

/// The picture of `audio`: time to the right, the logarithm of the frequency upwards. Colours span 80 dB below the level
/// of a sine at full scale.
pub(super) fn png(audio: &Stereo, rate: u32) -> Vec<u8> {
    let mono: Vec<f32> = audio[0].iter().zip(&audio[1]).map(|(left, right)| 0.5 * (left + right)).collect();
    let columns: Vec<Vec<u8>> = (0..WIDTH).map(|column| column_of(&mono, rate, column)).collect();
    let mut rows = Vec::with_capacity(HEIGHT * (WIDTH + 1));
    for y in 0..HEIGHT {
        rows.push(0); // the row is stored as it is
        rows.extend(columns.iter().map(|column| column[HEIGHT - 1 - y]));
    }
    encode(&rows)
}

/// The colours of a column, from the lowest frequency up.
fn column_of(mono: &[f32], rate: u32, column: usize) -> Vec<u8> {
    let centre = (column * mono.len()) / WIDTH;
    let mut frame: Vec<f32> = (0..FRAME)
        .map(|n| {
            let sample = (centre + n).checked_sub(FRAME / 2).and_then(|index| mono.get(index));
            let phase = std::f32::consts::TAU * n as f32 / FRAME as f32;
            sample.map_or(0.0, |sample| sample * (0.5 - 0.5 * phase.cos()))
        })
        .collect();
    let transform = RealFftPlanner::<f32>::new().plan_fft_forward(FRAME);
    let mut bins = transform.make_output_vec();
    transform.process(&mut frame, &mut bins).expect("the lengths are those of the plan");
    let level = |bin: f64| {
        let bin = (bin.round() as usize).min(bins.len() - 1);
        20.0 * f64::from(bins[bin].norm() / (FRAME as f32 / 4.0)).max(1e-9).log10()
    };
    let highest = f64::from(rate) / 2.0;
    let low = LOWEST.min(highest / 4.0);
    (0..HEIGHT)
        .map(|y| {
            let frequency = |y: f64| low * (highest / low).powf(y / HEIGHT as f64);
            let bin = |y: f64| frequency(y) * FRAME as f64 / f64::from(rate);
            // High rows cover several bins. The loudest one counts.
            let (first, last) = (bin(y as f64), bin(y as f64 + 1.0));
            let count = ((last - first) as usize).max(1);
            let loudest = (0..count).map(|k| level(first + k as f64)).fold(f64::NEG_INFINITY, f64::max);
            (255.0 * (1.0 + loudest / RANGE).clamp(0.0, 1.0)) as u8
        })
        .collect()
}

/// A PNG of rows of indices into the palette, each after its filter byte.
fn encode(rows: &[u8]) -> Vec<u8> {
    let palette = (0..=255u8).flat_map(|index| {
        let place = f64::from(index) / 255.0 * (COLOURS.len() - 1) as f64;
        let (first, share) = ((place as usize).min(COLOURS.len() - 2), place.fract());
        let share = if place as usize == COLOURS.len() - 1 { 1.0 } else { share };
        [0, 1, 2].map(|c| {
            let [low, high] = [COLOURS[first][c], COLOURS[first + 1][c]].map(f64::from);
            (low + share * (high - low)).round() as u8
        })
    });
    let mut header = Vec::new();
    header.extend((WIDTH as u32).to_be_bytes());
    header.extend((HEIGHT as u32).to_be_bytes());
    header.extend([8, 3, 0, 0, 0]); // 8 bits, a palette
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"PLTE", &palette.collect::<Vec<u8>>());
    chunk(&mut png, b"IDAT", &stored(rows));
    chunk(&mut png, b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend(name);
    png.extend(data);
    let sum = crc32fast::hash(&png[start..]);
    png.extend(sum.to_be_bytes());
}

/// A zlib stream of blocks that are not compressed: a picture is small next to the audio of the page.
fn stored(data: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 65_535;
    let mut stream = vec![0x78, 0x01];
    let blocks = data.len().div_ceil(BLOCK);
    for (index, block) in data.chunks(BLOCK).enumerate() {
        stream.push(u8::from(index + 1 == blocks));
        let length = block.len() as u16;
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sine is a bright line at its frequency, and the rest is dark.
    #[test]
    fn a_sine_is_a_line() {
        let rate = 44_100;
        let sine: Vec<f32> =
            (0..rate).map(|n| (std::f32::consts::TAU * 1000.0 * n as f32 / rate as f32).sin()).collect();
        let column = column_of(&sine, rate as u32, WIDTH / 2);
        let brightest = (0..HEIGHT).max_by_key(|y| column[*y]).unwrap();
        let frequency = LOWEST * (f64::from(rate) / 2.0 / LOWEST).powf(brightest as f64 / HEIGHT as f64);
        assert!((900.0..1100.0).contains(&frequency), "{frequency}");
        assert!(column[brightest] > 250 && column[HEIGHT - 1] < 10 && column[5] < 30, "{column:?}");
        assert!(column_of(&[], 8000, 3).iter().all(|colour| *colour == 0));
    }

    #[test]
    fn the_picture_is_a_png() {
        let picture = png(&[vec![0.1; 4000], vec![0.1; 4000]], 8000);
        assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n") && picture.len() > WIDTH * HEIGHT);
        // Adler-32 of "Wikipedia", and two blocks.
        assert!(stored(b"Wikipedia").ends_with(&0x11E6_0398u32.to_be_bytes()));
        assert_eq!(stored(&vec![0; 70_000]).len(), 2 + 2 * 5 + 70_000 + 4);
    }
}
