//! The tensors of BS-RoFormer and Mel-Band RoFormer: sizes from names and shapes, and names from sizes.

use std::collections::BTreeMap;

use crate::error::ImportError;
use crate::lora::Weight;

/// A tensor that every RoFormer has. It also tells the prefix of the names.
pub(crate) const ANCHOR: &str = "band_split.to_features.0.0.gamma";

/// Maximum of an index in a name. It bounds what a name can claim.
const MAX_INDEX: usize = 511;

/// The two architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bands side by side, one norm at the end.
    BandSplit,
    /// Overlapping bands on the mel scale, a norm after every transformer.
    MelBand,
}

impl Kind {
    /// The name of the family in a configuration.
    pub fn family(self) -> &'static str {
        match self {
            Self::BandSplit => "bs_roformer",
            Self::MelBand => "mel_band_roformer",
        }
    }
}

/// The sizes of a network, as its tensors show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roformer {
    /// The architecture.
    pub kind: Kind,
    /// Channels of a token.
    pub dim: usize,
    /// Pairs of transformers along time and along frequency.
    pub depth: usize,
    /// Blocks of a transformer along time.
    pub time_depth: usize,
    /// Blocks of a transformer along frequency.
    pub frequency_depth: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Channels of a head.
    pub head_width: usize,
    /// Linear maps of a mask estimator.
    pub mask_depth: usize,
    /// Hidden channels of a mask estimator, as a multiple of `dim`. `None`: there are no hidden channels.
    pub mask_expansion: Option<usize>,
    /// Mask estimators.
    pub stems: usize,
    /// Input channels of every band: 2 (real and imaginary) × audio channels × bins.
    pub band_inputs: Vec<usize>,
    /// Index of the transformer along time within its pair. Some versions keep an empty place before it.
    first: usize,
}

/// A parameter of this program's network, and the tensor that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in a weights file of this program.
    pub ours: String,
    /// The tensor's name in the checkpoint.
    pub theirs: String,
    /// The tensor's shape in the checkpoint.
    pub shape: Vec<usize>,
    /// Whether the two axes change places: PyTorch stores a linear map as `[out, in]`, and this program as `[in, out]`.
    pub transposed: bool,
}

impl Parameter {
    fn new(ours: String, theirs: String, shape: &[usize]) -> Self {
        let transposed = shape.len() == 2;
        Self { ours, theirs, shape: shape.to_vec(), transposed }
    }

    /// Its shape in a weights file of this program.
    pub fn our_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.transposed {
            shape.reverse();
        }
        shape
    }
}

/// The names and shapes of the tensors.
struct Names<'a>(&'a BTreeMap<String, Weight>);

impl<'a> Names<'a> {
    fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.0.get(name).map(|weight| weight.tensor.shape())
    }

    /// The shape of a tensor that sizes are taken from.
    fn needed<const N: usize>(&self, name: &str) -> Result<[usize; N], ImportError> {
        match self.shape(name) {
            None => Err(ImportError::Tensors(vec![format!("{name} is missing")])),
            Some(shape) => shape.try_into().map_err(|_| {
                ImportError::Tensors(vec![format!("{name} is {shape:?}, and should have {N} axes")])
            }),
        }
    }

    /// One more than the largest index between `before` and the next point.
    fn count(&self, before: &str) -> usize {
        let named = self.0.range(before.to_owned()..).map(|(name, _)| name);
        let indices = named.map_while(|name| name.strip_prefix(before));
        let indices = indices.filter_map(|rest| rest.split('.').next()?.parse::<usize>().ok());
        indices.filter(|index| *index <= MAX_INDEX).map(|index| index + 1).max().unwrap_or(0)
    }
}

impl Roformer {
    /// The sizes that the tensors show.
    ///
    /// # Errors
    /// [`ImportError`] if it is a variant that this program does not have, or a tensor is missing that shows a size.
    pub(crate) fn recognise(weights: &BTreeMap<String, Weight>) -> Result<Self, ImportError> {
        check_variant(weights)?;
        let names = Names(weights);
        // Some versions keep an empty place for a transformer with linear attention.
        let first = usize::from(names.count("layers.0.0.layers.") == 0);
        let transformer = format!("layers.0.{first}");
        let kind = match (weights.contains_key("final_norm.gamma"), {
            weights.contains_key(&format!("{transformer}.norm.gamma"))
        }) {
            (true, false) => Kind::BandSplit,
            (false, true) => Kind::MelBand,
            (found, _) => {
                let reason = if found { "has both" } else { "lacks both" };
                return Err(ImportError::OtherNetwork(format!(
                    "the network looks like a RoFormer, but it {reason} final_norm.gamma (BS-RoFormer) and \
                     {transformer}.norm.gamma (Mel-Band RoFormer)"
                )));
            }
        };
        let [dim] = names.needed("band_split.to_features.0.1.bias")?;
        let [heads] = names.needed(&format!("{transformer}.layers.0.0.to_gates.bias"))?;
        let [rows, _] = names.needed(&format!("{transformer}.layers.0.0.to_qkv.weight"))?;
        let maps = names.count("mask_estimators.0.to_freqs.0.0.").div_ceil(2);
        let mask_expansion = if maps > 1 {
            let [hidden, _] = names.needed("mask_estimators.0.to_freqs.0.0.0.weight")?;
            Some(hidden / dim.max(1))
        } else {
            None
        };
        let bands = names.count("band_split.to_features.");
        let band_inputs = (0..bands)
            .map(|band| Ok(names.needed::<1>(&format!("band_split.to_features.{band}.0.gamma"))?[0]))
            .collect::<Result<_, ImportError>>()?;
        let network = Self {
            kind,
            dim,
            depth: names.count("layers."),
            time_depth: names.count(&format!("layers.0.{first}.layers.")),
            frequency_depth: names.count(&format!("layers.0.{}.layers.", first + 1)),
            num_heads: heads,
            head_width: rows / 3 / heads.max(1),
            mask_depth: maps,
            mask_expansion,
            stems: names.count("mask_estimators."),
            band_inputs,
            first,
        };
        network.check_claim(weights.len())?;
        Ok(network)
    }

    /// A single name with a large index claims many tensors, so their number is compared before they are listed.
    fn check_claim(&self, tensors: usize) -> Result<(), ImportError> {
        let blocks = self.depth * (self.time_depth + self.frequency_depth + 2);
        let maps = self.stems * self.band_inputs.len() * self.mask_depth;
        let claimed = 10 * blocks + 2 * maps + 3 * self.band_inputs.len();
        if claimed > 2 * tensors + 1000 {
            return Err(ImportError::Tensors(vec![format!(
                "the names describe a network of {claimed} tensors, and there are {tensors}"
            )]));
        }
        Ok(())
    }

    /// All parameters of the network.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut list = Vec::new();
        let mut add = |ours: String, theirs: String, shape: &[usize]| {
            list.push(Parameter::new(ours, theirs, shape));
        };
        let dim = self.dim;
        for (k, inputs) in self.band_inputs.iter().enumerate() {
            let (ours, theirs) = (format!("band_split.{k}"), format!("band_split.to_features.{k}"));
            add(format!("{ours}.norm.gamma"), format!("{theirs}.0.gamma"), &[*inputs]);
            add(format!("{ours}.map.weight"), format!("{theirs}.1.weight"), &[dim, *inputs]);
            add(format!("{ours}.map.bias"), format!("{theirs}.1.bias"), &[dim]);
        }
        for i in 0..self.depth {
            for (axis, blocks) in [("time", self.time_depth), ("frequency", self.frequency_depth)] {
                let place = self.first + usize::from(axis == "frequency");
                let (ours, theirs) = (format!("layers.{i}.{axis}"), format!("layers.{i}.{place}"));
                for j in 0..blocks {
                    self.block(&format!("{ours}.blocks.{j}"), &format!("{theirs}.layers.{j}"), &mut add);
                }
                if self.kind == Kind::MelBand {
                    add(format!("{ours}.norm.gamma"), format!("{theirs}.norm.gamma"), &[dim]);
                }
            }
        }
        if self.kind == Kind::BandSplit {
            add("norm.gamma".into(), "final_norm.gamma".into(), &[dim]);
        }
        let hidden = self.mask_expansion.unwrap_or(0).saturating_mul(dim);
        for s in 0..self.stems {
            for (k, inputs) in self.band_inputs.iter().enumerate() {
                for m in 0..self.mask_depth {
                    let from = if m == 0 { dim } else { hidden };
                    let to = if m + 1 == self.mask_depth { 2 * inputs } else { hidden };
                    let ours = format!("mask_estimators.{s}.bands.{k}.maps.{m}");
                    let theirs = format!("mask_estimators.{s}.to_freqs.{k}.0.{}", 2 * m);
                    add(format!("{ours}.weight"), format!("{theirs}.weight"), &[to, from]);
                    add(format!("{ours}.bias"), format!("{theirs}.bias"), &[to]);
                }
            }
        }
        list
    }

    fn block(&self, ours: &str, theirs: &str, add: &mut impl FnMut(String, String, &[usize])) {
        let (dim, heads) = (self.dim, self.num_heads);
        let width = heads.saturating_mul(self.head_width);
        let hidden = dim.saturating_mul(MLP_RATIO);
        let triple = width.saturating_mul(3);
        for (own, their, shape) in [
            ("norm_attention.gamma", "0.norm.gamma", &[dim][..]),
            ("qkv.weight", "0.to_qkv.weight", &[triple, dim]),
            ("gates.weight", "0.to_gates.weight", &[heads, dim]),
            ("gates.bias", "0.to_gates.bias", &[heads]),
            ("projection.weight", "0.to_out.0.weight", &[dim, width]),
            ("norm_mlp.gamma", "1.net.0.gamma", &[dim]),
            ("expand.weight", "1.net.1.weight", &[hidden, dim]),
            ("expand.bias", "1.net.1.bias", &[hidden]),
            ("contract.weight", "1.net.4.weight", &[dim, hidden]),
            ("contract.bias", "1.net.4.bias", &[dim]),
        ] {
            add(format!("{ours}.{own}"), format!("{theirs}.{their}"), shape);
        }
    }
}

/// Hidden channels of a transformer's MLP per channel of a token, in every version.
const MLP_RATIO: usize = 4;

/// Refuses variants of RoFormers by the names of tensors that only they have.
fn check_variant(weights: &BTreeMap<String, Weight>) -> Result<(), ImportError> {
    const VARIANTS: [(&str, &str); 5] = [
        (".to_value_residual_mix.", "value residuals"),
        (".static_alpha", "hyper-connections"),
        (".temperature", "transformers with linear attention"),
        ("pope_embed", "PoPE positions"),
        (".conv.", "convolutions (a conformer)"),
    ];
    for (mark, what) in VARIANTS {
        if let Some(name) = weights.keys().find(|name| name.contains(mark)) {
            return Err(ImportError::OtherNetwork(format!(
                "the network is a RoFormer with {what}, which this program does not have (tensor {name})"
            )));
        }
    }
    Ok(())
}

/// What another network is, from the names of its tensors.
pub(crate) fn other_network<'a>(names: impl Iterator<Item = &'a str> + Clone) -> ImportError {
    const MARKS: [(&str, &str); 9] = [
        ("crosstransformer.", "HTDemucs"),
        ("SDlayer.", "SCNet"),
        ("SDblock.", "SCNet"),
        ("sep_net.", "SCNet"),
        ("first_conv.weight", "MDX23C (TFC-TDF)"),
        ("mask_estim.norm_mlp", "BandIt"),
        ("tencoder.", "Hybrid Demucs"),
        ("bandsequence.", "Apollo"),
        ("lstm.weight_ih_l0", "a network with an LSTM, such as Open-Unmix"),
    ];
    let known = MARKS.iter().find(|(mark, _)| names.clone().any(|name| name.contains(mark)));
    let network = known.map_or_else(
        || {
            let some: Vec<_> = names.take(5).collect();
            format!("the network is unknown; its tensors are {}, …", some.join(", "))
        },
        |(_, network)| format!("the network looks like {network}"),
    );
    ImportError::OtherNetwork(format!("{network}; only BS-RoFormer and Mel-Band RoFormer can be imported"))
}
