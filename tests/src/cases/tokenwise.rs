//! Layer normalisation and GELU: outputs and all gradients, compared with burn's own operations.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::{ExecutionError, Tensor, module};
use unbraid_ops::{gelu, layer_norm};

use super::target::{Target, in_short_rows, short_rows};
use crate::host::{Precision, Random, download, round, upload};
use crate::reference::tokenwise as reference;
use crate::report::{Check, Expected};

/// Both operations on some tokens.
#[derive(Debug, Clone)]
pub struct TokenCase {
    /// Tokens.
    pub tokens: usize,
    /// Channels of a token.
    pub channels: usize,
    /// Mean and standard deviation of the inputs.
    pub input: [f64; 2],
    /// Precision of the stored tokens. Scale and offset are f32.
    pub precision: Precision,
}

/// Outputs and gradients of one implementation: GELU's output and gradient, then layer normalisation's output
/// and gradients of input, scale and offset.
type Results = [Vec<f64>; 6];

/// One implementation: `(gelu, layer_norm)`.
type Operations<'a> =
    (&'a dyn Fn(Tensor<2>) -> Tensor<2>, &'a dyn Fn(Tensor<2>, Tensor<1>, Tensor<1>) -> Tensor<2>);

impl TokenCase {
    /// Unique name.
    pub fn name(&self) -> String {
        let [mean, deviation] = self.input;
        let f16 = if self.precision == Precision::F16 { " f16" } else { "" };
        format!("token {}x{} N({mean}, {deviation}²){f16}", self.tokens, self.channels)
    }

    /// Runs the case.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn run(&self, target: &Target) -> Result<Vec<Check>, ExecutionError> {
        let count = self.tokens * self.channels;
        let mut random = Random::named(&self.name());
        let [mean, deviation] = self.input;
        let precision = self.precision;
        let x = random.normal(count, deviation, precision);
        let x: Vec<f64> = x.into_iter().map(|x| round(x + mean, precision)).collect();
        let gradient = random.normal(count, 1.0, precision);
        let gamma = random.normal(self.channels, 1.0, precision);
        let beta = random.normal(self.channels, 1.0, precision);

        let inputs = [&x, &gradient, &gamma, &beta].map(Vec::as_slice);
        let ours = self.evaluate((&gelu, &layer_norm), inputs, target).await?;
        let rows = in_short_rows(self.evaluate((&gelu, &layer_norm), inputs, target)).await?;
        let plain_norm = |x, gamma, beta| module::layer_norm(x, gamma, Some(beta), 1e-5);
        // By definition. On some backends, burn's GELU has the gradient of the tanh approximation, which is wrong by a
        // thousandth, and not finite for large inputs on SwiftShader.
        let plain_gelu = |x: Tensor<2>| (x.clone() * FRAC_1_SQRT_2).erf().add_scalar(1.0) * x * 0.5;
        let in_f32 = Self { precision: Precision::F32, ..*self };
        let plain = in_f32.evaluate((&plain_gelu, &plain_norm), inputs, target).await?;

        let names =
            ["gelu", "gelu gradient", "norm", "norm gradient x", "norm gradient γ", "norm gradient β"];
        let checks = names.into_iter().zip(self.expected(inputs)).zip(ours.iter().zip(&plain)).enumerate();
        let checks = checks.map(|(i, ((name, expected), (ours, plain)))| {
            Check::against_plain(name, &expected, ours, plain, matches!(i, 0 | 2))
        });
        Ok(checks.chain([short_rows(&ours.concat(), &rows.concat())]).collect())
    }

    async fn evaluate(
        &self,
        (gelu, layer_norm): Operations<'_>,
        [x, gradient, gamma, beta]: [&[f64]; 4],
        target: &Target,
    ) -> Result<Results, ExecutionError> {
        let device = &target.device.clone().autodiff();
        let shape = [self.tokens, self.channels];
        let gradient = upload(gradient, shape, self.precision, device);

        // Halving and doubling are exact. They put elementwise operations around ours, which fusion can fuse.
        let doubled: Vec<f64> = x.iter().map(|x| 2.0 * x).collect();
        let x = upload(&doubled, shape, self.precision, device).require_grad();
        let output = gelu(x.clone() * 0.5);
        let gradients = ((output.clone() * 2.0) * (gradient.clone() * 0.5)).sum().backward();
        let of_x = x.grad(&gradients).expect("the loss depends on x") * 2.0;
        let (gelu_output, gelu_gradient) = (download(output.inner()).await?, download(of_x).await?);

        let x = upload(&doubled, shape, self.precision, device).require_grad();
        let gamma = upload(gamma, [self.channels], Precision::F32, device).require_grad();
        let beta = upload(beta, [self.channels], Precision::F32, device).require_grad();
        let output = layer_norm(x.clone() * 0.5, gamma.clone(), beta.clone());
        let gradients = ((output.clone() * 2.0) * (gradient * 0.5)).sum().backward();
        let of_x = x.grad(&gradients).expect("the loss depends on x") * 2.0;
        let [of_gamma, of_beta] =
            [gamma, beta].map(|p| p.grad(&gradients).expect("the loss depends on scale and offset"));
        Ok([
            gelu_output,
            gelu_gradient,
            download(output.inner()).await?,
            download(of_x).await?,
            download(of_gamma).await?,
            download(of_beta).await?,
        ])
    }

    /// The results by definition, in the order of [`Results`].
    fn expected(&self, [x, gradient, gamma, beta]: [&[f64]; 4]) -> [Expected; 6] {
        let c = self.channels;
        let tokens = || x.chunks_exact(c).zip(gradient.chunks_exact(c));
        let pairs = || x.iter().zip(gradient);
        let mut all: [(Vec<f64>, Vec<f64>); 6] = Default::default();
        let [gelu, gelu_gradient, norm, of_x, of_gamma, of_beta] = &mut all;

        *gelu = x.iter().map(|&x| (reference::gelu(x), x.abs())).unzip();
        *gelu_gradient =
            pairs().map(|(&x, &g)| (g * reference::gelu_slope(x), g.abs() * (1.0 + x.abs()))).unzip();
        *of_gamma = (vec![0.0; c], vec![0.0; c]);
        *of_beta = of_gamma.clone();
        for (token, gradient) in tokens() {
            let (mean, deviation) = reference::moments(token);
            norm.0.extend(reference::layer_norm(token, gamma, beta));
            of_x.0.extend(reference::layer_norm_backward(token, gamma, gradient));
            // The largest |x̂|, where x and its mean are rounded before they cancel.
            let along = |i: usize| (token[i].abs() + mean.abs()) / deviation;
            let widest = (0..c).map(along).fold(0.0, f64::max);
            for i in 0..c {
                norm.1.push(gamma[i].abs() * along(i) + beta[i].abs());
                let terms: f64 = (0..c).map(|j| (gamma[j] * gradient[j]).abs()).sum();
                let own = (gamma[i] * gradient[i]).abs();
                of_x.1.push((own + terms / c as f64 * (1.0 + widest * widest)) / deviation);
                of_gamma.0[i] += gradient[i] * (token[i] - mean) / deviation;
                of_gamma.1[i] += gradient[i].abs() * along(i);
                of_beta.0[i] += gradient[i];
                of_beta.1[i] += gradient[i].abs();
            }
        }
        let (own, of_parameters) = (self.precision, Precision::F32);
        let mut precisions = [own, own, own, own, of_parameters, of_parameters].into_iter();
        all.map(|(values, sensitivity)| {
            let precision = precisions.next().expect("one for each result");
            Expected { values, sensitivity, precision }
        })
    }
}

/// Every case.
pub fn cases() -> Vec<TokenCase> {
    let case = |tokens, channels, input| TokenCase { tokens, channels, input, precision: Precision::F32 };
    let f32 = [
        case(5, 2, [0.0, 1.0]),
        case(1, 17, [0.0, 1.0]),
        case(97, 16, [0.0, 1.0]),
        // Several parts, the last of which is short.
        case(1061, 32, [0.0, 1.0]),
        case(1061, 7, [0.0, 1.0]),
        case(17, 97, [0.0, 1.0]),
        // Several vectors of an invocation.
        case(101, 128, [0.0, 1.0]),
        case(45, 256, [0.0, 1.0]),
        case(23, 260, [0.0, 1.0]),
        // Inputs in the tails of GELU, and a mean that must cancel.
        case(33, 48, [0.0, 8.0]),
        case(29, 33, [30.0, 1.0]),
        case(41, 64, [30.3, 1.0]),
        // Constant inputs, whose variance is zero.
        case(41, 64, [30.3, 0.0]),
        case(23, 33, [-0.7, 0.0]),
    ];
    let f16 = [
        case(97, 16, [0.0, 1.0]),
        case(1061, 32, [0.0, 1.0]),
        case(17, 97, [0.0, 8.0]),
        case(45, 256, [30.0, 1.0]),
    ];
    let f16 = f16.into_iter().map(|case| TokenCase { precision: Precision::F16, ..case });
    f32.into_iter().chain(f16).collect()
}
