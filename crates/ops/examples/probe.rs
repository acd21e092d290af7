//! scratch
use burn::tensor::{Device, Distribution, Tensor};
use std::time::Instant;
use unbraid_ops::{Stft, device, istft, stft};
fn main() {
    let start = Instant::now();
    for info in device::list() {
        println!("{info:#?}");
    }
    println!("list {:?}", start.elapsed());
    for choice in ["auto", "cpu", "gpu", "gpu:0", "gpu:7", "cuda"] {
        match choice.parse().and_then(device::select) {
            Ok((device, info)) => {
                println!("{choice}: {} {device:?} {:?}", info.name, device::memory(&device))
            }
            Err(error) => println!("{choice}: ERROR {error}"),
        }
    }
    if std::env::args().len() > 1 {
        let mut devices = vec![Device::flex()];
        if let Ok((d, _)) = device::select(device::Choice::Gpu(None)) {
            devices.push(d)
        }
        for device in devices {
            for (b, n_fft, hop) in [
                (4, 2048, 512),
                (16, 2048, 512),
                (4, 1024, 256),
                (4, 2000, 500),
                (4, 4096, 1024),
                (4, 256, 64),
            ] {
                let n = 264_600;
                let plan = Stft::new(n_fft, hop).unwrap();
                let x = Tensor::<2>::random([b, n], Distribution::Default, &device);
                let mut times = vec![];
                for _ in 0..4 {
                    device.sync().unwrap();
                    let t0 = Instant::now();
                    let s = stft(x.clone(), &plan);
                    device.sync().unwrap();
                    let t1 = Instant::now();
                    let y = istft(s, &plan, n);
                    device.sync().unwrap();
                    let t2 = Instant::now();
                    drop(y);
                    times.push(((t1 - t0).as_secs_f64() * 1e3, (t2 - t1).as_secs_f64() * 1e3));
                }
                let f = times.iter().map(|t| t.0).fold(f64::MAX, f64::min);
                let i = times.iter().map(|t| t.1).fold(f64::MAX, f64::min);
                println!(
                    "{device:?} b{b} {n_fft}/{hop}: stft {f:.1} ms, istft {i:.1} ms, {:?}",
                    device::memory(&device)
                );
            }
        }
    }
}
