//! Linear maps: the output and all gradients, compared with burn's own matrix product.

use burn::tensor::{ExecutionError, Tensor, module};
use unbraid_ops::{linear, linear_add, linear_add_for_gradients, linear_for_gradients};

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

/// The output, and the gradients of input, weight, bias and residual, of one implementation. The last is empty if the
/// implementation takes no residual.
type Results = [Vec<f64>; 5];

/// An implementation: input, weight, bias and residual to output.
type Operation<'a> = &'a dyn Fn(Tensor<2>, Tensor<2>, Tensor<1>, Tensor<2>) -> Tensor<2>;

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

        let residual = random.normal(tokens * outputs, 1.0, self.precision);

        let values = [&x, &gradient, &weight, &bias, &residual].map(Vec::as_slice);
        let alone: Operation<'_> = &|x, weight, bias, _| linear(x, weight, bias);
        let ours = self.evaluate(alone, values, target).await?;
        let valueless: Operation<'_> = &|x, weight, bias, _| linear_for_gradients(x, weight, bias);
        let valueless = self.evaluate(valueless, values, target).await?;
        let plain: Operation<'_> = &|x, weight, bias, _| module::linear(x, weight, Some(bias));
        let in_f32 = Self { precision: Precision::F32, ..*self };
        let plain = in_f32.evaluate(plain, values, target).await?;
        let rows = in_short_rows(self.evaluate(alone, values, target)).await?;

        let names = ["output", "input gradient", "weight gradient", "bias gradient"];
        let [x, gradient, weight, bias, _] = values;
        let expected = self.expected([x, gradient, weight, bias]);
        let added = self.added(values, &expected[0], &ours, target).await?;
        let checks = names.into_iter().zip(expected).zip(ours.iter().zip(&plain)).enumerate();
        let checks = checks.map(|(i, ((name, expected), (ours, plain)))| {
            Check::against_plain(name, &expected, ours, plain, i == 0)
        });
        let alone = Check::identical(
            "gradients alone",
            &ours[1..].concat(),
            &valueless[1..].concat(),
            "omitting the output changes no bit",
        );
        Ok(checks.chain([alone, short_rows(&ours.concat(), &rows.concat())]).chain(added).collect())
    }

    /// The map added to a residual, whose gradients are those of the map alone.
    async fn added(
        &self,
        values: [&[f64]; 5],
        mapped: &Expected,
        alone: &Results,
        target: &Target,
    ) -> Result<[Check; 3], ExecutionError> {
        let [_, gradient, _, _, residual] = values;
        let ours = self.evaluate(&linear_add, values, target).await?;
        let valueless = self.evaluate(&linear_add_for_gradients, values, target).await?;
        let plain: Operation<'_> =
            &|x, weight, bias, residual| residual + module::linear(x, weight, Some(bias));
        let in_f32 = Self { precision: Precision::F32, ..*self };
        let plain = in_f32.evaluate(plain, values, target).await?;
        let rows = in_short_rows(self.evaluate(&linear_add, values, target)).await?;
        let expected = Expected {
            values: mapped.values.iter().zip(residual).map(|(value, residual)| value + residual).collect(),
            sensitivity: mapped.sensitivity.iter().zip(residual).map(|(sum, r)| sum + r.abs()).collect(),
            precision: self.precision,
        };
        let of_residual = Expected {
            values: gradient.to_vec(),
            sensitivity: gradient.iter().map(|value| value.abs()).collect(),
            precision: self.precision,
        };
        let gradients = ours[1..].concat();
        Ok([
            Check::against_plain("added to a residual", &expected, &ours[0], &plain[0], true),
            Check::against_plain("residual gradient", &of_residual, &ours[4], &plain[4], false),
            Check::identical(
                "with a residual, others",
                &[&ours[0], &alone[1..4].concat(), &gradients].map(Vec::as_slice).concat(),
                &[&rows[0], &ours[1..4].concat(), &valueless[1..].concat()].map(Vec::as_slice).concat(),
                "a residual, short rows or omitting the output change no bit",
            ),
        ])
    }

    async fn evaluate(
        &self,
        linear: Operation<'_>,
        [x, gradient, weight, bias, residual]: [&[f64]; 5],
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
        let doubled: Vec<f64> = residual.iter().map(|value| 2.0 * value).collect();
        let residual = upload(&doubled, [tokens, outputs], self.precision, device).require_grad();
        let output = linear(x.clone() * 0.5, weight.clone(), bias.clone(), residual.clone() * 0.5);
        let gradients = ((output.clone() * 2.0) * (gradient * 0.5)).sum().backward();
        let of_x = x.grad(&gradients).expect("the loss depends on x") * 2.0;
        let of_weight = weight.grad(&gradients).expect("the loss depends on the weight");
        let of_bias = bias.grad(&gradients).expect("the loss depends on the bias");
        let of_residual = match residual.grad(&gradients) {
            Some(gradient) => download(gradient * 2.0).await?,
            None => Vec::new(),
        };
        Ok([
            download(output.inner()).await?,
            download(of_x).await?,
            download(of_weight).await?,
            download(of_bias).await?,
            of_residual,
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
