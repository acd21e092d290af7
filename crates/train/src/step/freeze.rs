//! Parameters that a run leaves as they are, chosen by patterns of names.

use crate::step::parameters::ParameterLayout;
use burn::tensor::{Device, Tensor};
use std::collections::HashSet;

/// The reason why the patterns of `freeze` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// No parameter has a name that matches.
    #[error(
        "freeze: no parameter's name matches \"{pattern}\"; the names begin with {}", .beginnings.join(", ")
    )]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// The first components of the network's parameter names.
        beginnings: Vec<String>,
    },
    /// Every parameter is frozen.
    #[error("freeze: the patterns match every parameter of the network, so nothing is trained")]
    Everything,
}

/// The frozen parameters of a network.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    /// 1 for elements that are trained, 0 for frozen ones: `[p]`.
    trained: Tensor<1>,
    /// Index of each frozen tensor's first element.
    starts: HashSet<usize>,
    /// Number of frozen and of all tensors.
    tensors: [usize; 2],
    /// Number of frozen and of all parameters.
    parameters: [usize; 2],
}

impl Frozen {
    /// The parameters of `layout` whose name matches one of `patterns`. `None` without patterns.
    ///
    /// # Errors
    /// If a pattern matches no name, or the patterns match all of them.
    pub(crate) fn new(
        patterns: &[String],
        layout: &ParameterLayout,
        device: &Device,
    ) -> Result<Option<Self>, FreezeError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let names = || layout.places().map(|(_, entry)| entry.name.as_str());
        if let Some(pattern) = patterns.iter().find(|pattern| !names().any(|name| matches(pattern, name))) {
            let mut beginnings: Vec<_> =
                names().map(|name| name.split('.').next().unwrap_or_default().to_owned()).collect();
            beginnings.dedup();
            return Err(FreezeError::NoMatch { pattern: pattern.clone(), beginnings });
        }
        let mut trained = vec![1f32; layout.len()];
        let (mut starts, mut frozen, mut all) = (HashSet::new(), 0, 0);
        for (start, entry) in layout.places() {
            let length: usize = entry.shape.iter().product();
            all += 1;
            if patterns.iter().any(|pattern| matches(pattern, &entry.name)) {
                trained[start..start + length].fill(0.0);
                starts.insert(start);
                frozen += length;
            }
        }
        if starts.len() == all {
            return Err(FreezeError::Everything);
        }
        Ok(Some(Self {
            trained: Tensor::from_floats(trained.as_slice(), device),
            tensors: [starts.len(), all],
            parameters: [frozen, layout.parameters()],
            starts,
        }))
    }

    /// Whether the tensor whose first element is `start` is frozen.
    pub(crate) fn contains(&self, start: usize) -> bool {
        self.starts.contains(&start)
    }

    /// `vector [p]`, 0 for frozen parameters.
    pub(crate) fn trained(&self, vector: Tensor<1>) -> Tensor<1> {
        vector * self.trained.clone()
    }

    /// `vector [p]` with the frozen parameters of `other [p]`, bit for bit.
    pub(crate) fn replace(&self, vector: Tensor<1>, other: Tensor<1>) -> Tensor<1> {
        self.trained(vector) + other * self.trained.clone().neg().add_scalar(1.0)
    }

    /// The number of frozen parameters, in words.
    pub(crate) fn summary(&self) -> String {
        let ([tensors, all_tensors], [parameters, all]) = (self.tensors, self.parameters);
        format!("frozen: {tensors} of {all_tensors} tensors, {parameters} of {all} parameters")
    }
}

/// Whether `name` is `pattern`, in which a * stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((beginning, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(beginning) else { return false };
    name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| matches(rest, &name[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::config::{OptimizerKind, TrainConfig};
    use crate::step::optimizer::Optimizer;
    use burn::module::Module;
    use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
    use burn::tensor::Distribution;

    #[derive(Module, Debug)]
    struct Net {
        first: Linear,
        norm: LayerNorm,
        last: Linear,
    }

    fn net(device: &Device) -> Net {
        Net {
            first: LinearConfig::new(3, 4).init(device),
            norm: LayerNormConfig::new(4).init(device),
            last: LinearConfig::new(4, 3).init(device),
        }
    }

    fn frozen(patterns: &[&str], layout: &ParameterLayout) -> Result<Option<Frozen>, FreezeError> {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        Frozen::new(&patterns, layout, &Device::flex())
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [
            ("a.b", "a.b"),
            ("a*", "a.b.c"),
            ("*.b", "a.b"),
            ("*", ""),
            ("a*b*c", "a.bb.c"),
            ("*norm*", "norm"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "a.b"), ("*b", "a.bc"), ("b*", "ab"), ("a*b*c", "acb"), ("A*", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_match_nothing_or_everything_are_refused() {
        let layout = ParameterLayout::of(&net(&Device::flex()));
        assert!(frozen(&[], &layout).unwrap().is_none());
        let error = frozen(&["norm.*", "nrom"], &layout).unwrap_err().to_string();
        assert!(error.contains("\"nrom\"") && error.contains("first, norm, last"), "{error}");
        assert!(matches!(frozen(&["first.*", "norm.*", "last*"], &layout), Err(FreezeError::Everything)));
        let some = frozen(&["norm.*", "last.weight"], &layout).unwrap().unwrap();
        assert_eq!(some.summary(), "frozen: 3 of 6 tensors, 20 of 39 parameters");
    }

    /// Neither an update nor weight decay, with AdamW and Muon, also if the moments of an unfrozen run are not 0.
    #[test]
    fn frozen_parameters_keep_their_bits_and_the_others_move_as_before() {
        let device = Device::flex();
        let layout = ParameterLayout::of(&net(&device));
        let some = frozen(&["first.weight", "norm.*"], &layout).unwrap().unwrap();
        let random = || Tensor::<1>::random([layout.len()], Distribution::Normal(0.0, 1.0), &device);
        let (start, gradient, moments) = (random(), random(), [random(), random().square()]);
        let values = |vector: &Tensor<1>| vector.clone().into_data_as::<f32>().try_to_vec::<f32>().unwrap();
        for optimizer in [OptimizerKind::AdamW, OptimizerKind::Muon] {
            let config = TrainConfig { optimizer, weight_decay: 0.5, ..Default::default() };
            let run = |frozen: Option<&Frozen>| {
                let mut optimizer = Optimizer::new(&config, &layout, &device).with_frozen(frozen);
                (optimizer.moments, optimizer.updates) = (moments.clone(), 5);
                let mut weights = start.clone();
                for _ in 0..3 {
                    weights = optimizer.update(weights, gradient.clone(), 0.1);
                }
                values(&weights)
            };
            let (free, held, before) = (run(None), run(Some(&some)), values(&start));
            for (at, entry) in layout.places() {
                let range = at..at + entry.shape.iter().product::<usize>();
                let expected = if some.contains(at) { &before } else { &free };
                assert_eq!(held[range.clone()], expected[range.clone()], "{optimizer:?} {}", entry.name);
                assert_ne!(free[range.clone()], before[range], "{}", entry.name);
            }
        }
        let mixed = values(&some.replace(start.clone(), gradient.clone()));
        for (at, entry) in layout.places() {
            let range = at..at + entry.shape.iter().product::<usize>();
            let expected = values(if some.contains(at) { &gradient } else { &start });
            assert_eq!(mixed[range.clone()], expected[range]);
        }
    }
}
