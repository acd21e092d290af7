//! Attention: every layout of sequences, forward and backward, compared with the reference and the plain operations.

use std::num::NonZeroUsize;

use burn::tensor::{Device, ExecutionError, Tensor};
use unbraid_ops::{Attention, MAX_HEAD_WIDTH, Sequences};

use super::target::{Target, dot, norm};
use crate::host::{Precision, Random, download, upload};
use crate::plain::attention::Form;
use crate::report::{Check, Expected, Verdict};
use crate::{plain, reference};

/// One attention on one plane.
#[derive(Debug, Clone)]
pub struct AttentionCase {
    /// `[b, t, f]`
    pub plane: [usize; 3],
    /// The layout of the sequences.
    pub sequences: Sequences,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub width: usize,
    /// Rotary position embedding.
    pub rotary: bool,
    /// Factor on the logits. Large logits make the softmax nearly one-hot, and overflow in a careless implementation.
    pub logits: f64,
    /// With a relative-position bias table (windows only).
    pub bias: bool,
    /// Precision of the stored activations.
    pub precision: Precision,
    /// Also run in chunks, which must give the same bits.
    pub chunks: bool,
    /// Also compare the gradients with finite differences, and the gradient of the values by the adjoint identity.
    pub differences: bool,
    /// qkv and the gradient of the output are transposed views.
    pub strided: bool,
}

/// The inputs on the host.
struct Inputs {
    qkv: Vec<f64>,
    bias: Vec<f64>,
    gradient: Vec<f64>,
}

/// The results on the host: the output, then the gradients of queries, keys, values and, if there is one, the bias.
type Results = Vec<Vec<f64>>;

const TENSORS: [&str; 5] = ["output", "dq", "dk", "dv", "dbias"];

type Operation<'a> = &'a dyn Fn(Tensor<4>, Option<Tensor<2>>, &Attention) -> Tensor<4>;

impl AttentionCase {
    /// Unique name: layout, extents, heads, width, and then special properties.
    pub fn name(&self) -> String {
        let [b, t, f] = self.plane;
        let layout = match self.sequences {
            Sequences::Time => "time".to_string(),
            Sequences::Frequency => "frequency".to_string(),
            Sequences::Window { size, shift } => {
                format!("window {}x{}+{}+{}", size[0], size[1], shift[0], shift[1])
            }
        };
        let mut name = format!("attention {layout} {b}x{t}x{f} h{} d{}", self.heads, self.width);
        for (on, word) in [
            (self.rotary, " rotary"),
            (self.bias, " bias"),
            (self.logits != 1.0, " logits x10"),
            (self.strided, " strided"),
            (self.precision == Precision::F16, " f16"),
        ] {
            if on {
                name.push_str(word);
            }
        }
        name
    }

    fn channels(&self) -> usize {
        self.heads * self.width
    }

    fn options(&self, chunk: Option<usize>) -> Attention {
        Attention {
            sequences: self.sequences,
            heads: self.heads,
            rotary: self.rotary,
            chunk: chunk.and_then(NonZeroUsize::new),
        }
    }

    fn bias_shape(&self) -> Option<[usize; 2]> {
        if self.bias { self.options(None).bias_shape() } else { None }
    }

    fn inputs(&self) -> Inputs {
        let mut random = Random::named(&self.name());
        let tokens: usize = self.plane.iter().product();
        let channels = self.channels();
        // Queries and keys are each scaled by the square root of the factor.
        let mut qkv = Vec::with_capacity(tokens * 3 * channels);
        for _ in 0..tokens {
            qkv.extend(random.normal(2 * channels, self.logits.sqrt(), self.precision));
            qkv.extend(random.normal(channels, 1.0, self.precision));
        }
        let bias = self.bias_shape().map_or(0, |shape| shape.iter().product());
        Inputs {
            qkv,
            bias: random.normal(bias, 1.0, self.precision),
            gradient: random.normal(tokens * channels, 1.0, self.precision),
        }
    }

    /// Runs an operation forward and backward on the device.
    async fn evaluate(
        &self,
        operation: Operation<'_>,
        inputs: &Inputs,
        chunk: Option<usize>,
        device: &Device,
    ) -> Result<Results, ExecutionError> {
        let device = device.clone().autodiff();
        let [b, t, f] = self.plane;
        let channels = self.channels();
        // Halving and doubling are exact. They put elementwise operations around ours, which fusion can fuse.
        let doubled: Vec<f64> = inputs.qkv.iter().map(|x| 2.0 * x).collect();
        let qkv = upload(&doubled, [b, t, f, 3 * channels], self.precision, &device).require_grad();
        let bias = self
            .bias_shape()
            .map(|shape| upload(&inputs.bias, shape, Precision::F32, &device).require_grad());
        let gradient = upload(&inputs.gradient, [b, t, f, channels], self.precision, &device);

        let output = if self.strided {
            // Stored as [b, f, t, ·] and viewed as [b, t, f, ·]. The gradient of the output is such a view too.
            let stored = Tensor::cat(vec![qkv.clone().swap_dims(1, 2)], 1) * 0.5;
            operation(stored.swap_dims(1, 2), bias.clone(), &self.options(chunk))
        } else {
            operation(qkv.clone() * 0.5, bias.clone(), &self.options(chunk))
        };
        let loss = if self.strided {
            ((output.clone() * 2.0).swap_dims(1, 2) * (gradient * 0.5).swap_dims(1, 2)).sum()
        } else {
            ((output.clone() * 2.0) * (gradient * 0.5)).sum()
        };
        let gradients = loss.backward();
        let qkv_gradient = qkv.grad(&gradients).expect("the loss depends on qkv");
        let qkv_gradient = download(qkv_gradient * 2.0).await?;
        let mut results = vec![download(output.inner()).await?];
        results.extend((0..3).map(|part| part_of(&qkv_gradient, part, channels)));
        if let Some(bias) = bias {
            results.push(download(bias.grad(&gradients).expect("the loss depends on the bias")).await?);
        }
        Ok(results)
    }

    /// Runs the case.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn run(&self, target: &Target) -> Result<Vec<Check>, ExecutionError> {
        let device = &target.device;
        let inputs = self.inputs();
        let ours = self.evaluate(&unbraid_ops::attention, &inputs, None, device).await?;
        let form = Form { sums: target.software, chunk: None };
        let plain = |qkv: Tensor<4>, bias: Option<Tensor<2>>, options: &Attention| {
            plain::attention::attention(qkv, bias, options, form)
        };
        let in_f32 = Self { precision: Precision::F32, ..*self };
        let plain_f32 = in_f32.evaluate(&plain, &inputs, None, device).await?;
        // The gradients of q, k and the bias depend on the output as it was rounded for storage. The plain operations
        // must round it too.
        let plain = if self.precision == Precision::F32 {
            plain_f32.clone()
        } else {
            self.evaluate(&plain, &inputs, None, device).await?
        };
        let plain = |i: usize| if matches!(TENSORS[i], "output" | "dv") { &plain_f32[i] } else { &plain[i] };
        let expected = self.expected(&inputs);
        let compare = |i: usize| Check::against_plain(TENSORS[i], &expected[i], &ours[i], plain(i), i == 0);
        let mut checks: Vec<Check> = (0..expected.len()).map(compare).collect();
        if self.chunks {
            checks.push(self.by_chunks(&inputs, &ours, device).await?);
        }
        if self.differences {
            checks.extend(self.finite_differences(&inputs, &ours, device).await?);
        }
        Ok(checks)
    }

    fn expected(&self, inputs: &Inputs) -> Vec<Expected> {
        let Inputs { qkv, bias, gradient } = inputs;
        let (values, sensitivity) =
            reference::attention::attention(qkv, bias, gradient, self.plane, &self.options(None));
        let split = |outcome: &reference::attention::Outcome| -> Results {
            let mut results = vec![outcome.output.clone()];
            results.extend((0..3).map(|part| part_of(&outcome.qkv_gradient, part, self.channels())));
            if self.bias {
                results.push(outcome.bias_gradient.clone());
            }
            results
        };
        let pairs = split(&values).into_iter().zip(split(&sensitivity));
        let precision = |i: usize| if TENSORS[i] == "dbias" { Precision::F32 } else { self.precision };
        pairs
            .enumerate()
            .map(|(i, (values, sensitivity))| Expected { values, sensitivity, precision: precision(i) })
            .collect()
    }

    /// Chunks of sequences must give the same bits as all sequences in one dispatch.
    async fn by_chunks(
        &self,
        inputs: &Inputs,
        ours: &Results,
        device: &Device,
    ) -> Result<Check, ExecutionError> {
        let whole = ours.concat();
        for chunk in [1, 3, 7] {
            let parts = self.evaluate(&unbraid_ops::attention, inputs, Some(chunk), device).await?.concat();
            let check = Check::identical("all, by chunks", &whole, &parts, "chunks of 1, 3, 7 change no bit");
            if check.verdict == Verdict::Fail || chunk == 7 {
                return Ok(check);
            }
        }
        unreachable!("the last chunk size returns")
    }

    /// Compares the device with itself. The loss is linear in the values, so `⟨A v, g⟩ = ⟨v, Aᵀ g⟩`. The slope of the
    /// loss along a random direction of all inputs is the inner product of the direction and the gradient.
    async fn finite_differences(
        &self,
        inputs: &Inputs,
        ours: &Results,
        device: &Device,
    ) -> Result<Vec<Check>, ExecutionError> {
        const STEP: f64 = 1.0 / 128.0;
        let values = part_of(&inputs.qkv, 2, self.channels());
        let forward = dot(&ours[0], &inputs.gradient);
        let scale = norm(&ours[0]) * norm(&inputs.gradient);
        let adjoint = Check::close(
            "⟨Av,g⟩ = ⟨v,Aᵀg⟩",
            forward,
            dot(&values, &ours[3]),
            scale,
            1e-6,
            "1e-6 of the norms: rounding of f32",
        );

        let mut random = Random::named(&format!("{} direction", self.name()));
        let direction = random.normal(inputs.qkv.len(), 1.0, self.precision);
        let bias_direction = random.normal(inputs.bias.len(), 1.0, self.precision);
        let mut losses = Vec::new();
        for step in [STEP, -STEP] {
            let moved = |x: &[f64], d: &[f64]| x.iter().zip(d).map(|(x, d)| x + step * d).collect::<Vec<_>>();
            let inputs = Inputs {
                qkv: moved(&inputs.qkv, &direction),
                bias: moved(&inputs.bias, &bias_direction),
                gradient: inputs.gradient.clone(),
            };
            let results = self.evaluate(&unbraid_ops::attention, &inputs, None, device).await?;
            losses.push(dot(&results[0], &inputs.gradient));
        }
        let slope = (losses[0] - losses[1]) / (2.0 * STEP);
        let mut expected: f64 =
            (0..3).map(|part| dot(&part_of(&direction, part, self.channels()), &ours[1 + part])).sum();
        if self.bias {
            expected += dot(&bias_direction, &ours[4]);
        }
        let reason = "1e-3 of the norms: f32 rounding over the step, and the step's square";
        let slope_scale = norm(&direction) * ours[1..].iter().map(|g| norm(g).powi(2)).sum::<f64>().sqrt();
        Ok(vec![adjoint, Check::close("finite difference", expected, slope, slope_scale, 1e-3, reason)])
    }
}

/// Queries', keys' or values' channels of a tensor like qkv.
fn part_of(qkv: &[f64], part: usize, channels: usize) -> Vec<f64> {
    qkv.chunks_exact(3 * channels).flat_map(|token| token[part * channels..][..channels].to_vec()).collect()
}

/// Every case of attention.
pub fn cases() -> Vec<AttentionCase> {
    let line = |sequences, plane, heads, width| AttentionCase {
        plane,
        sequences,
        heads,
        width,
        rotary: false,
        logits: 1.0,
        bias: false,
        precision: Precision::F32,
        chunks: false,
        differences: false,
        strided: false,
    };
    let time = |plane, heads, width| line(Sequences::Time, plane, heads, width);
    let frequency = |plane, heads, width| line(Sequences::Frequency, plane, heads, width);
    let window = |plane, size, shift, heads, width| AttentionCase {
        bias: true,
        ..line(Sequences::Window { size, shift }, plane, heads, width)
    };
    let f32 = vec![
        time([1, 1, 5], 1, 4),
        AttentionCase { rotary: true, chunks: true, ..time([1, 2, 3], 8, 4) },
        AttentionCase { rotary: true, ..time([1, 5, 2], 2, 6) },
        AttentionCase { rotary: true, chunks: true, differences: true, ..time([2, 17, 5], 3, 2) },
        AttentionCase { logits: 10.0, strided: true, ..time([1, 33, 2], 4, 8) },
        AttentionCase { rotary: true, logits: 10.0, ..time([1, 97, 2], 2, 32) },
        // Tiles whose sizes are not powers of two.
        AttentionCase { rotary: true, ..time([1, 130, 1], 1, 48) },
        time([1, 40, 2], 5, 1),
        time([1, 33, 1], 1, MAX_HEAD_WIDTH),
        // Three and four queries per invocation, as in the first resolutions of the networks.
        AttentionCase { rotary: true, ..time([1, 130, 1], 1, 4) },
        AttentionCase { rotary: true, ..frequency([1, 1, 256], 2, 4) },
        frequency([1, 3, 1], 2, 4),
        AttentionCase { rotary: true, ..frequency([2, 2, 5], 8, 4) },
        frequency([1, 2, 17], 4, 3),
        AttentionCase {
            rotary: true,
            chunks: true,
            differences: true,
            strided: true,
            ..frequency([2, 5, 33], 6, 8)
        },
        AttentionCase { rotary: true, logits: 10.0, ..frequency([1, 2, 97], 8, 6) },
        AttentionCase { rotary: true, ..frequency([1, 1, 257], 2, 16) },
        // The head width of RoFormers.
        AttentionCase { rotary: true, strided: true, ..time([1, 130, 2], 2, 64) },
        AttentionCase { rotary: true, chunks: true, differences: true, ..frequency([2, 3, 62], 2, 64) },
        window([1, 16, 24], [8, 8], [0, 0], 2, 4),
        AttentionCase { chunks: true, ..window([1, 13, 21], [8, 8], [4, 4], 8, 4) },
        AttentionCase { chunks: true, differences: true, ..window([2, 5, 7], [4, 4], [2, 2], 3, 6) },
        AttentionCase { logits: 10.0, strided: true, ..window([1, 11, 7], [5, 3], [4, 1], 2, 8) },
        window([1, 5, 9], [16, 16], [8, 8], 1, 32),
        window([1, 1, 1], [8, 8], [4, 4], 4, 4),
        window([1, 97, 2], [8, 8], [0, 4], 2, 2),
        AttentionCase { bias: false, ..window([1, 9, 17], [8, 8], [4, 0], 1, 64) },
        // Enough windows that a partial sum of the bias gradient covers several of them.
        AttentionCase { chunks: true, ..window([1, 33, 33], [2, 3], [1, 1], 2, 4) },
    ];
    let f16 = [
        AttentionCase { rotary: true, chunks: true, ..time([1, 33, 3], 4, 8) },
        AttentionCase { rotary: true, logits: 10.0, ..frequency([1, 2, 97], 2, 6) },
        AttentionCase { rotary: true, chunks: true, ..frequency([2, 3, 62], 2, 64) },
        AttentionCase { chunks: true, ..window([1, 13, 21], [8, 8], [4, 4], 2, 4) },
        AttentionCase { logits: 10.0, strided: true, ..window([1, 11, 7], [5, 3], [4, 1], 2, 5) },
    ];
    let f16 = f16.into_iter().map(|case| AttentionCase { precision: Precision::F16, ..case });
    f32.into_iter().chain(f16).collect()
}
