//! Attention on the CPU. Threads process sequences in parallel, and each computes a few rows of scores at a time.
//!
//! For each head, a sequence's queries, keys and values are gathered into planes (one channel each, positions
//! contiguous). So only the gather and the scatter depend on the kind of sequence. One thread computes a sequence in a
//! fixed order, and sums over sequences are grouped into fixed parts, so results do not depend on the number of
//! threads.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::layout::{Plane, SequenceLayout, Sequences};
use super::options::Attention;
use super::rotary::{rotary_row, rotated};
use super::rows::{self, LANES, QUERIES};
use super::scratch::{Scratch, Shared, relative_entry};
use crate::runtime::flex::cpu_output;

/// The tensors that the forward pass saves for the backward pass.
pub(crate) struct SavedSlices<'a> {
    pub(crate) qkv: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) output: &'a [f32],
    pub(crate) log_sum_exp: &'a [f32],
}

/// The forward pass of one sequence.
struct ForwardSequence<'a> {
    shared: &'a Shared<'a>,
    scratch: &'a mut Scratch,
    sequence: usize,
    /// Results, `[positions, c + h]`: outputs, then log-sum-exps.
    rows: &'a mut [f32],
}

impl NullaryFnOnce for ForwardSequence<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { shared, scratch, sequence, rows: results } = self;
        let (channels, width, padded) = (shared.channels(), shared.head_width, shared.padded_width());
        let stride = shared.stride();
        scratch.place(shared, sequence);
        for head in 0..shared.heads {
            scratch.gather(shared, head);
            for first in (0..shared.layout.length()).step_by(QUERIES) {
                let block = scratch.block(first);
                scratch.score(shared, head, first, &block);
                let mut totals = [(0.0, 0.0); QUERIES];
                for (row, total) in scratch.scores.chunks_exact_mut(stride).zip(&mut totals) {
                    let maximum = rows::maximum(row);
                    rows::exponentiate(row, maximum);
                    *total = (maximum, rows::total(row));
                }
                rows::contract(&mut scratch.sums, &scratch.scores, &scratch.values);
                for (q, (maximum, sum)) in totals.into_iter().enumerate() {
                    if block[q].is_none() {
                        continue;
                    }
                    let result = &mut results[(first + q) * (channels + shared.heads)..];
                    let output = &scratch.sums[q * padded..][..width];
                    for (result, output) in result[head * width..][..width].iter_mut().zip(output) {
                        *result = output / sum;
                    }
                    result[channels + head] = maximum + sum.ln();
                }
            }
        }
    }
}

/// `(output [b, t, f, c], log-sum-exp [b, t, f, h])`.
pub(crate) fn forward(qkv: &[f32], bias: &[f32], plane: Plane, options: &Attention) -> (Vec<f32>, Vec<f32>) {
    let shared = Shared::new(qkv, bias, plane, options);
    let (channels, heads, length) = (plane.channels, options.heads, shared.layout.length());
    let tokens = plane.batch * plane.frames * plane.bins;
    let mut output = cpu_output(tokens * channels);
    let mut log_sum_exp = cpu_output(tokens * heads);
    let width = channels + heads;
    for_each_run(&shared, length * width, options, |first, staging| {
        staging.par_chunks_exact_mut(length * width).enumerate().for_each_init(
            || Scratch::new(&shared),
            |scratch, (index, rows)| {
                let sequence = first + index;
                Arch::new().dispatch(ForwardSequence { shared: &shared, scratch, sequence, rows });
            },
        );
        scatter(&shared.layout, first, staging, width, |token, row| {
            output[token * channels..][..channels].copy_from_slice(&row[..channels]);
            log_sum_exp[token * heads..][..heads].copy_from_slice(&row[channels..]);
        });
    });
    (output, log_sum_exp)
}

/// The backward pass of one sequence.
struct BackwardSequence<'a> {
    shared: &'a Shared<'a>,
    saved: &'a SavedSlices<'a>,
    gradient: &'a [f32],
    scratch: &'a mut Scratch,
    sequence: usize,
    /// Results, `[positions, 3c]`.
    rows: &'a mut [f32],
    /// Accumulates `[h, query, key padded]`; empty without a bias.
    pair_bias_gradient: &'a mut [f32],
}

impl NullaryFnOnce for BackwardSequence<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { shared, saved, gradient, scratch, sequence, rows: results, pair_bias_gradient } = self;
        let (channels, width, padded) = (shared.channels(), shared.head_width, shared.padded_width());
        let (stride, length) = (shared.stride(), shared.layout.length());
        scratch.place(shared, sequence);
        for head in 0..shared.heads {
            scratch.gather(shared, head);
            scratch.key_gradients.fill(0.0);
            scratch.value_gradients.fill(0.0);
            for first in (0..length).step_by(QUERIES) {
                let block = scratch.block(first);
                scratch.score(shared, head, first, &block);
                let mut deltas = [0.0; QUERIES];
                scratch.gradients.fill(0.0);
                for (q, place) in block.iter().enumerate() {
                    let row = &mut scratch.scores[q * stride..][..stride];
                    let Some(place) = place else {
                        // A row without a query must not contribute to the sums over queries.
                        row.fill(0.0);
                        continue;
                    };
                    rows::exponentiate(row, saved.log_sum_exp[place.token * shared.heads + head]);
                    let start = place.token * channels + head * width;
                    let g = &mut scratch.gradients[q * padded..][..width];
                    g.copy_from_slice(&gradient[start..][..width]);
                    deltas[q] = g.iter().zip(&saved.output[start..][..width]).map(|(g, o)| g * o).sum();
                }
                scratch.score_gradients.fill(0.0);
                rows::add_products(&mut scratch.score_gradients, &scratch.gradients, &scratch.values);
                let dp_rows = scratch.score_gradients.chunks_exact_mut(stride);
                for ((dp, p), delta) in dp_rows.zip(scratch.scores.chunks_exact(stride)).zip(deltas) {
                    rows::score_gradients(dp, p, delta);
                }

                rows::contract(&mut scratch.sums, &scratch.score_gradients, &scratch.keys);
                let queries = &scratch.queries[first * padded..][..QUERIES * padded];
                rows::add_outer(&mut scratch.key_gradients, queries, &scratch.score_gradients);
                rows::add_outer(&mut scratch.value_gradients, &scratch.gradients, &scratch.scores);
                let present = (0..QUERIES).filter(|&q| block[q].is_some());
                for q in present {
                    if !pair_bias_gradient.is_empty() {
                        let sums = &mut pair_bias_gradient[(head * length + first + q) * stride..][..stride];
                        let row = &scratch.score_gradients[q * stride..][..stride];
                        sums.iter_mut().zip(row).for_each(|(sum, ds)| *sum += ds);
                    }
                    let result = &mut results[(first + q) * 3 * channels + head * width..][..width];
                    for (result, sum) in result.iter_mut().zip(&scratch.sums[q * padded..]) {
                        *result = sum * shared.scale();
                    }
                }
            }
            for (position, result) in results.chunks_exact_mut(3 * channels).enumerate() {
                let (queries, rest) = result.split_at_mut(channels);
                let (keys, values) = rest.split_at_mut(channels);
                let [q, k, v] = [queries, keys, values].map(|part| &mut part[head * width..][..width]);
                for d in 0..width {
                    k[d] = scratch.key_gradients[d * stride + position];
                    v[d] = scratch.value_gradients[d * stride + position];
                }
                // The gradient of a rotation is the inverse rotation, which is its transpose.
                for (pair, (cos, sin)) in rotary_row(&shared.rotary, position, width).enumerate() {
                    for part in [&mut *q, &mut *k] {
                        (part[2 * pair], part[2 * pair + 1]) =
                            rotated((cos, -sin), part[2 * pair], part[2 * pair + 1]);
                    }
                }
            }
        }
    }
}

/// `(gradient of qkv [b, t, f, 3c], gradient of the bias table or of its placeholder)`.
pub(crate) fn backward(
    saved: &SavedSlices<'_>,
    gradient: &[f32],
    plane: Plane,
    options: &Attention,
) -> (Vec<f32>, Vec<f32>) {
    let shared = Shared::new(saved.qkv, saved.bias, plane, options);
    let (width, length) = (3 * plane.channels, shared.layout.length());
    let mut qkv_gradient = cpu_output(saved.qkv.len());
    let mut bias_gradient = vec![0.0; saved.bias.len()];
    for_each_run(&shared, length * width, options, |first, staging| {
        let parts: Vec<Vec<f32>> = staging
            .par_chunks_mut(SEQUENCES_OF_PART * length * width)
            .enumerate()
            .map(|(part, rows)| {
                let mut scratch = Scratch::new(&shared);
                let mut pair_bias_gradient = vec![0.0; shared.pair_bias.len()];
                for (index, rows) in rows.chunks_exact_mut(length * width).enumerate() {
                    Arch::new().dispatch(BackwardSequence {
                        shared: &shared,
                        saved,
                        gradient,
                        scratch: &mut scratch,
                        sequence: first + part * SEQUENCES_OF_PART + index,
                        rows,
                        pair_bias_gradient: &mut pair_bias_gradient,
                    });
                }
                table_gradient(&pair_bias_gradient, options)
            })
            .collect();
        for part in parts {
            for (sum, value) in bias_gradient.iter_mut().zip(part) {
                *sum += value;
            }
        }
        scatter(&shared.layout, first, staging, width, |token, row| {
            qkv_gradient[token * width..][..width].copy_from_slice(row);
        });
    });
    (qkv_gradient, bias_gradient)
}

/// Sequences whose bias gradients are summed before they are added to the total. The number is fixed, so that the order
/// of additions depends neither on the number of threads nor on `chunk`.
const SEQUENCES_OF_PART: usize = 8;

/// Sums the gradients of pairs of positions into the gradient of the relative-position table.
fn table_gradient(pairs: &[f32], options: &Attention) -> Vec<f32> {
    let (Sequences::Window { size, .. }, Some([heads, entries])) = (options.sequences, options.bias_shape())
    else {
        return Vec::new();
    };
    let length = size[0] * size[1];
    let stride = length.next_multiple_of(LANES);
    let mut table = vec![0.0; heads * entries];
    for (row, pairs) in pairs.chunks_exact(stride).enumerate() {
        let (head, query) = (row / length, row % length);
        for (key, value) in pairs[..length].iter().enumerate() {
            table[head * entries + relative_entry(size, query, key)] += value;
        }
    }
    table
}

/// Calls `run(first, staging)` for runs of sequences, each `chunk` sequences rounded up to whole parts.
fn for_each_run(
    shared: &Shared<'_>,
    floats_of_sequence: usize,
    options: &Attention,
    mut run: impl FnMut(usize, &mut [f32]),
) {
    // 4 MiB of staging fit in the last-level cache and hold enough sequences for every thread.
    const STAGING: usize = 1 << 20;
    let count = shared.layout.count();
    let chunk = options.chunk.map_or(STAGING / floats_of_sequence, std::num::NonZero::get);
    let chunk = chunk.max(1).next_multiple_of(SEQUENCES_OF_PART).min(count);
    let mut staging = vec![0.0; chunk * floats_of_sequence];
    for first in (0..count).step_by(chunk) {
        let sequences = chunk.min(count - first);
        run(first, &mut staging[..sequences * floats_of_sequence]);
    }
}

/// Calls `put(token, row)` for every token of a run of sequences.
fn scatter(
    layout: &SequenceLayout,
    first: usize,
    staging: &[f32],
    width: usize,
    mut put: impl FnMut(usize, &[f32]),
) {
    for (index, rows) in staging.chunks_exact(layout.length() * width).enumerate() {
        for (position, row) in rows.chunks_exact(width).enumerate() {
            if let Some(place) = layout.place(first + index, position) {
                put(place.token, row);
            }
        }
    }
}
