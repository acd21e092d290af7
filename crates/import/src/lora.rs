//! LoRA: a weight plus the product of two small matrices, `W + α/r · B A`.
//!
//! loralib names the matrices `X.lora_A` and `X.lora_B` beside `X.weight`. PEFT names them `X.lora_A.weight` or
//! `X.lora_A.NAME.weight`, and the weight `X.base_layer.weight`.

use std::collections::BTreeMap;

use crate::error::ImportError;
use crate::settings::Settings;
use crate::tensor::Tensor;

/// A tensor of the network: one of the file, with the changes of LoRA.
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    /// Its name in the file.
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
    pub(crate) changes: Vec<Change>,
}

/// A change of a matrix `[out, in]`.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// `[r · groups, in]`.
    a: Tensor,
    /// `[rows, r]`.
    b: Tensor,
    scale: f32,
    /// Which of the equal groups of rows change. One group: the whole matrix.
    groups: Vec<bool>,
}

/// The weights with the changes that belong to them, and whether there are any.
///
/// # Errors
/// [`ImportError::Lora`] if the two matrices of a change, their weight or their scale are missing, or do not fit.
pub(crate) fn attach(
    tensors: BTreeMap<String, Tensor>,
    settings: Option<&Settings>,
) -> Result<(BTreeMap<String, Weight>, usize), ImportError> {
    let mut weights = BTreeMap::new();
    let mut parts: BTreeMap<(String, String), [Option<Tensor>; 2]> = BTreeMap::new();
    for (name, tensor) in tensors {
        match part(&name) {
            Some((base, side, adapter)) => {
                parts.entry((base, adapter)).or_default()[side] = Some(tensor);
            }
            None => {
                let plain = name.replace(".base_layer.", ".");
                let weight = Weight { name, tensor, changes: Vec::new() };
                if let Some(twice) = weights.insert(plain.clone(), weight) {
                    return lora(format!("{} and another tensor are both {plain}", twice.name));
                }
            }
        }
    }
    let count = parts.len();
    if count == 0 {
        return Ok((weights, 0));
    }
    let scale = Scale::of(settings)?;
    for ((base, _), sides) in parts {
        let [Some(a), Some(b)] = sides else { return lora(format!("{base} has one matrix, not two")) };
        let Some(weight) = weights.get_mut(&format!("{base}.weight")) else {
            return lora(format!("the weight that they change is missing: {base}.weight"));
        };
        let change = scale.change(&base, weight.tensor.shape(), a, b)?;
        weight.changes.push(change);
    }
    Ok((weights, count))
}

fn lora<T>(reason: String) -> Result<T, ImportError> {
    Err(ImportError::Lora(reason))
}

/// Whether a tensor of this name is a matrix of LoRA.
pub(crate) fn is_matrix(name: &str) -> bool {
    part(name).is_some()
}

/// The layer that a matrix of LoRA belongs to, whether it is A (0) or B (1), and the name of the adapter.
fn part(name: &str) -> Option<(String, usize, String)> {
    for (side, marker) in [".lora_A", ".lora_B"].into_iter().enumerate() {
        if let Some((base, rest)) = name.split_once(marker) {
            let rest = rest.strip_suffix(".weight").unwrap_or(rest);
            if rest.is_empty() || rest.starts_with('.') {
                return Some((base.to_owned(), side, rest.to_owned()));
            }
        }
    }
    None
}

/// The section `lora` of the configuration.
struct Scale {
    rank: usize,
    scale: f32,
    groups: Vec<bool>,
}

impl Scale {
    fn of(settings: Option<&Settings>) -> Result<Self, ImportError> {
        const LACKS: &str = "the configuration has no section `lora` with `r` and `lora_alpha`";
        let Some(settings) = settings else { return lora(LACKS.into()) };
        let (rank, alpha) = (settings.natural("lora.r")?, settings.number("lora.lora_alpha")?);
        let (Some(rank), Some(alpha)) = (rank.filter(|rank| *rank > 0), alpha) else {
            return lora(LACKS.into());
        };
        for (key, what) in [("fan_in_fan_out", "transposed weights"), ("use_dora", "DoRA")] {
            if settings.flag(&format!("lora.{key}"))? == Some(true) {
                return lora(format!("`lora.{key}` ({what}) is not supported"));
            }
        }
        for key in ["rank_pattern", "alpha_pattern"] {
            if settings.has_entries(&format!("lora.{key}")) {
                return lora(format!("`lora.{key}` is not supported"));
            }
        }
        let root = settings.flag("lora.use_rslora")? == Some(true);
        let divisor = if root { (rank as f64).sqrt() } else { rank as f64 };
        let groups = settings.flags("lora.enable_lora")?.unwrap_or_default();
        Ok(Self { rank, scale: (alpha / divisor) as f32, groups })
    }

    fn change(&self, base: &str, weight: &[usize], a: Tensor, b: Tensor) -> Result<Change, ImportError> {
        let &[rows, columns] = weight else { return lora(format!("{base}.weight is not a matrix")) };
        let fits = |groups: &[bool]| {
            let on = groups.iter().filter(|on| **on).count();
            on > 0
                && rows.is_multiple_of(groups.len())
                && a.shape() == [self.rank * on, columns]
                && b.shape() == [rows / groups.len() * on, self.rank]
        };
        let groups = [vec![true], self.groups.clone()].into_iter().find(|groups| fits(groups));
        let Some(groups) = groups else {
            return lora(format!(
                "the matrices of {base} are {:?} and {:?}, which do not fit a weight of {weight:?} at rank {}",
                a.shape(),
                b.shape(),
                self.rank
            ));
        };
        Ok(Change { a, b, scale: self.scale, groups })
    }
}

impl Weight {
    /// The values as f32, in row-major order, with the changes.
    ///
    /// # Errors
    /// [`ImportError`] if the file cannot be read.
    pub(crate) fn values(&self) -> Result<Vec<f32>, ImportError> {
        let mut values = self.tensor.values()?;
        for change in &self.changes {
            change.add_to(&mut values, self.tensor.shape())?;
        }
        Ok(values)
    }
}

impl Change {
    fn add_to(&self, values: &mut [f32], shape: &[usize]) -> Result<(), ImportError> {
        let (a, b) = (self.a.values()?, self.b.values()?);
        let (columns, rank) = (shape[1], self.b.shape()[1]);
        let group_rows = shape[0] / self.groups.len();
        let changed = self.groups.iter().enumerate().filter(|(_, on)| **on);
        for (enabled, (group, _)) in changed.enumerate() {
            for row in 0..group_rows {
                let target = &mut values[(group * group_rows + row) * columns..][..columns];
                let mut sums = vec![0.0_f64; columns];
                for r in 0..rank {
                    let factor = f64::from(b[(enabled * group_rows + row) * rank + r]);
                    let line = &a[(enabled * rank + r) * columns..][..columns];
                    for (sum, value) in sums.iter_mut().zip(line) {
                        *sum += factor * f64::from(*value);
                    }
                }
                for (value, sum) in target.iter_mut().zip(&sums) {
                    *value = (f64::from(*value) + f64::from(self.scale) * sum) as f32;
                }
            }
        }
        Ok(())
    }
}
