//! Sums over the rows of a matrix: the sums and their gradient, compared with burn's own operations.

use burn::tensor::{ExecutionError, Tensor};
use unbraid_ops::sum_rows;

use super::target::{Target, in_short_rows, short_rows};
use crate::host::{Precision, Random, download, upload};
use crate::reference::sums::Summand;
use crate::report::{Check, Expected};

/// The sums of a matrix.
#[derive(Debug, Clone)]
pub struct SumCase {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub n: usize,
    /// What is added.
    pub summand: Summand,
}

/// The sums and the gradient of the matrix.
type Results = [Vec<f64>; 2];

impl SumCase {
    /// Unique name.
    pub fn name(&self) -> String {
        let Self { rows, n, summand } = self;
        format!("sum {rows}x{n} {summand:?}").to_lowercase()
    }

    /// Runs the case.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn run(&self, target: &Target) -> Result<Vec<Check>, ExecutionError> {
        let mut random = Random::named(&self.name());
        // The mean is not 0, so that a sum that omits elements is wrong by more than its rounding.
        let mut x: Vec<f64> =
            random.normal(self.rows * self.n, 1.0, Precision::F32).into_iter().map(|x| x + 1.0).collect();
        x.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        // The derivative of a magnitude is defined at 0.
        x[self.n / 2] = 0.0;
        let gradient = random.normal(self.rows, 1.0, Precision::F32);

        let ours_summand = match self.summand {
            Summand::Value => unbraid_ops::Summand::Value,
            Summand::Magnitude => unbraid_ops::Summand::Magnitude,
            Summand::Square => unbraid_ops::Summand::Square,
        };
        let ours = |x: Tensor<2>| sum_rows(x, ours_summand);
        let plain = |x: Tensor<2>| {
            let terms = match self.summand {
                Summand::Value => x,
                Summand::Magnitude => x.abs(),
                Summand::Square => x.clone() * x,
            };
            let [rows, _] = terms.dims();
            terms.sum_dim(1).reshape([rows])
        };
        let results = self.evaluate(&ours, [&x, &gradient], target).await?;
        let again = self.evaluate(&ours, [&x, &gradient], target).await?;
        let rows = in_short_rows(self.evaluate(&ours, [&x, &gradient], target)).await?;
        let plain = self.evaluate(&plain, [&x, &gradient], target).await?;

        let checks = ["sum", "gradient"].into_iter().zip(self.expected(&x, &gradient));
        let checks = checks.zip(results.iter().zip(&plain)).enumerate();
        let checks = checks.map(|(i, ((name, expected), (ours, plain)))| {
            Check::against_plain(name, &expected, ours, plain, i == 0)
        });
        let repeated =
            Check::identical("repeated", &results[0], &again[0], "the order of additions is fixed");
        Ok(checks.chain([repeated, short_rows(&results.concat(), &rows.concat())]).collect())
    }

    async fn evaluate(
        &self,
        sum: &dyn Fn(Tensor<2>) -> Tensor<1>,
        [x, gradient]: [&[f64]; 2],
        target: &Target,
    ) -> Result<Results, ExecutionError> {
        let device = &target.device.clone().autodiff();
        let gradient = upload(gradient, [self.rows], Precision::F32, device);
        // Halving and doubling are exact. They put elementwise operations around ours, which fusion can fuse.
        let doubled: Vec<f64> = x.iter().map(|x| 2.0 * x).collect();
        let x = upload(&doubled, [self.rows, self.n], Precision::F32, device).require_grad();
        let sums = sum(x.clone() * 0.5);
        let gradients = ((sums.clone() * 2.0) * (gradient * 0.5)).sum().backward();
        let of_x = x.grad(&gradients).expect("the loss depends on x") * 2.0;
        Ok([download(sums.inner()).await?, download(of_x).await?])
    }

    fn expected(&self, x: &[f64], gradient: &[f64]) -> [Expected; 2] {
        let rows = || x.chunks_exact(self.n).zip(gradient);
        let sum = |f: &dyn Fn(f64) -> f64| rows().map(|(row, _)| row.iter().map(|&x| f(x)).sum()).collect();
        let slopes = || rows().flat_map(|(row, g)| row.iter().map(move |&x| self.summand.slope(x) * g));
        let expected = |values, sensitivity| Expected { values, sensitivity, precision: Precision::F32 };
        [
            expected(sum(&|x| self.summand.at(x)), sum(&|x| self.summand.at(x).abs())),
            expected(slopes().collect(), slopes().map(f64::abs).collect()),
        ]
    }
}

/// Every case.
pub fn cases() -> Vec<SumCase> {
    let case = |rows, n, summand| SumCase { rows, n, summand };
    vec![
        case(1, 1, Summand::Value),
        case(3, 257, Summand::Value),
        // One whole segment of the kernel, and one element more.
        case(2, 4096, Summand::Magnitude),
        case(2, 4097, Summand::Square),
        case(3, 70_001, Summand::Value),
        case(1, 300_000, Summand::Magnitude),
        case(1, 300_000, Summand::Square),
    ]
}
