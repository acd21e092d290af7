//! Parses and validates every shader without a GPU: as a file, and in every specialisation of the cases and standard networks.
//! Checks each against WebGPU's default limits and the bindings of the Rust code.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;

use conformance::cases::{self, Case};
use naga::front::wgsl;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess, TypeInner};
use unbraid_model::family::tfswa::{Positional, TfswaConfig};
use unbraid_model::{ModelConfig, STANDARD_NETWORKS};
use unbraid_ops::kernel::{self, Kernel};
use unbraid_ops::{
    Access, Attention, AttentionKernel, LinearKernel, LinearPass, MAX_HEAD_WIDTH, PackKernel, Pass,
    Precision, Sequences, StftKernel, StftPass, SumKernel, SumPass, Summand, TokenKernel, TokenPass, Width,
};

/// WebGPU's default limits.
const MAX_WORKGROUP_BYTES: u32 = 16_384;
const MAX_INVOCATIONS: u32 = 256;
const MAX_STORAGE_BUFFERS: usize = 8;

fn validated(name: &str, source: &str) -> (Module, ModuleInfo) {
    let module =
        wgsl::parse_str(source).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16);
    let info = validator
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    (module, info)
}

#[test]
fn every_file_parses_and_validates() {
    for (path, _) in kernel::FILES {
        let (module, _) = validated(path, &kernel::with_imports(path));
        let entry_points = usize::from(!path.starts_with("common/"));
        assert_eq!(module.entry_points.len(), entry_points, "{path}");
    }
}

#[test]
fn every_file_of_the_folder_is_known() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shaders");
    let mut found = Vec::new();
    for part in std::fs::read_dir(folder).unwrap() {
        let part = part.unwrap();
        for file in std::fs::read_dir(part.path()).unwrap() {
            let names = [part.file_name(), file.unwrap().file_name()];
            found.push(names.map(|name| name.into_string().unwrap()).join("/"));
        }
    }
    found.sort();
    assert_eq!(found, kernel::FILES.iter().map(|(path, _)| (*path).to_owned()).collect::<Vec<_>>());
}

#[test]
fn every_specialisation_fits_webgpus_defaults_and_its_bindings() {
    let kernels = attention_kernels();
    let transforms = stft_kernels();
    assert!(kernels.len() > 100 && transforms.len() > 40, "{} and {}", kernels.len(), transforms.len());
    for kernel in kernels {
        assert_fits(&kernel);
    }
    for kernel in transforms {
        assert_fits(&kernel);
    }
    for kernel in token_kernels() {
        assert_fits(&kernel);
    }
    for kernel in linear_kernels() {
        assert_fits(&kernel);
    }
    assert_fits(&PackKernel);
    for kernel in sum_kernels() {
        assert_fits(&kernel);
    }
}

#[test]
fn attention_tiles_are_multiples_of_four_for_every_head_width() {
    let options = Attention { sequences: Sequences::Time, heads: 1, rotary: false, chunk: None };
    for kernel in (1..=MAX_HEAD_WIDTH).flat_map(|width| passes(&options, width, Precision::F32)) {
        let (_, tile) = kernel.constants().into_iter().find(|(name, _)| *name == "TILE").unwrap();
        assert!(tile > 0 && tile % 4 == 0, "{kernel:?}: {tile}");
    }
}

fn assert_fits(kernel: &impl Kernel) {
    let name = format!("{kernel:?}");
    let (module, info) = validated(&name, &kernel::source(kernel));

    let [entry] = &module.entry_points[..] else { panic!("{name}: not one entry point") };
    assert_eq!((entry.name.as_str(), entry.stage), ("main", ShaderStage::Compute), "{name}");
    assert_eq!(entry.workgroup_size, [kernel.workgroup(), 1, 1], "{name}");
    assert!(kernel.workgroup() <= MAX_INVOCATIONS, "{name}");

    let mut bindings = Vec::new();
    let mut workgroup_bytes = 0;
    for (handle, variable) in module.global_variables.iter() {
        match variable.space {
            AddressSpace::Storage { access } => {
                let binding = variable.binding.unwrap();
                assert_eq!(binding.group, 0, "{name}");
                // burn binds every buffer except the parameters for reading and writing.
                let read_only = variable.name.as_deref() == Some("parameters");
                let expected =
                    if read_only { StorageAccess::LOAD } else { StorageAccess::LOAD | StorageAccess::STORE };
                assert_eq!(access, expected, "{name}");
                assert!(!info.get_entry_point(0)[handle].is_empty(), "{name}: {:?} is unused", variable.name);
                let TypeInner::Array { base, .. } = module.types[variable.ty].inner else {
                    panic!("{name}: {:?} is no array", variable.name)
                };
                bindings.push((binding.binding, variable.name.clone().unwrap(), scalar_bytes(&module, base)));
            }
            AddressSpace::WorkGroup => {
                workgroup_bytes += module.types[variable.ty].inner.size(module.to_ctx());
            }
            _ => {}
        }
    }
    bindings.sort();
    let numbers: Vec<usize> = bindings.iter().map(|(number, ..)| *number as usize).collect();
    assert_eq!(numbers, (0..kernel.bindings()).collect::<Vec<_>>(), "{name}");
    assert!(bindings.len() <= MAX_STORAGE_BUFFERS, "{name}");
    assert_eq!(bindings.last().map(|(_, name, _)| name.as_str()), Some("parameters"), "{name}");
    assert!(workgroup_bytes <= MAX_WORKGROUP_BYTES, "{name}: {workgroup_bytes} bytes of workgroup memory");

    let element_bytes = if kernel.precision() == Precision::F16 { 2 } else { 4 };
    for (_, array, bytes) in bindings {
        let activations = [
            "qkv",
            "output",
            "gradient",
            "qkv_gradient",
            "waveform",
            "spectrogram",
            "x",
            "x_gradient",
            "y",
            "residual",
        ];
        let expected = if activations.contains(&array.as_str()) { element_bytes } else { 4 };
        assert_eq!(bytes, expected, "{name}: {array}");
    }
}

/// Bytes of a scalar, or of the scalars of a vector or struct.
fn scalar_bytes(module: &Module, base: naga::Handle<naga::Type>) -> u8 {
    match module.types[base].inner {
        TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => scalar.width,
        TypeInner::Struct { ref members, .. } => scalar_bytes(module, members[0].ty),
        ref other => panic!("{other:?}"),
    }
}

/// All passes of an attention with heads of this width, for both workgroup sizes and one, two and four queries per
/// invocation.
fn passes(options: &Attention, width: usize, precision: Precision) -> Vec<AttentionKernel> {
    let mut passes = vec![Pass::Forward, Pass::BackwardQuery, Pass::BackwardKey];
    if options.bias_shape().is_some() {
        passes.push(Pass::BackwardBias);
    }
    let kernel = |pass, workgroup, own| AttentionKernel {
        pass,
        sequences: options.sequences,
        heads: options.heads as u32,
        head_width: width as u32,
        rotary: options.rotary,
        precision,
        workgroup,
        own,
    };
    let sizes = |pass| match pass {
        Pass::BackwardBias if width > 64 => [(64, 2)].as_slice(),
        Pass::BackwardBias => &[(64, 2), (64, 4)],
        _ => &[(32, 1), (64, 2), (64, 4)],
    };
    let kernels = |pass| sizes(pass).iter().map(move |&(workgroup, own)| kernel(pass, workgroup, own));
    passes.into_iter().flat_map(kernels).collect()
}

fn attention_kernels() -> Vec<AttentionKernel> {
    let mut kernels = Vec::new();
    for case in cases::all() {
        if let Case::Attention(case) = case {
            let options =
                Attention { sequences: case.sequences, heads: case.heads, rotary: case.rotary, chunk: None };
            kernels.extend(passes(&options, case.width, case.precision));
        }
    }
    for config in tfswa_networks() {
        let heads = config.num_heads;
        let [frames, bins] = config.window_size;
        let rotary = config.positional == Positional::Rotary;
        for (sequences, rotary) in [
            (Sequences::Time, rotary),
            (Sequences::Frequency, rotary),
            (Sequences::Window { size: [frames, bins], shift: [0, 0] }, false),
            (Sequences::Window { size: [frames, bins], shift: [frames / 2, bins / 2] }, false),
        ] {
            let options = Attention { sequences, heads, rotary, chunk: None };
            for channels in &config.dims {
                for precision in [Precision::F32, Precision::F16] {
                    kernels.extend(passes(&options, channels / heads, precision));
                }
            }
        }
    }
    kernels
}

fn stft_kernels() -> Vec<StftKernel> {
    let cases = cases::all().into_iter().filter_map(|case| match case {
        Case::Stft(case) => Some((case.n_fft, case.hop)),
        Case::Attention(_) | Case::Token(_) | Case::Linear(_) | Case::Sum(_) | Case::Pack(_) => None,
    });
    let mut kernels = Vec::new();
    for (n_fft, hop) in cases.chain(networks().map(|config| (config.n_fft, config.hop_length))) {
        for pass in [StftPass::Forward, StftPass::Inverse, StftPass::OverlapAdd] {
            for adjoint in [false, true] {
                for precision in [Precision::F32, Precision::F16] {
                    let (n_fft, hop) = (n_fft as u32, hop as u32);
                    kernels.push(StftKernel { pass, n_fft, hop, adjoint, precision });
                }
            }
        }
    }
    kernels
}

fn token_kernels() -> Vec<TokenKernel> {
    let cases = cases::all().into_iter().filter_map(|case| match case {
        Case::Token(case) => Some(case.channels),
        Case::Attention(_) | Case::Stft(_) | Case::Linear(_) | Case::Sum(_) | Case::Pack(_) => None,
    });
    let mut passes: Vec<TokenPass> = [Width::Four, Width::One]
        .into_iter()
        .flat_map(|width| [TokenPass::Gelu(width), TokenPass::GeluBackward(width)])
        .collect();
    for channels in cases.chain(tfswa_networks().flat_map(|config| config.dims)) {
        let channels = channels as u32;
        passes.extend([TokenPass::Norm(channels), TokenPass::NormBackward(channels)]);
    }
    let kernels = |precision| passes.iter().map(move |&pass| TokenKernel { pass, precision });
    kernels(Precision::F32).chain(kernels(Precision::F16)).collect()
}

fn sum_kernels() -> Vec<SumKernel> {
    let rows = [Summand::Value, Summand::Magnitude, Summand::Square].map(SumPass::Rows);
    let parts = [8, 32].map(SumPass::Parts);
    rows.into_iter().chain(parts).map(|pass| SumKernel { pass }).collect()
}

fn linear_kernels() -> Vec<LinearKernel> {
    let cases = cases::all().into_iter().filter_map(|case| match case {
        Case::Linear(case) => Some([case.extents.tokens, case.extents.inputs, case.extents.outputs]),
        Case::Attention(_) | Case::Stft(_) | Case::Token(_) | Case::Sum(_) | Case::Pack(_) => None,
    });
    let mut kernels = Vec::new();
    let maps = tfswa_networks()
        .flat_map(|config| config.dims)
        .flat_map(|c| [[c, c], [c, 3 * c], [c, 4 * c], [4 * c, c]])
        .flat_map(|[inputs, outputs]| [1024, 1000].map(|tokens| [tokens, inputs, outputs]));
    for extents in cases.chain(maps) {
        for pass in [
            LinearPass::Forward,
            LinearPass::ForwardAdd,
            LinearPass::InputGradient,
            LinearPass::ParameterGradients,
        ] {
            for precision in [Precision::F32, Precision::F16] {
                kernels.push(LinearKernel::new(pass, extents, precision));
            }
        }
    }
    let accesses: HashSet<Access> = kernels.iter().map(|kernel| kernel.access).collect();
    assert_eq!(accesses.len(), 3, "{accesses:?}");
    kernels
}

fn networks() -> impl Iterator<Item = ModelConfig> {
    STANDARD_NETWORKS.into_iter().map(|name| ModelConfig::standard(name).unwrap())
}

fn tfswa_networks() -> impl Iterator<Item = TfswaConfig> {
    networks().filter_map(|config| config.family.tfswa().cloned())
}
