//! The shaders that training and separation launch, recorded in dry runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use burn::tensor::{DType, Device, Tensor};
use unbraid_model::{Execution, ModelConfig, Precision, STANDARD_NETWORKS};
use unbraid_ops::device::{self, Choice, MemoryRefused};
use unbraid_ops::{Shader, record_launches};
use unbraid_train::{MemoryPreset, TrainConfig, TrainError, dry_run};

/// The shaders, by their labels, of a training step and of the separation of a segment: with every standard TFSWA
/// network, as it is and with its memory presets, in both precisions.
///
/// The device `gpu` is opened. It compiles every kernel and runs none.
pub(crate) fn of_the_presets() -> Result<BTreeMap<Arc<str>, Shader>> {
    let (device, info) = device::select(Choice::Gpu(None))?;
    ensure!(device.supports_dtype(DType::F16), "{} has no 16-bit floats", info.name);
    let mut shaders = BTreeMap::new();
    // A refused tensor ends every later step of the process before its update, so the smallest network is first.
    for model in STANDARD_NETWORKS.into_iter().rev() {
        // The presets change the STFT, which the bands of a RoFormer do not allow.
        if ModelConfig::standard(model)?.family.tfswa().is_none() {
            continue;
        }
        for precision in [Precision::F32, Precision::F16] {
            shaders.extend(of_separation(model, precision, &device)?);
            for config in settings(model, precision) {
                shaders.extend(of_training(&config, &device)?);
            }
        }
    }
    Ok(shaders)
}

/// Settings whose steps launch the same shaders as steps of the network as it is (segments of 6 s) and of its memory
/// presets, but take seconds instead of minutes.
///
/// Of the shaders, chunks change only the shift of the windows, which are as long in every segment. So the presets run
/// without chunks, and chunks run once, with a short segment that they divide at every resolution.
fn settings(model: &str, precision: Precision) -> Vec<TrainConfig> {
    let plain = TrainConfig { model: model.into(), precision, batch_size: 1, ..Default::default() };
    let with = |preset: MemoryPreset, [tsa_chunk_size, fsa_chunk_size]: [usize; 2]| {
        let mut config = plain.clone();
        preset.apply(&mut config);
        TrainConfig { tsa_chunk_size, fsa_chunk_size, ..config }
    };
    let chunked = TrainConfig { segment_seconds: 1.0, ..with(MemoryPreset::LowVram, [256, 8]) };
    let mut settings = vec![chunked, plain.clone()];
    // The other presets are for the default network. Without chunks, low-vram has the shaders of the plain settings.
    if model == STANDARD_NETWORKS[0] {
        let others = MemoryPreset::ALL.into_iter().filter(|preset| *preset != MemoryPreset::LowVram);
        settings.extend(others.map(|preset| with(preset, [0, 0])));
    }
    settings
}

fn of_training(config: &TrainConfig, device: &Device) -> Result<BTreeMap<Arc<str>, Shader>> {
    let (step, launches) = record_launches(|| {
        let step = dry_run(config, 1, device, |_| {});
        device.sync().map(|()| step)
    });
    match step? {
        // The adapter, for example llvmpipe, may allow no tensor of the size. The step reports this when it reads its
        // loss, after all gradients.
        Ok(_) | Err(TrainError::OutOfMemory(MemoryRefused::TooLarge { .. })) => Ok(launches.shaders),
        Err(error) => Err(error.into()),
    }
}

fn of_separation(model: &str, precision: Precision, device: &Device) -> Result<BTreeMap<Arc<str>, Shader>> {
    let network = ModelConfig::standard(model)?;
    let samples = TrainConfig::default().segment_samples(&network);
    let network = network.init(device).with_execution(Execution { precision, ..Default::default() });
    let (synchronised, launches) = record_launches(|| {
        device::dry_run(|| {
            drop(network.forward(Tensor::zeros([1, 2, samples], device)));
            device.sync()
        })
    });
    synchronised?;
    Ok(launches.shaders)
}
