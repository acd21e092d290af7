//! The references of a batch on a device.

use crate::data::grouping::Grouping;
use crate::data::items::Items;
use burn::tensor::{Device, Tensor, TensorData};

/// The references of some items of a batch, whose sums over the stems are the mixtures.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    /// One signal per stem, `[b, s, 2, n]`. A sum of stems is at the first of them, and the others are silent.
    pub(crate) signals: Tensor<4>,
    /// The stems of each item of which only the sum is known. `None` if every stem of every item is known.
    pub(crate) groupings: Option<Vec<Grouping>>,
}

impl Targets {
    /// Moves items of the shape `item = [s, 2, n]` to `device`.
    pub(crate) fn new(items: Items, item: [usize; 3], device: &Device) -> Self {
        let [s, channels, n] = item;
        let Items { samples, groupings } = items;
        let shape = [groupings.len(), s, channels, n];
        let groupings = (!groupings.iter().all(Grouping::is_separate)).then_some(groupings);
        Self { signals: Tensor::from_data(TensorData::new(samples, shape), device), groupings }
    }

    /// References of which every stem is known, `[b, s, 2, n]`.
    pub(crate) fn separate(signals: Tensor<4>) -> Self {
        Self { signals, groupings: None }
    }

    /// Number of items, `b`.
    pub(crate) fn items(&self) -> usize {
        self.signals.dims()[0]
    }

    /// Parts of `size` items. The last one may have fewer.
    pub(crate) fn split(self, size: usize) -> Vec<Self> {
        let parts = self.signals.split(size, 0).into_iter().enumerate();
        let part = |(index, signals): (usize, Tensor<4>)| {
            let own = |all: &Vec<Grouping>| all[index * size..][..signals.dims()[0]].to_vec();
            let groupings = self.groupings.as_ref().map(own);
            let joined = groupings.filter(|own| !own.iter().all(Grouping::is_separate));
            Self { signals, groupings: joined }
        };
        parts.map(part).collect()
    }
}
