//! STFT and inverse STFT: both transforms, both gradients, the round trip and the adjoint identities.

use burn::tensor::{Device, ExecutionError, Tensor};
use unbraid_ops::{Stft, istft, stft};

use super::target::{Target, dot, in_short_rows, norm, short_rows};
use crate::host::{Precision, Random, download, upload};
use crate::plain;
use crate::reference::stft::Transform;
use crate::report::{Check, Expected};

/// Minimum SNR of an f32 waveform after the round trip, in dB.
const ROUND_TRIP_SNR_DB: f64 = 120.0;

/// One transform of some waveforms.
#[derive(Debug, Clone)]
pub struct StftCase {
    /// Samples of a frame.
    pub n_fft: usize,
    /// Samples between the starts of successive frames.
    pub hop: usize,
    /// Waveforms.
    pub batch: usize,
    /// Samples of a waveform.
    pub samples: usize,
    /// Precision of the stored values.
    pub precision: Precision,
}

/// One of the two transforms on a device.
type Operation<'a, const I: usize, const O: usize> = &'a dyn Fn(Tensor<I>) -> Tensor<O>;

/// Output and gradient of the input.
type Outcome = (Vec<f64>, Vec<f64>);

impl StftCase {
    /// Unique name.
    pub fn name(&self) -> String {
        let f16 = if self.precision == Precision::F16 { " f16" } else { "" };
        format!("stft {}/{} {}x{}{f16}", self.n_fft, self.hop, self.batch, self.samples)
    }

    fn transform(&self) -> Transform {
        Transform { n_fft: self.n_fft, hop: self.hop, samples: self.samples }
    }

    /// Runs the case.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn run(&self, target: &Target) -> Result<Vec<Check>, ExecutionError> {
        let device = &target.device.clone().autodiff();
        let plan = Stft::new(self.n_fft, self.hop).expect("the sizes of the cases are valid");
        let wave_shape = [self.batch, self.samples];
        let transform = self.transform();
        let spectrum_shape = [self.batch, transform.frames(), transform.bins(), 2];
        let mut random = Random::named(&self.name());
        let waveform = random.normal(self.batch * self.samples, 1.0, self.precision);
        let spectrum = random.normal(spectrum_shape.iter().product(), 1.0, self.precision);

        // One is the input of each transform, and the other the gradient of its output.
        let (w, s) = ((&waveform[..], wave_shape), (&spectrum[..], spectrum_shape));
        let forward = self.evaluate(&|x| stft(x, &plan), w, s, device).await?;
        let inverse = self.evaluate(&|x| istft(x, &plan, self.samples), s, w, device).await?;
        let forward_rows = in_short_rows(self.evaluate(&|x| stft(x, &plan), w, s, device)).await?;
        let inverse_rows =
            in_short_rows(self.evaluate(&|x| istft(x, &plan, self.samples), s, w, device)).await?;
        let in_f32 = Self { precision: Precision::F32, ..*self };
        let forward_plain = in_f32.evaluate(&|x| plain::stft::stft(&x, &plan), w, s, device).await?;
        let inverse_plain =
            in_f32.evaluate(&|x| plain::stft::istft(&x, &plan, self.samples), s, w, device).await?;

        let by_item = |values: &[f64], transform: &dyn Fn(&[f64]) -> Vec<f64>| {
            values.chunks_exact(values.len() / self.batch).flat_map(transform).collect::<Vec<f64>>()
        };
        let expected = |values: Vec<f64>| Expected {
            // A good FFT may differ from a plain sum that is exact by chance by one rounding of the result.
            sensitivity: values.clone(),
            values,
            precision: self.precision,
        };
        let compare = |tensor: &str, values: Vec<f64>, ours: &[f64], plain: &[f64], forward: bool| {
            Check::against_plain(tensor, &expected(values), ours, plain, forward)
        };
        let references = [
            by_item(&waveform, &|x| transform.stft(x)),
            by_item(&spectrum, &|x| transform.stft_backward(x)),
            by_item(&spectrum, &|x| transform.istft(x)),
            by_item(&waveform, &|x| transform.istft_backward(x)),
        ];
        let [stft_output, stft_gradient, istft_output, istft_gradient] = references;
        let mut checks = vec![
            compare("stft", stft_output, &forward.0, &forward_plain.0, true),
            compare("stft gradient", stft_gradient, &forward.1, &forward_plain.1, false),
            compare("istft", istft_output, &inverse.0, &inverse_plain.0, true),
            compare("istft gradient", istft_gradient, &inverse.1, &inverse_plain.1, false),
        ];
        let all = |forward: &Outcome, inverse: &Outcome| {
            [&forward.0[..], &forward.1, &inverse.0, &inverse.1].concat()
        };
        checks.push(short_rows(&all(&forward, &inverse), &all(&forward_rows, &inverse_rows)));
        if self.precision == Precision::F32 {
            let there = stft(upload(&waveform, wave_shape, self.precision, device) * 2.0, &plan);
            let back = download(istft(there, &plan, self.samples) * 0.5).await?;
            let reason = format!("SNR ≥ {ROUND_TRIP_SNR_DB} dB");
            checks.push(Check::faithful("round trip", &waveform, &back, ROUND_TRIP_SNR_DB, &reason));
            checks.push(adjoint("⟨Sx,y⟩ = ⟨x,Sᵀy⟩", (&forward.0, &spectrum), (&waveform, &forward.1)));
            checks.push(adjoint("⟨Iy,x⟩ = ⟨y,Iᵀx⟩", (&inverse.0, &waveform), (&spectrum, &inverse.1)));
        }
        Ok(checks)
    }

    /// Output and gradient of the input.
    async fn evaluate<const I: usize, const O: usize>(
        &self,
        operation: Operation<'_, I, O>,
        (input, input_shape): (&[f64], [usize; I]),
        (gradient, output_shape): (&[f64], [usize; O]),
        device: &Device,
    ) -> Result<Outcome, ExecutionError> {
        // Halving and doubling are exact. They put elementwise operations around ours, which fusion can fuse.
        let doubled: Vec<f64> = input.iter().map(|x| 2.0 * x).collect();
        let input = upload(&doubled, input_shape, self.precision, device).require_grad();
        let gradient = upload(gradient, output_shape, self.precision, device);
        let output = operation(input.clone() * 0.5);
        let gradients = ((output.clone() * 2.0) * (gradient * 0.5)).sum().backward();
        let input_gradient = input.grad(&gradients).expect("the loss depends on the input") * 2.0;
        Ok((download(output.inner()).await?, download(input_gradient).await?))
    }
}

/// Checks `⟨A x, y⟩ = ⟨x, Aᵀ y⟩` for the results of the device.
fn adjoint(name: &str, (ax, y): (&[f64], &[f64]), (x, aty): (&[f64], &[f64])) -> Check {
    let scale = norm(ax) * norm(y);
    Check::close(name, dot(ax, y), dot(x, aty), scale, 1e-6, "1e-6 of the norms: rounding of f32")
}

/// Every case of the STFT.
pub fn cases() -> Vec<StftCase> {
    let case =
        |n_fft, hop, batch, samples| StftCase { n_fft, hop, batch, samples, precision: Precision::F32 };
    let f32 = vec![
        case(256, 64, 2, 1000),
        // The shortest waveform that can be reflected, and the smallest hop.
        case(256, 1, 1, 129),
        case(256, 37, 3, 517),
        case(300, 75, 1, 601),
        case(480, 120, 2, 1441),
        case(1000, 250, 1, 1999),
        case(1920, 480, 1, 2400),
        case(2048, 512, 1, 4096),
        case(4096, 1024, 1, 2100),
    ];
    let f16 = [case(256, 64, 2, 1000), case(480, 96, 1, 999)];
    f32.into_iter()
        .chain(f16.into_iter().map(|case| StftCase { precision: Precision::F16, ..case }))
        .collect()
}
