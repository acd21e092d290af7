use burn::nn::{LayerNormConfig, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, activation::gelu};
use std::time::Instant;
use unbraid_ops::*;
fn time(name: &str, train: bool, f: impl Fn() -> Tensor<4>) {
    let mut best = (f32::MAX, f32::MAX);
    for _ in 0..5 {
        let t = Instant::now();
        let y = f();
        let fwd = t.elapsed().as_secs_f32();
        if train {
            let s = y.sum();
            let t2 = Instant::now();
            let g = s.backward();
            std::hint::black_box(&g);
            best = (best.0.min(fwd), best.1.min(t2.elapsed().as_secs_f32()));
        } else {
            best = (best.0.min(fwd), 0.0);
        }
    }
    println!("{name:20} train {train} fwd {:.1} ms bwd {:.1} ms", best.0 * 1e3, best.1 * 1e3);
}
fn main() {
    let (t, f, c) = (258, 256, 16);
    for train in [false, true] {
        let device = if train { Device::flex().autodiff() } else { Device::flex() };
        let r = |c: usize| {
            let x = Tensor::<4>::random([1, t, f, c], Distribution::Normal(0.0, 1.0), &device);
            if train { x.require_grad() } else { x }
        };
        let (x, x3, x2) = (r(c), r(3 * c), r(2 * c));
        let ln = LayerNormConfig::new(c).init(&device);
        let l = |a, b| LinearConfig::new(a, b).init(&device);
        let (q, p, e, k) = (l(c, 3 * c), l(c, c), l(c, 2 * c), l(2 * c, c));
        time("ln", train, || ln.forward(x.clone()));
        time("qkv", train, || q.forward(x.clone()));
        time("proj", train, || p.forward(x.clone()));
        time("expand", train, || e.forward(x.clone()));
        time("contract", train, || k.forward(x2.clone()));
        time("gelu 2c", train, || gelu(x2.clone()));
        time("relu 2c", train, || burn::tensor::activation::relu(x2.clone()));
        time("add", train, || x.clone() + x.clone());
        let bias = Tensor::<2>::zeros([4, 15 * 15], &device);
        for (n, s, b) in [
            ("time", Sequences::Time, None),
            ("freq", Sequences::Frequency, None),
            ("window", Sequences::Window { size: [8, 8], shift: [0, 0] }, Some(bias)),
        ] {
            let o = Attention { sequences: s, heads: 4, rotary: b.is_none(), chunk: None };
            time(n, train, || attention(x3.clone(), b.clone(), &o));
        }
    }
}
