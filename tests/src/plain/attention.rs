//! Attention with materialised intermediates: transposed, shifted and partitioned planes, masks, scores, softmax.

use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation::softmax};
use unbraid_ops::{Attention, Sequences};

/// Choices between equivalent computations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Form {
    /// Computes matrix products as products and sums, because burn's own matrix product takes minutes to compile on a
    /// software adapter.
    pub sums: bool,
    /// Sequences at a time, for devices that limit the size of a tensor; all sequences at once if `None`.
    pub chunk: Option<usize>,
}

/// The arguments and result of [`unbraid_ops::attention`].
pub fn attention(qkv: Tensor<4>, bias: Option<Tensor<2>>, options: &Attention, form: Form) -> Tensor<4> {
    match options.sequences {
        Sequences::Time => attend_lines(qkv.swap_dims(1, 2), options, form).swap_dims(1, 2),
        Sequences::Frequency => attend_lines(qkv, options, form),
        Sequences::Window { size, shift } => attend_windows(qkv, bias, options.heads, size, shift, form),
    }
}

/// Attention along axis 2.
fn attend_lines(qkv: Tensor<4>, options: &Attention, form: Form) -> Tensor<4> {
    let [a, b, length, channels] = qkv.dims();
    let sequences = qkv.reshape([a * b, length, channels]);
    let output = by_chunks(sequences, form, |qkv, _| {
        let [mut q, mut k, v] = heads(qkv, options.heads);
        if options.rotary {
            (q, k) = (rotate(q), rotate(k));
        }
        merge(product(softmax(scores(q, k, form), 3), v, form))
    });
    output.reshape([a, b, length, channels / 3])
}

/// `attend(some sequences of qkv [sequences, l, 3c], index of the first)`, for all sequences.
fn by_chunks(qkv: Tensor<3>, form: Form, attend: impl Fn(Tensor<3>, usize) -> Tensor<3>) -> Tensor<3> {
    let count = qkv.dims()[0];
    let chunk = form.chunk.unwrap_or(count);
    if chunk >= count {
        return attend(qkv, 0);
    }
    let parts = (0..count)
        .step_by(chunk)
        .map(|first| attend(qkv.clone().narrow(0, first, chunk.min(count - first)), first));
    Tensor::cat(parts.collect(), 0)
}

/// `[sequences, l, 3c]` → queries, keys and values, each `[sequences, h, l, d]`.
fn heads(qkv: Tensor<3>, heads: usize) -> [Tensor<4>; 3] {
    let [sequences, length, channels] = qkv.dims();
    let width = channels / 3 / heads;
    let parts: Tensor<5> = qkv.reshape([sequences, length, 3, heads, width]).permute([2, 0, 3, 1, 4]);
    [0, 1, 2].map(|part| parts.clone().narrow(0, part, 1).reshape([sequences, heads, length, width]))
}

/// `[sequences, h, l, d]` → `[sequences, l, c]`.
fn merge(output: Tensor<4>) -> Tensor<3> {
    let [sequences, heads, length, width] = output.dims();
    output.swap_dims(1, 2).reshape([sequences, length, heads * width])
}

fn scores(q: Tensor<4>, k: Tensor<4>, form: Form) -> Tensor<4> {
    let scale = 1.0 / (q.dims()[3] as f64).sqrt();
    product(q * scale, k.swap_dims(2, 3), form)
}

/// Rotary position embedding along axis 2: pairs of channels, rotated by `position · 10000^(−2 pair / d)`.
fn rotate(x: Tensor<4>) -> Tensor<4> {
    let [sequences, heads, length, width] = x.dims();
    let table = |function: fn(f64) -> f64| {
        let angle = |i: usize| {
            (i / (width / 2)) as f64 * 10_000f64.powf(-2.0 * (i % (width / 2)) as f64 / width as f64)
        };
        let values: Vec<f32> = (0..length * width / 2).map(|i| function(angle(i)) as f32).collect();
        let data = TensorData::new(values, [1, 1, length, width / 2, 1]);
        Tensor::<5>::from_data(data, (&x.device(), x.dtype()))
    };
    let (cos, sin) = (table(f64::cos), table(f64::sin));
    let pairs: Tensor<5> = x.reshape([sequences, heads, length, width / 2, 2]);
    let (re, im) = (pairs.clone().narrow(4, 0, 1), pairs.narrow(4, 1, 1));
    let turned = vec![re.clone() * cos.clone() - im.clone() * sin.clone(), re * sin + im * cos];
    Tensor::cat(turned, 4).reshape([sequences, heads, length, width])
}

fn attend_windows(
    qkv: Tensor<4>,
    bias: Option<Tensor<2>>,
    head_count: usize,
    size: [usize; 2],
    shift: [usize; 2],
    form: Form,
) -> Tensor<4> {
    let [batch, frames, bins, _] = qkv.dims();
    let padded = [frames.next_multiple_of(size[0]), bins.next_multiple_of(size[1])];
    let area = size[0] * size[1];
    let mask = mask([frames, bins], size, shift, &qkv).repeat_dim(0, batch);
    let bias = bias.map(|bias| {
        let pairs = bias.select(1, relative_entries(size, &qkv.device()));
        pairs.cast(qkv.dtype()).reshape([1, head_count, area, area])
    });

    let rolled = roll(pad(qkv, padded), shift.map(|shift| -(shift as isize)));
    let output = by_chunks(partition(rolled, size), form, |qkv, first| {
        let mask = mask.clone().narrow(0, first, qkv.dims()[0]);
        let [q, k, v] = heads(qkv, head_count);
        let mut scores = scores(q, k, form) + mask;
        if let Some(bias) = &bias {
            scores = scores + bias.clone();
        }
        merge(product(softmax(scores, 3), v, form))
    });
    let plane = unpartition(output, [batch, padded[0], padded[1]], size);
    roll(plane, shift.map(|shift| shift as isize)).narrow(1, 0, frames).narrow(2, 0, bins)
}

/// Zeros after the last frame and bin, up to the padded extents.
fn pad(plane: Tensor<4>, padded: [usize; 2]) -> Tensor<4> {
    let [_, frames, bins, _] = plane.dims();
    plane.pad([(0, padded[0] - frames), (0, padded[1] - bins), (0, 0)], 0.0)
}

fn roll(plane: Tensor<4>, shift: [isize; 2]) -> Tensor<4> {
    plane.roll_dim(shift[0], 1).roll_dim(shift[1], 2)
}

/// `[b, t, f, c]` → `[b · windows, w, c]`.
fn partition(plane: Tensor<4>, size: [usize; 2]) -> Tensor<3> {
    let [batch, frames, bins, channels] = plane.dims();
    let (rows, columns) = (frames / size[0], bins / size[1]);
    let split: Tensor<6> = plane.reshape([batch, rows, size[0], columns, size[1], channels]);
    split.swap_dims(2, 3).reshape([batch * rows * columns, size[0] * size[1], channels])
}

/// `[b · windows, w, c]` → `[b, t, f, c]`.
fn unpartition(windows: Tensor<3>, [batch, frames, bins]: [usize; 3], size: [usize; 2]) -> Tensor<4> {
    let channels = windows.dims()[2];
    let (rows, columns) = (frames / size[0], bins / size[1]);
    let split: Tensor<6> = windows.reshape([batch, rows, columns, size[0], size[1], channels]);
    split.swap_dims(2, 3).reshape([batch, frames, bins, channels])
}

/// Column of the bias table for every pair of positions in a window, `[w · w]`.
fn relative_entries(size: [usize; 2], device: &Device) -> Tensor<1, Int> {
    let area = size[0] * size[1];
    let entry = |pair: usize| {
        let (query, key) = (pair / area, pair % area);
        let t = query / size[1] + size[0] - 1 - key / size[1];
        let f = query % size[1] + size[1] - 1 - key % size[1];
        (t * (2 * size[1] - 1) + f) as i32
    };
    let entries: Vec<i32> = (0..area * area).map(entry).collect();
    Tensor::from_data(TensorData::new(entries, [area * area]), device)
}

/// The mask that is added to the scores so that only pairs of one region remain, `[windows, 1, w, w]`. Padding is a
/// separate region.
fn mask(extent: [usize; 2], size: [usize; 2], shift: [usize; 2], like: &Tensor<4>) -> Tensor<4> {
    // exp(score + masked − maximum) is zero, and neither type overflows.
    let masked = if like.dtype() == DType::F16 { -3e4 } else { -1e9 };
    let padded = [0, 1].map(|axis| extent[axis].next_multiple_of(size[axis]));
    let device = like.device().inner();
    let plane = |value: &dyn Fn(usize, usize) -> f32| {
        let values: Vec<f32> =
            (0..padded[0] * padded[1]).map(|i| value(i / padded[1], i % padded[1])).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, padded[0], padded[1], 1]), (&device, DType::F32))
    };
    let padding = plane(&|t, f| if t < extent[0] && f < extent[1] { 0.0 } else { 4.0 });
    let came_round = plane(&|t, f| {
        let [t, f] = [t >= padded[0] - shift[0], f >= padded[1] - shift[1]].map(u8::from);
        f32::from(2 * t + f)
    });
    let regions = roll(padding, shift.map(|shift| -(shift as isize))) + came_round;
    let regions = partition(regions.clamp_max(4.0), size);
    let [windows, area, _] = regions.dims();
    let query: Tensor<4> = regions.clone().reshape([windows, 1, area, 1]).expand([windows, 1, area, area]);
    let key: Tensor<4> = regions.reshape([windows, 1, 1, area]).expand([windows, 1, area, area]);
    query.not_equal(key).float().cast(like.dtype()) * masked
}

fn product(a: Tensor<4>, b: Tensor<4>, form: Form) -> Tensor<4> {
    if !form.sums {
        return a.matmul(b);
    }
    let [batch, heads, rows, inner] = a.dims();
    let columns = b.dims()[3];
    let a: Tensor<5> = a.reshape([batch, heads, rows, 1, inner]);
    let b: Tensor<5> = b.swap_dims(2, 3).reshape([batch, heads, 1, columns, inner]);
    (a * b).sum_dim(4).reshape([batch, heads, rows, columns])
}
