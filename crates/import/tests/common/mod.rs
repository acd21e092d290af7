//! Checkpoints made in code: a writer of pickles, a writer of zip archives, and a small RoFormer.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part")]

use std::io::Cursor;

use unbraid_import::{Checkpoint, ImportError, Recognised, Settings};

/// The operations of a pickle of protocol 2.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub(crate) fn int(self, number: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&number.to_le_bytes())
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    pub(crate) fn ints(self, numbers: &[i64]) -> Self {
        let begun = self.raw(b"(");
        numbers.iter().fold(begun, |pickle, number| pickle.int(*number)).raw(b"t")
    }

    /// The storage of the elements under `key`.
    pub(crate) fn storage(self, class: &str, key: &str, length: i64) -> Self {
        let begun = self.raw(b"(").text("storage").global("torch", class);
        begun.text(key).text("cpu").int(length).raw(b"tQ")
    }

    /// A tensor that views a storage.
    pub(crate) fn view(
        self,
        storage: (&str, &str, i64),
        offset: i64,
        shape: &[i64],
        strides: &[i64],
    ) -> Self {
        let begun = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
        let begun = begun.storage(storage.0, storage.1, storage.2).int(offset).ints(shape).ints(strides);
        begun.raw(b"\x89").global("collections", "OrderedDict").raw(b")RtR")
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// A tensor of f32.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Floats {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Floats {
    pub(crate) fn new(name: &str, shape: &[usize]) -> Self {
        // Different values in every tensor, all of which f16 has.
        let seed = name.bytes().map(usize::from).sum::<usize>();
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|n| ((n * 7 + seed) % 61) as f32 / 64.0 - 0.5).collect();
        Self { name: name.to_owned(), shape: shape.to_vec(), values }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// An `OrderedDict` of tensors, each with its own storage, whose keys begin with `first`.
pub(crate) fn state_dict(pickle: Pickle, tensors: &[Floats], first: usize) -> Pickle {
    let mut pickle = pickle.global("collections", "OrderedDict").raw(b")R(");
    for (index, tensor) in tensors.iter().enumerate() {
        let shape: Vec<i64> = tensor.shape.iter().map(|size| *size as i64).collect();
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let key = (first + index).to_string();
        let storage = ("FloatStorage", key.as_str(), tensor.values.len() as i64);
        pickle = pickle.text(&tensor.name).view(storage, 0, &shape, &strides);
    }
    pickle.raw(b"u")
}

/// The entries of an archive around a pickle, with the elements of `tensors`.
pub(crate) fn entries(pickle: Vec<u8>, tensors: &[Floats]) -> Vec<(String, Vec<u8>)> {
    let mut entries =
        vec![("archive/data.pkl".to_owned(), pickle), ("archive/byteorder".to_owned(), b"little".to_vec())];
    for (index, tensor) in tensors.iter().enumerate() {
        entries.push((format!("archive/data/{index}"), tensor.bytes()));
    }
    entries.push(("archive/version".to_owned(), b"3\n".to_vec()));
    entries
}

/// A checkpoint of one state dict.
pub(crate) fn plain(tensors: &[Floats]) -> Vec<u8> {
    archive(&entries(state_dict(Pickle::new(), tensors, 0).end(), tensors))
}

/// A checkpoint of a dict of dicts of tensors.
pub(crate) fn nested(dicts: &[(&str, &[Floats])]) -> Vec<u8> {
    let mut pickle = Pickle::new().raw(b"}(");
    let mut all = Vec::new();
    for (key, tensors) in dicts {
        pickle = state_dict(pickle.text(key), tensors, all.len());
        all.extend(tensors.iter().cloned());
    }
    let pickle = pickle.text("epoch").int(3).text("optimizer").raw(b"}u").end();
    archive(&entries(pickle, &all))
}

/// A zip archive of stored entries.
pub(crate) fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let offset = file.len() as u32;
        let mut fixed = Vec::new();
        for number in [20_u16, 0, 0, 0, 0x21] {
            fixed.extend(number.to_le_bytes());
        }
        fixed.extend(crc32fast::hash(data).to_le_bytes());
        fixed.extend((data.len() as u32).to_le_bytes());
        fixed.extend((data.len() as u32).to_le_bytes());
        fixed.extend((name.len() as u16).to_le_bytes());
        fixed.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&fixed);
        file.extend(name.as_bytes());
        file.extend(data);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&fixed);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// A checkpoint in the format before PyTorch 1.6.
pub(crate) fn legacy(tensors: &[Floats]) -> Vec<u8> {
    let mut file = vec![0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
    file.extend(Pickle::new().int(1001).end());
    file.extend(Pickle::new().raw(b"}(").text("little_endian").raw(b"\x88u").end());
    file.extend(state_dict(Pickle::new(), tensors, 0).end());
    let keys = (0..tensors.len()).fold(Pickle::new().raw(b"]("), |pickle, key| pickle.text(&key.to_string()));
    file.extend(keys.raw(b"e").end());
    for tensor in tensors {
        file.extend((tensor.values.len() as u64).to_le_bytes());
        file.extend(tensor.bytes());
    }
    file
}

pub(crate) fn open(bytes: &[u8]) -> Result<Checkpoint, ImportError> {
    Checkpoint::read(Box::new(Cursor::new(bytes.to_vec())), true)
}

/// Names and shapes of a small BS-RoFormer, as MSST has them: 2 layers of 8 channels, 2 heads of 4, 3 bands.
pub(crate) fn bs_roformer() -> Vec<Floats> {
    network(false)
}

/// Names and shapes of a small Mel-Band RoFormer.
pub(crate) fn mel_band_roformer() -> Vec<Floats> {
    network(true)
}

/// Bins of the bands.
pub(crate) const BANDS: [usize; 3] = [2, 3, 4];

fn network(mel: bool) -> Vec<Floats> {
    const DIM: usize = 8;
    let mut list = Vec::new();
    let mut add = |name: String, shape: &[usize]| list.push(Floats::new(&name, shape));
    for (band, bins) in BANDS.into_iter().enumerate() {
        add(format!("band_split.to_features.{band}.0.gamma"), &[4 * bins]);
        add(format!("band_split.to_features.{band}.1.weight"), &[DIM, 4 * bins]);
        add(format!("band_split.to_features.{band}.1.bias"), &[DIM]);
    }
    for layer in 0..2 {
        for place in 0..2 {
            let block = format!("layers.{layer}.{place}.layers.0");
            add(format!("{block}.0.norm.gamma"), &[DIM]);
            add(format!("{block}.0.to_qkv.weight"), &[24, DIM]);
            add(format!("{block}.0.to_gates.weight"), &[2, DIM]);
            add(format!("{block}.0.to_gates.bias"), &[2]);
            add(format!("{block}.0.to_out.0.weight"), &[DIM, 8]);
            add(format!("{block}.1.net.0.gamma"), &[DIM]);
            add(format!("{block}.1.net.1.weight"), &[32, DIM]);
            add(format!("{block}.1.net.1.bias"), &[32]);
            add(format!("{block}.1.net.4.weight"), &[DIM, 32]);
            add(format!("{block}.1.net.4.bias"), &[DIM]);
            if mel {
                add(format!("layers.{layer}.{place}.norm.gamma"), &[DIM]);
            }
        }
    }
    if !mel {
        add("final_norm.gamma".into(), &[DIM]);
    }
    for (band, bins) in BANDS.into_iter().enumerate() {
        let maps = format!("mask_estimators.0.to_freqs.{band}.0");
        add(format!("{maps}.0.weight"), &[16, DIM]);
        add(format!("{maps}.0.bias"), &[16]);
        add(format!("{maps}.2.weight"), &[8 * bins, 16]);
        add(format!("{maps}.2.bias"), &[8 * bins]);
    }
    let mut positions = Floats::new("layers.0.0.layers.0.0.rotary_embed.freqs", &[2]);
    positions.values = vec![1.0, 0.01];
    list.push(positions);
    list
}

/// The configuration of the small networks.
pub(crate) fn yaml(mel: bool) -> String {
    let bands = if mel {
        "num_bands: 3".to_owned()
    } else {
        format!("freqs_per_bands: !!python/tuple\n    - {}\n    - {}\n    - {}", BANDS[0], BANDS[1], BANDS[2])
    };
    format!(
        "audio:\n  chunk_size: 4000\n  sample_rate: 8000 # Hz\nmodel:\n  dim: 8\n  depth: 2\n  stereo: true\n  \
         num_stems: 1\n  time_transformer_depth: 1\n  freq_transformer_depth: 1\n  {bands}\n  dim_head: 4\n  \
         heads: 2\n  sample_rate: 8000\n  stft_n_fft: 16\n  stft_hop_length: 4\n  stft_win_length: 16\n  \
         mlp_expansion_factor: 2\n  mask_estimator_depth: 2\n  \
         multi_stft_window_fn: !!python/name:torch.hann_window\ntraining:\n  instruments:\n  - vocals\n  - other\n  \
         target_instrument: vocals\n  lr: 1.0e-05\ninference:\n  num_overlap: 4\n"
    )
}

pub(crate) fn settings(mel: bool) -> Settings {
    Settings::parse(&yaml(mel)).expect("a valid configuration")
}

pub(crate) fn recognise(bytes: &[u8], mel: bool) -> Result<Recognised, ImportError> {
    Recognised::new(open(bytes)?, None, &settings(mel), "small", true)
}

/// The same tensors under other names.
pub(crate) fn renamed(tensors: &[Floats], rename: impl Fn(&str) -> String) -> Vec<Floats> {
    tensors.iter().map(|tensor| Floats { name: rename(&tensor.name), ..tensor.clone() }).collect()
}

/// Asserts that the values of the network are those of `tensors`.
pub(crate) fn assert_values(recognised: &Recognised, tensors: &[Floats]) {
    assert_eq!(recognised.parameters().len(), tensors.len() - 1, "all but the positions");
    let own = |name: &str| {
        name.strip_prefix(&recognised.prefix).unwrap_or(name).replace("_orig_mod.", "") // of compiled parts
    };
    for (ours, parameter) in recognised.parameters() {
        let theirs = tensors.iter().find(|tensor| own(&tensor.name) == parameter.theirs).expect("a tensor");
        let values = recognised.values(ours, false).expect("readable values");
        let expected = match theirs.shape[..] {
            [rows, columns] => {
                (0..rows * columns).map(|n| theirs.values[n % rows * columns + n / rows]).collect()
            }
            _ => theirs.values.clone(),
        };
        assert_eq!(values, expected, "{ours}");
    }
}
