//! A device with a model on it. It runs segments, discards the results of a GPU that failed, and recovers once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use burn::tensor::{Device, ExecutionError};
use unbraid_base::{Stereo, snr_db};
use unbraid_model::weights::{self, Loaded};
use unbraid_model::{Network, SegmentModel};
use unbraid_ops::device::{self, WebGpu, WebGpuError};

use crate::error::Failure;
use crate::pool::{Pool, Running};

/// Minimum SNR of a GPU's stems against the CPU's on the test signal, in dB. With rounding alone it is above 100. With
/// a driver that computes wrong values it is below 20.
const LEAST_SNR_DB: f64 = 60.0;

/// The device that computes.
pub(crate) enum ComputeDevice {
    /// The browser's GPU.
    Gpu(WebGpu),
    /// The CPU.
    Cpu,
}

impl ComputeDevice {
    fn device(&self) -> Device {
        match self {
            Self::Gpu(gpu) => gpu.device.clone(),
            Self::Cpu => Device::flex(),
        }
    }

    /// Fails if the results that were read since the last call cannot be trusted.
    async fn check(&self) -> Result<(), WebGpuError> {
        match self {
            Self::Gpu(gpu) => {
                gpu.validate_kernels().await?;
                gpu.check()
            }
            Self::Cpu => Ok(()),
        }
    }
}

/// A network, and the bytes of its file, from which it can be put on a new device.
struct Model {
    bytes: Vec<u8>,
    network: Network,
}

/// A model on a device.
pub(crate) struct Engine {
    device: RefCell<ComputeDevice>,
    model: RefCell<Model>,
    stems: usize,
    sample_rate: u32,
    segment_seconds: f64,
    overlap: f32,
    least_samples: usize,
    /// The failure of the device, after the device was replaced.
    recovered: RefCell<Option<String>>,
    /// A job may recover once.
    may_recover: Cell<bool>,
}

impl Engine {
    /// Puts a model on a device, and compares a GPU's first result with the CPU's.
    pub(crate) async fn new(
        device: ComputeDevice,
        bytes: Vec<u8>,
    ) -> Result<(Self, Loaded), (Failure, ComputeDevice)> {
        let loaded = match weights::from_bytes(&bytes, &device.device()) {
            Ok(loaded) => loaded,
            Err(error) => return Err((error.into(), device)),
        };
        let engine = Self {
            stems: loaded.model.stems(),
            sample_rate: loaded.model.sample_rate(),
            segment_seconds: loaded.segment_seconds(),
            overlap: loaded.overlap(),
            least_samples: loaded.model.least_samples(),
            model: RefCell::new(Model { bytes, network: loaded.model.clone() }),
            device: RefCell::new(device),
            recovered: RefCell::new(None),
            may_recover: Cell::new(true),
        };
        match engine.test().await {
            Ok(()) => Ok((engine, loaded)),
            Err(failure) => Err((failure, engine.device.into_inner())),
        }
    }

    /// Device memory of burn's pools in bytes. `None` on the CPU.
    pub(crate) fn gpu_bytes(&self) -> Option<u64> {
        device::memory(&self.device.borrow().device()).map(|memory| memory.reserved)
    }

    /// Starts a job: allows one recovery.
    pub(crate) fn begin(&self) {
        self.may_recover.set(true);
        self.recovered.take();
    }

    /// The failure of the device before it was replaced. Each failure is returned once.
    pub(crate) fn recovered(&self) -> Option<String> {
        self.recovered.take()
    }

    /// Runs a short noise on the GPU and on the CPU. This compiles the kernels, and detects a driver that computes
    /// wrong values.
    async fn test(&self) -> Result<(), Failure> {
        if matches!(*self.device.borrow(), ComputeDevice::Cpu) {
            return Ok(());
        }
        let noise = [noise(1, self.least_samples), noise(2, self.least_samples)];
        let segment = std::slice::from_ref(&noise);
        let failed = |error: ExecutionError| Failure::Device(error.to_string());
        let got = self.attempt(segment).await.map_err(Failure::Device)?;
        let reference = weights::from_bytes(&self.model.borrow().bytes, &Device::flex())?.model;
        let expected = reference.run(segment.to_vec()).await.map_err(failed)?;
        let samples = |stems: &[Vec<Stereo>]| -> Vec<f64> {
            stems.iter().flatten().flatten().flatten().map(|&sample| f64::from(sample)).collect()
        };
        let (expected, got) = (samples(&expected), samples(&got));
        if expected.len() != got.len() {
            return Err(Failure::Device("the GPU's stems differ in length from the CPU's".to_owned()));
        }
        let snr = snr_db(expected, got);
        // Not `snr < LEAST`: NaN must not pass.
        if snr >= LEAST_SNR_DB {
            return Ok(());
        }
        Err(Failure::Device(format!(
            "the GPU's result differs from the CPU's (SNR {snr:.0} dB, at least {LEAST_SNR_DB} dB are required)"
        )))
    }

    async fn attempt(&self, segments: &[Stereo]) -> Result<Vec<Vec<Stereo>>, String> {
        let network = self.model.borrow().network.clone();
        let result = network.run(segments.to_vec()).await;
        self.check().await?;
        result.map_err(|error| error.to_string())
    }

    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "one job runs at a time, and only that job replaces the device"
    )]
    async fn check(&self) -> Result<(), String> {
        self.device.borrow().check().await.map_err(|error| error.to_string())
    }

    /// The stems of segments. It opens a lost GPU again.
    async fn run(&self, segments: &[Stereo]) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
        let first = match self.attempt(segments).await {
            Ok(stems) => return Ok(stems),
            Err(reason) => reason,
        };
        let is_gpu = matches!(*self.device.borrow(), ComputeDevice::Gpu(_));
        if !(is_gpu && self.may_recover.replace(false)) {
            return Err(ExecutionError::WithContext { reason: first });
        }
        let failed_again = |reason| ExecutionError::WithContext {
            reason: format!("{first}; after it was opened again: {reason}"),
        };
        self.recover().await.map_err(failed_again)?;
        let stems = self.attempt(segments).await.map_err(failed_again)?;
        *self.recovered.borrow_mut() = Some(first);
        Ok(stems)
    }

    /// Opens the GPU again and puts the model on it.
    async fn recover(&self) -> Result<(), String> {
        let gpu = WebGpu::open().await.map_err(|error| error.to_string())?;
        let loaded = weights::from_bytes(&self.model.borrow().bytes, &gpu.device);
        self.model.borrow_mut().network = loaded.map_err(|error| error.to_string())?.model;
        *self.device.borrow_mut() = ComputeDevice::Gpu(gpu);
        Ok(())
    }

    /// Destroys the GPU's device, as a failing driver does. For tests.
    pub(crate) fn lose_device(&self) {
        if let ComputeDevice::Gpu(gpu) = &*self.device.borrow() {
            gpu.destroy();
        }
    }

    /// The model's number of stems.
    pub(crate) fn stems(&self) -> usize {
        self.stems
    }

    /// The model's sample rate in Hz.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Length in seconds of the segments that the model separates.
    pub(crate) fn segment_seconds(&self) -> f64 {
        self.segment_seconds
    }

    /// The part of a segment that the next one overlaps.
    pub(crate) fn overlap(&self) -> f32 {
        self.overlap
    }

    /// Returns the device.
    pub(crate) fn into_device(self) -> ComputeDevice {
        self.device.into_inner()
    }
}

/// An engine as the separator's model. With a pool, helpers compute all segments that they can.
pub(crate) struct EngineModel {
    pub(crate) engine: Rc<Engine>,
    pub(crate) pool: Option<Pool>,
}

impl SegmentModel for EngineModel {
    /// Each segment, and its computation in a helper.
    type Running = Vec<(Option<Running>, Stereo)>;

    fn stems(&self) -> usize {
        self.engine.stems
    }

    fn sample_rate(&self) -> u32 {
        self.engine.sample_rate
    }

    fn least_samples(&self) -> usize {
        self.engine.least_samples
    }

    fn start(&self, segments: Vec<Stereo>) -> Self::Running {
        let running = |segment: &Stereo| self.pool.as_ref().map(|pool| pool.run(segment));
        segments.into_iter().map(|segment| (running(&segment), segment)).collect()
    }

    async fn finish(&self, running: Self::Running) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
        let mut stems = Vec::with_capacity(running.len());
        for (running, segment) in running {
            let helped = match running {
                Some(running) => running.stems().await,
                None => None,
            };
            match helped {
                Some(helped) => stems.push(helped),
                None => stems.extend(self.engine.run(&[segment]).await?),
            }
        }
        Ok(stems)
    }
}

/// White noise at half of full scale, the same every time.
fn noise(seed: u32, samples: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        // A linear congruential generator. Its upper bits are random enough for a test signal.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..samples).map(|_| next()).collect()
}
