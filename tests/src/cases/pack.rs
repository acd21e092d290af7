//! Concatenation of small tensors, compared with the host's.

use burn::tensor::ExecutionError;
use unbraid_ops::{PACK_ALIGNMENT, pack};

use super::target::{Target, in_short_rows, short_rows};
use crate::host::{Precision, Random, download, upload};
use crate::report::Check;

/// The concatenation of tensors of these lengths.
#[derive(Debug, Clone)]
pub struct PackCase {
    /// Elements of each tensor.
    pub lengths: Vec<usize>,
}

impl PackCase {
    /// Unique name.
    pub fn name(&self) -> String {
        format!("pack {} parts", self.lengths.len())
    }

    /// Runs the case.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn run(&self, target: &Target) -> Result<Vec<Check>, ExecutionError> {
        let mut random = Random::named(&self.name());
        let parts: Vec<Vec<f64>> =
            self.lengths.iter().map(|&length| random.normal(length, 1.0, Precision::F32)).collect();
        let packed = || {
            // Halving is exact. It puts an elementwise operation before ours, which fusion can fuse.
            let part = |values: &Vec<f64>| {
                let doubled: Vec<f64> = values.iter().map(|x| 2.0 * x).collect();
                upload(&doubled, [values.len()], Precision::F32, &target.device) * 0.5
            };
            download(pack(parts.iter().map(part).collect()))
        };
        let (ours, rows) = (packed().await?, in_short_rows(packed()).await?);
        let mut expected = Vec::new();
        for part in &parts {
            expected.extend(part);
            expected.resize(expected.len().next_multiple_of(PACK_ALIGNMENT), 0.0);
        }
        let exact = Check::identical("packed", &expected, &ours, "a copy changes no bit");
        Ok(vec![exact, short_rows(&ours, &rows)])
    }
}

/// Every case.
pub fn cases() -> Vec<PackCase> {
    let lengths: [&[usize]; 3] = [&[5], &[64, 1, 65, 700, 128, 3, 9], &[2; 40]];
    lengths.map(|lengths| PackCase { lengths: lengths.to_vec() }).into()
}
