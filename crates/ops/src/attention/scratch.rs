//! Data of the CPU path of attention: inputs that all sequences share, and a thread's working memory for one sequence.

use super::layout::{Place, Plane, SequenceLayout, Sequences};
use super::options::Attention;
use super::rotary::{rotary_row, rotary_table, rotated};
use super::rows::{self, GROUP, LANES, MASKED, QUERIES};

/// Inputs that are the same for all sequences.
pub(super) struct Shared<'a> {
    pub(super) layout: SequenceLayout,
    pub(super) heads: usize,
    pub(super) head_width: usize,
    qkv: &'a [f32],
    /// `[positions, d/2, 2]`; empty without rotary positions.
    pub(super) rotary: Vec<f32>,
    /// Bias of every pair of positions, `[h, query, key padded]`; empty except for windows.
    pub(super) pair_bias: Vec<f32>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(qkv: &'a [f32], bias: &[f32], plane: Plane, options: &Attention) -> Self {
        let layout = SequenceLayout::new(plane, options.sequences);
        let head_width = plane.channels / options.heads;
        let rotary = if options.rotary { rotary_table(layout.length(), head_width) } else { Vec::new() };
        let pair_bias = pair_bias(bias, options);
        Self { layout, heads: options.heads, head_width, qkv, rotary, pair_bias }
    }

    pub(super) fn channels(&self) -> usize {
        self.heads * self.head_width
    }

    /// Number of positions, padded to whole lanes.
    pub(super) fn stride(&self) -> usize {
        self.layout.length().next_multiple_of(LANES)
    }

    /// Head width, padded to whole groups.
    pub(super) fn padded_width(&self) -> usize {
        self.head_width.next_multiple_of(GROUP)
    }

    /// 1/√d, by which the queries are scaled.
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.head_width as f32).sqrt()
    }

    /// Row of the pair bias for a head and a query.
    fn bias_row(&self, head: usize, query: usize) -> Option<&[f32]> {
        let start = (head * self.layout.length() + query) * self.stride();
        self.pair_bias.get(start..start + self.stride())
    }
}

/// Index in the relative-position table of a query and a key of one window.
pub(super) fn relative_entry(size: [usize; 2], query: usize, key: usize) -> usize {
    let frame = query / size[1] + size[0] - 1 - key / size[1];
    let bin = query % size[1] + size[1] - 1 - key % size[1];
    frame * (2 * size[1] - 1) + bin
}

/// The relative-position table expanded to pairs of positions, `[h, query, key padded]`.
fn pair_bias(table: &[f32], options: &Attention) -> Vec<f32> {
    let Sequences::Window { size, .. } = options.sequences else { return Vec::new() };
    let length = size[0] * size[1];
    let entries = table.len() / options.heads;
    let mut pairs = Vec::with_capacity(options.heads * length * length.next_multiple_of(LANES));
    for head in table.chunks_exact(entries) {
        for query in 0..length {
            pairs.extend((0..length).map(|key| head[relative_entry(size, query, key)]));
            pairs.resize(pairs.len().next_multiple_of(LANES), 0.0);
        }
    }
    pairs
}

/// A thread's working memory for one head of one sequence.
pub(super) struct Scratch {
    pub(super) places: Vec<Option<Place>>,
    /// For each region, zero at its positions and [`MASKED`] at the others: `[4, positions]`.
    masks: Vec<f32>,
    /// Rows, `[positions, d]`, padded to whole blocks of queries.
    pub(super) queries: Vec<f32>,
    /// Output gradients of a block of queries, `[q, d]`.
    pub(super) gradients: Vec<f32>,
    /// Planes, `[d, positions]`, as are the values and both gradients.
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) key_gradients: Vec<f32>,
    pub(super) value_gradients: Vec<f32>,
    /// Scores of a block of queries, `[q, positions]`, as are their gradients.
    pub(super) scores: Vec<f32>,
    pub(super) score_gradients: Vec<f32>,
    /// Results of a block of queries, `[q, d]`.
    pub(super) sums: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(shared: &Shared<'_>) -> Self {
        let (length, stride, width) = (shared.layout.length(), shared.stride(), shared.padded_width());
        let (block, planes) = (vec![0.0; QUERIES * width], vec![0.0; width * stride]);
        Self {
            places: Vec::with_capacity(length),
            masks: vec![MASKED; 4 * stride],
            queries: vec![0.0; length.next_multiple_of(QUERIES) * width],
            gradients: block.clone(),
            sums: block,
            keys: planes.clone(),
            values: planes.clone(),
            key_gradients: planes.clone(),
            value_gradients: planes,
            scores: vec![0.0; QUERIES * stride],
            score_gradients: vec![0.0; QUERIES * stride],
        }
    }

    /// Sets the places and masks of a sequence.
    pub(super) fn place(&mut self, shared: &Shared<'_>, sequence: usize) {
        self.places.clear();
        self.places
            .extend((0..shared.layout.length()).map(|position| shared.layout.place(sequence, position)));
        self.masks.fill(MASKED);
        let stride = shared.stride();
        for (position, place) in self.places.iter().enumerate() {
            if let Some(place) = place {
                self.masks[usize::from(place.region) * stride + position] = 0.0;
            }
        }
    }

    /// Reads queries, keys and values of one head of the placed sequence.
    #[inline(always)]
    pub(super) fn gather(&mut self, shared: &Shared<'_>, head: usize) {
        let (width, stride, padded) = (shared.head_width, shared.stride(), shared.padded_width());
        let channels = shared.channels();
        let scale = shared.scale();
        for (position, place) in self.places.iter().enumerate() {
            let Some(place) = place else { continue };
            let token = &shared.qkv[3 * channels * place.token..][..3 * channels];
            let [q, k, v] = [0, 1, 2].map(|part| &token[part * channels + head * width..][..width]);
            for d in 0..width {
                self.queries[position * padded + d] = q[d] * scale;
                self.keys[d * stride + position] = k[d];
                self.values[d * stride + position] = v[d];
            }
            for (pair, rotation) in rotary_row(&shared.rotary, position, width).enumerate() {
                let (a, b) = (2 * pair, 2 * pair + 1);
                let row = position * padded;
                let (x, y) = rotated(rotation, self.queries[row + a], self.queries[row + b]);
                (self.queries[row + a], self.queries[row + b]) = (x, y);
                let (x, y) =
                    rotated(rotation, self.keys[a * stride + position], self.keys[b * stride + position]);
                (self.keys[a * stride + position], self.keys[b * stride + position]) = (x, y);
            }
        }
    }

    /// Places of the block of queries that starts at `first`; `None` beyond the sequence's end or outside the plane.
    pub(super) fn block(&self, first: usize) -> [Option<Place>; QUERIES] {
        std::array::from_fn(|q| self.places.get(first + q).copied().flatten())
    }

    /// Computes `self.scores` of a block of queries. Rows without a query are finite but meaningless.
    #[inline(always)]
    pub(super) fn score(
        &mut self,
        shared: &Shared<'_>,
        head: usize,
        first: usize,
        block: &[Option<Place>; QUERIES],
    ) {
        let (stride, width) = (shared.stride(), shared.padded_width());
        for (q, (row, place)) in self.scores.chunks_exact_mut(stride).zip(block).enumerate() {
            let Some(place) = place else {
                row.fill(0.0);
                continue;
            };
            row.copy_from_slice(&self.masks[usize::from(place.region) * stride..][..stride]);
            if let Some(bias) = shared.bias_row(head, first + q) {
                row.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
        }
        rows::add_products(&mut self.scores, &self.queries[first * width..][..QUERIES * width], &self.keys);
    }
}
