//! quick first run
use burn::tensor::{Device, DeviceKind, DType};
fn main() {
    let filter = std::env::args().nth(2).unwrap_or_default();
    let (name, device) = if std::env::args().nth(1).as_deref() == Some("flex") { ("flex", Device::flex()) } else { ("wgpu", Device::wgpu(DeviceKind::Cpu)) };
    println!("f16 {}", device.supports_dtype(DType::F16));
    let start = std::time::Instant::now();
    let mut bad = 0;
    for case in conformance::cases::all() {
        if !case.name().contains(&filter) { continue; }
        let t = std::time::Instant::now();
        match pollster::block_on(case.run(&conformance::cases::Target{device: device.clone(), software: name == "wgpu"})) {
            Ok(checks) => for c in checks {
                if c.verdict != conformance::report::Verdict::Pass { bad += 1; }
                println!("{name} {:50} {:18} {:?} {:.1?} {:?} {} {:?}", case.name(), c.tensor, c.max_error, c.snr_db, c.bound, c.reason, c.verdict);
            },
            Err(e) => { bad += 1; println!("{} ERROR {e:?}", case.name()) }
        }
        println!("  {:?}", t.elapsed());
    }
    println!("total {:?} bad {bad}", start.elapsed());
}
