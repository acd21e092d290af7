use burn::tensor::{Device, Distribution, Tensor};
use std::time::Instant;
use unbraid_model::ModelConfig;
fn cpu() -> f32 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (f[11].parse::<f32>().unwrap() + f[12].parse::<f32>().unwrap()) / 100.0
}
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let seconds: f32 = std::env::args().nth(2).map_or(3.0, |s| s.parse().unwrap());
    let batch: usize = std::env::args().nth(3).map_or(1, |s| s.parse().unwrap());
    let config = ModelConfig::from_toml(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let n = (seconds * 44100.0) as usize;
    for train in [false, true] {
        let device = if train { Device::flex().autodiff() } else { Device::flex() };
        let model = config.init(&device);
        let x = Tensor::<3>::random([batch, 2, n], Distribution::Normal(0.0, 0.1), &device);
        for i in 0..2 {
            let reps = if i == 0 { 1 } else { 3 };
            let (t, c) = (Instant::now(), cpu());
            for _ in 0..reps {
                let y = model.forward(x.clone());
                if train {
                    let g = y.abs().mean().backward();
                    std::hint::black_box(&g);
                } else {
                    std::hint::black_box(y.into_data());
                }
            }
            let per = reps as f32 * seconds * batch as f32;
            if i == 1 {
                println!(
                    "{path} params {} train {train}: wall {:.3} cpu {:.3} s per audio second",
                    config.parameters(),
                    t.elapsed().as_secs_f32() / per,
                    (cpu() - c) / per
                );
            }
        }
    }
}
