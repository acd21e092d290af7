//! Linear maps: the output and all gradients, compared with burn's own matrix product.

use burn::tensor::{ExecutionError, Tensor, module};
use unbraid_ops::{linear, linear_for_gradients};

use super::target::{Target, in_short_rows, short_rows};
use crate::host::{Precision, Random, download, upload};
use crate::reference::linear as reference;
use crate::reference::linear::Extents;
use crate::report::{Check, Expected};

/// A linear map of some tokens.
#[derive(Debug, Clone)]
pub struct LinearCase {
    /// Tokens, and their channels before and after the map.
    pub extents: Extents,
    /// Precision of the stored tokens. Weights and biases are f32.
    pub precision: Precision,
}

/// The output, and the gradients of input, weight and bias, of one implementation.
type Results = [Vec<f64>; 4];

type Operation<'a> = &'a dyn Fn(Tensor<2>, Tensor<2>, Tensor<1>) -> Tensor<2>;

impl LinearCase {
    /// Unique name.
    pub fn name(&self) -> String {
        let Extents { tokens, inputs, outputs } = self.extents;
        let f16 = if self.precision == Precision::F16 { " f16" } else { "" };
        format!("linear {tokens}x{inputs} to {outputs}{f16}")
    }

    /// Runs the case.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn run(&self, target: &Target) -> Result<Vec<Check>, ExecutionError> {
        let Extents { tokens, inputs, outputs } = self.extents;
        let mut random = Random::named(&self.name());
        let x = random.normal(tokens * inputs, 1.0, self.precision);
        let gradient = random.normal(tokens * outputs, 1.0, self.precision);
        let weight = random.normal(inputs * outputs, 1.0, Precision::F32);
        let bias = random.normal(outputs, 1.0, Precision::F32);

        let values = [&x, &gradient, &weight, &bias].map(Vec::as_slice);
        let ours = self.evaluate(&linear, values, target).await?;
        let valueless = self.evaluate(&linear_for_gradients, values, target).await?;
        let plain = |x, weight, bias| module::linear(x, weight, Some(bias));
        let in_f32 = Self { precision: Precision::F32, ..*self };
        let plain = in_f32.evaluate(&plain, values, target).await?;
        let rows = in_short_rows(self.evaluate(&linear, values, target)).await?;

        let names = ["output", "input gradient", "weight gradient", "bias gradient"];
        let checks = names.into_iter().zip(self.expected(values)).zip(ours.iter().zip(&plain)).enumerate();
        let checks = checks.map(|(i, ((name, expected), (ours, plain)))| {
            Check::against_plain(name, &expected, ours, plain, i == 0)
        });
        let alone = Check::identical(
            "gradients alone",
            &ours[1..].concat(),
            &valueless[1..].concat(),
            "omitting the output changes no bit",
        );
        Ok(checks.chain([alone, short_rows(&ours.concat(), &rows.concat())]).collect())
    }

    async fn evaluate(
        &self,
        linear: Operation<'_>,
        [x, gradient, weight, bias]: [&[f64]; 4],
        target: &Target,
    ) -> Result<Results, ExecutionError> {
        let device = &target.device.clone().autodiff();
        let Extents { tokens, inputs, outputs } = self.extents;
        let gradient = upload(gradient, [tokens, outputs], self.precision, device);
        // Halving and doubling are exact. They put elementwise operations around ours, which fusion can fuse.
        let doubled: Vec<f64> = x.iter().map(|x| 2.0 * x).collect();
        let x = upload(&doubled, [tokens, inputs], self.precision, device).require_grad();
        let weight = upload(weight, [inputs, outputs], Precision::F32, device).require_grad();
        let bias = upload(bias, [outputs], Precision::F32, device).require_grad();
        let output = linear(x.clone() * 0.5, weight.clone(), bias.clone());
        let gradients = ((output.clone() * 2.0) * (gradient * 0.5)).sum().backward();
        let of_x = x.grad(&gradients).expect("the loss depends on x") * 2.0;
        let of_weight = weight.grad(&gradients).expect("the loss depends on the weight");
        let of_bias = bias.grad(&gradients).expect("the loss depends on the bias");
        Ok([
            download(output.inner()).await?,
            download(of_x).await?,
            download(of_weight).await?,
            download(of_bias).await?,
        ])
    }

    /// The results by definition, in the order of [`Results`].
    fn expected(&self, [x, gradient, weight, bias]: [&[f64]; 4]) -> [Expected; 4] {
        let extents = self.extents;
        let all = |x: &[f64], gradient: &[f64], weight: &[f64], bias: &[f64]| {
            [
                reference::output(extents, [x, weight, bias]),
                reference::input_gradient(extents, gradient, weight),
                reference::weight_gradient(extents, x, gradient),
                reference::bias_gradient(extents, gradient),
            ]
        };
        let values = all(x, gradient, weight, bias);
        // The sensitivity is the sum of the magnitudes of all terms.
        let [x, gradient, weight, bias] =
            [x, gradient, weight, bias].map(|values| values.iter().map(|v| v.abs()).collect::<Vec<_>>());
        let mut sensitivities = all(&x, &gradient, &weight, &bias).into_iter();
        let mut precisions = [self.precision, self.precision, Precision::F32, Precision::F32].into_iter();
        values.map(|values| Expected {
            values,
            sensitivity: sensitivities.next().expect("one for each result"),
            precision: precisions.next().expect("one for each result"),
        })
    }
}

/// Every case.
pub fn cases() -> Vec<LinearCase> {
    let case = |[tokens, inputs, outputs]: [usize; 3], precision| LinearCase {
        extents: Extents { tokens, inputs, outputs },
        precision,
    };
    let f32 = [
        [1, 1, 1],
        [5, 3, 7],
        // The odd number of channels of the patch embedding.
        [130, 18, 32],
        [97, 32, 96],
        // Vectors of four channels, but no whole tiles.
        [70, 20, 44],
        // Whole tiles of both sizes.
        [384, 32, 96],
        [384, 64, 128],
        // Several partial sums of the parameters' gradients, the last of which is short.
        [300, 64, 33],
        [33, 129, 64],
        [257, 64, 128],
    ];
    let f16 = [[130, 18, 32], [70, 20, 44], [300, 64, 33], [257, 64, 128], [384, 64, 96]];
    f32.map(|extents| case(extents, Precision::F32))
        .into_iter()
        .chain(f16.map(|extents| case(extents, Precision::F16)))
        .collect()
}
