//! The setup header of Vorbis ("Vorbis I specification", section 4.2.4).
//!
//! Symphonia panics on some damaged headers, or allocates gigabytes. In a browser, a panic ends the worker. Therefore
//! this file checks the whole header before symphonia reads it.

use crate::error::Problem;

/// Memory that the codebooks may take in symphonia, in bytes. Those of libvorbis and ffmpeg take at most 1.5 MB.
const MOST_MEMORY: usize = 8 << 20;

/// The damage of a header.
type Checked<T> = Result<T, &'static str>;

/// Checks a setup header. For every mode of the stream, tells whether its block is long.
///
/// # Errors
/// A description of the damage. Each header that is accepted can be decoded without a panic, with any packets.
pub(super) fn modes(setup: &[u8], channels: usize) -> Result<Vec<bool>, Problem> {
    parse(setup, channels)
        .map_err(|damage| Problem::header(format!("its Vorbis setup header is damaged: {damage}")))
}

fn parse(setup: &[u8], channels: usize) -> Checked<Vec<bool>> {
    let bytes = setup.strip_prefix(b"\x05vorbis").ok_or("it does not begin with its mark")?;
    let mut bits = Bits { bytes, position: 0 };
    let mut memory = 0;
    let books = Codebooks(bits.list(8, |bits| codebook(bits, &mut memory))?);
    bits.list(6, |bits| zero(bits.read(16)?, "a time domain transform has an unknown type"))?;
    let floors = bits.list(6, |bits| floor(bits, &books))?.len();
    let residues = bits.list(6, |bits| residue(bits, &books))?.len();
    let mappings = bits.list(6, |bits| mapping(bits, channels, floors, residues))?.len();
    let modes = bits.list(6, |bits| mode(bits, mappings))?;
    if !bits.flag()? {
        return Err("its last bit is not set");
    }
    Ok(modes)
}

/// Reads fields from their lowest bit to their highest (section 2.1).
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// Reads a number of at most 32 bits.
    fn read(&mut self, width: usize) -> Checked<usize> {
        let start = self.position;
        self.skip(width)?;
        let bytes = &self.bytes[start / 8..self.position.div_ceil(8)];
        let word = bytes.iter().rev().fold(0, |word: u64, &byte| word << 8 | u64::from(byte));
        Ok((word >> (start % 8) & ((1 << width) - 1)) as usize)
    }

    fn skip(&mut self, width: usize) -> Checked<()> {
        self.position += width;
        if self.position > 8 * self.bytes.len() { Err("it ends too early") } else { Ok(()) }
    }

    fn flag(&mut self) -> Checked<bool> {
        Ok(self.read(1)? == 1)
    }

    /// Reads the number of items less one, and the items.
    fn list<T>(&mut self, width: usize, mut item: impl FnMut(&mut Self) -> Checked<T>) -> Checked<Vec<T>> {
        let count = self.read(width)? + 1;
        (0..count).map(|_| item(self)).collect()
    }
}

/// The number of bits of a number (section 9.2.1).
fn bit_length(number: usize) -> usize {
    (usize::BITS - number.leading_zeros()) as usize
}

fn zero(field: usize, damage: &'static str) -> Checked<()> {
    if field == 0 { Ok(()) } else { Err(damage) }
}

/// What a codebook can be used for.
struct Codebook {
    /// It has a codeword. The decoder must not look for a codeword in an empty codebook.
    has_codewords: bool,
    /// Its codewords stand for vectors.
    has_vectors: bool,
}

struct Codebooks(Vec<Codebook>);

impl Codebooks {
    /// Checks the number of a codebook that codes numbers.
    fn scalar(&self, number: usize) -> Checked<&Codebook> {
        let book = self.0.get(number).ok_or("it uses a codebook that does not exist")?;
        if book.has_codewords { Ok(book) } else { Err("it uses an empty codebook") }
    }

    /// Checks the number of a codebook that codes vectors.
    fn vector(&self, number: usize) -> Checked<()> {
        if self.scalar(number)?.has_vectors { Ok(()) } else { Err("it uses a codebook without vectors") }
    }
}

/// Section 3.2.1. Adds the size of the decoder's tables to `memory`.
fn codebook(bits: &mut Bits<'_>, memory: &mut usize) -> Checked<Codebook> {
    const SYNC: usize = 0x56_4342;
    /// The decoder's table of 8 bits of a codeword.
    const TABLE: usize = 256 * 8;
    if bits.read(24)? != SYNC {
        return Err("a codebook does not begin with its mark");
    }
    let (dimensions, entries) = (bits.read(16)?, bits.read(24)?);
    // These are symphonia's limits.
    if !(1..=32).contains(&dimensions) || entries > 1 << 17 {
        return Err("a codebook has an impossible size");
    }
    let lengths = codeword_lengths(bits, entries)?;
    *memory += TABLE * tables(&lengths)?;
    let lookup = bits.read(4)?;
    match lookup {
        0 => {}
        1 | 2 => {
            // The smallest value and the step.
            bits.skip(64)?;
            let width = bits.read(4)? + 1;
            bits.skip(1)?;
            let values = if lookup == 1 { root(entries, dimensions) } else { entries * dimensions };
            bits.skip(values * width)?;
            *memory += size_of::<f32>() * entries * dimensions;
        }
        _ => return Err("a codebook has an unknown lookup type"),
    }
    if *memory > MOST_MEMORY {
        return Err("its codebooks are too large");
    }
    Ok(Codebook { has_codewords: !lengths.is_empty(), has_vectors: lookup != 0 })
}

/// The largest number whose power `dimensions` is at most `entries` (section 9.2.3).
fn root(entries: usize, dimensions: usize) -> usize {
    let fits =
        |value: &u64| value.checked_pow(dimensions as u32).is_some_and(|power| power <= entries as u64);
    (1..).take_while(fits).count()
}

/// The lengths of the codewords of a codebook.
fn codeword_lengths(bits: &mut Bits<'_>, entries: usize) -> Checked<Vec<usize>> {
    let mut lengths = Vec::new();
    let is_ordered = bits.flag()?;
    if is_ordered {
        let mut length = bits.read(5)? + 1;
        while lengths.len() < entries {
            let left = entries - lengths.len();
            let count = bits.read(bit_length(left))?;
            if length > 32 || count > left {
                return Err("a codebook has impossible lengths of codewords");
            }
            lengths.extend(std::iter::repeat_n(length, count));
            length += 1;
        }
    } else {
        let is_sparse = bits.flag()?;
        for _ in 0..entries {
            if !is_sparse || bits.flag()? {
                lengths.push(bits.read(5)? + 1);
            }
        }
    }
    Ok(lengths)
}

/// The number of the decoder's tables, each for 8 bits of a codeword. It is at least the number of inner nodes of the
/// Huffman tree whose depth is a multiple of 8.
///
/// Each codeword takes the leftmost node of its depth that is free. The free nodes that are no children of other free
/// nodes have distinct depths, and the deepest is the leftmost.
fn tables(lengths: &[usize]) -> Checked<usize> {
    // A single codeword is the only one that leaves the tree incomplete.
    if let [] | [1] = lengths {
        return Ok(lengths.len());
    }
    let mut free = [false; 33];
    free[0] = true;
    let mut tables = 0;
    for &length in lengths {
        let depth =
            free[..=length].iter().rposition(|&free| free).ok_or("a codebook has too many codewords")?;
        free[depth] = false;
        free[depth + 1..=length].fill(true);
        tables += (depth..length).filter(|depth| depth % 8 == 0).count();
    }
    if free.contains(&true) { Err("a codebook has too few codewords") } else { Ok(tables) }
}

/// Sections 6.2.1 and 7.2.2.
fn floor(bits: &mut Bits<'_>, books: &Codebooks) -> Checked<()> {
    match bits.read(16)? {
        0 => {
            let (order, rate, bark_map) = (bits.read(8)?, bits.read(16)?, bits.read(16)?);
            if order == 0 || rate == 0 || bark_map == 0 {
                return Err("a floor has an impossible size");
            }
            bits.skip(6 + 8)?;
            let numbers = bits.list(4, |bits| bits.read(8))?;
            // A packet names one of 2, 4, 8 or 16 books. Symphonia takes book 0 for those that are not listed, and has
            // no room for more than 16.
            if numbers.len() > 15 {
                return Err("a floor has too many codebooks");
            }
            books.scalar(0)?;
            numbers.iter().try_for_each(|&number| books.vector(number))
        }
        1 => {
            let partitions = bits.read(5)?;
            let partitions = (0..partitions).map(|_| bits.read(4)).collect::<Checked<Vec<_>>>()?;
            let classes = partitions.iter().max().map_or(0, |largest| largest + 1);
            let mut dimensions = Vec::new();
            for _ in 0..classes {
                dimensions.push(bits.read(3)? + 1);
                let subclass_bits = bits.read(2)?;
                if subclass_bits > 0 {
                    books.scalar(bits.read(8)?)?;
                }
                for _ in 0..1 << subclass_bits {
                    // 0 means no codebook.
                    if let Some(number) = bits.read(8)?.checked_sub(1) {
                        books.scalar(number)?;
                    }
                }
            }
            bits.skip(2)?;
            let range = bits.read(4)?;
            let mut points = vec![0, 1 << range];
            for class in partitions {
                for _ in 0..dimensions[class] {
                    points.push(bits.read(range)?);
                }
            }
            if points.len() > 65 {
                return Err("a floor has too many points");
            }
            points.sort_unstable();
            let distinct = points.is_sorted_by(|a, b| a < b);
            if distinct { Ok(()) } else { Err("two points of a floor are equal") }
        }
        _ => Err("a floor has an unknown type"),
    }
}

/// Section 8.6.1.
fn residue(bits: &mut Bits<'_>, books: &Codebooks) -> Checked<()> {
    if bits.read(16)? > 2 {
        return Err("a residue has an unknown type");
    }
    let (begin, end) = (bits.read(24)?, bits.read(24)?);
    if begin > end {
        return Err("a residue ends before its beginning");
    }
    bits.skip(24)?;
    let classes = bits.read(6)? + 1;
    books.scalar(bits.read(8)?)?;
    let mut stages = 0;
    for _ in 0..classes {
        let low = bits.read(3)?;
        let high = if bits.flag()? { bits.read(5)? } else { 0 };
        stages += low.count_ones() + high.count_ones();
    }
    for _ in 0..stages {
        books.vector(bits.read(8)?)?;
    }
    Ok(())
}

/// Section 4.2.4, "Mappings".
fn mapping(bits: &mut Bits<'_>, channels: usize, floors: usize, residues: usize) -> Checked<()> {
    zero(bits.read(16)?, "a mapping has an unknown type")?;
    let submaps = if bits.flag()? { bits.read(4)? + 1 } else { 1 };
    if bits.flag()? {
        let width = bit_length(channels - 1);
        bits.list(8, |bits| {
            let (magnitude, angle) = (bits.read(width)?, bits.read(width)?);
            let exist = magnitude.max(angle) < channels && magnitude != angle;
            if exist { Ok(()) } else { Err("a mapping couples channels that do not exist") }
        })?;
    }
    zero(bits.read(2)?, "the reserved bits of a mapping are set")?;
    if submaps > 1 {
        for _ in 0..channels {
            if bits.read(4)? >= submaps {
                return Err("a mapping uses a submap that does not exist");
            }
        }
    }
    for _ in 0..submaps {
        bits.skip(8)?;
        let (floor, residue) = (bits.read(8)?, bits.read(8)?);
        if floor >= floors || residue >= residues {
            return Err("a mapping uses a floor or a residue that does not exist");
        }
    }
    Ok(())
}

/// Section 4.2.4, "Modes". Returns whether the block is long.
fn mode(bits: &mut Bits<'_>, mappings: usize) -> Checked<bool> {
    let is_long = bits.flag()?;
    zero(bits.read(16)?, "a mode has an unknown window")?;
    zero(bits.read(16)?, "a mode has an unknown transform")?;
    if bits.read(8)? < mappings { Ok(is_long) } else { Err("a mode uses a mapping that does not exist") }
}

#[cfg(test)]
mod tests;
