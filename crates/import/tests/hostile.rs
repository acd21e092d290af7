//! Damaged and hostile files are refused with their reason, quickly, and in little memory.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{
    Floats, Pickle, archive, bs_roformer, entries, legacy, open, plain, recognise, settings, state_dict, yaml,
};
use peak_alloc::PeakAlloc;
use unbraid_import::{Checkpoint, Recognised, Settings};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory that a refusal may need. The buffers for the directory of an archive and for a pickle take most of it.
const MOST_MEMORY: usize = 2 << 20;

/// Memory that a refusal may need per byte of the file. A value of a pickle takes one byte at least.
const MEMORY_PER_BYTE: usize = 100;

/// Memory is measured for the whole process, so only one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time that a refusal may need.
const LONGEST: Duration = Duration::from_secs(2);

/// An archive whose pickle is `pickle`, with one storage of four floats.
fn with(pickle: Pickle) -> Vec<u8> {
    archive(&entries(pickle.end(), &[Floats::new("x", &[4])]))
}

/// An archive whose state dict has the one tensor `x`.
fn view(class: &str, key: &str, length: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let pickle = Pickle::new().raw(b"}").text("x").view((class, key, length), offset, shape, strides);
    with(pickle.raw(b"s"))
}

/// The object that `os.system("...")` would make.
fn system(pickle: Pickle) -> Pickle {
    pickle.global("os", "system").raw(b"(").text("touch /tmp/unbraid-was-here").raw(b"tR")
}

fn changed(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the bytes to change");
    let mut changed = bytes.to_vec();
    changed[at..at + to.len()].copy_from_slice(to);
    changed
}

/// Offset of the first record of an archive's directory.
fn directory(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|window| window == b"PK\x01\x02").expect("a directory")
}

fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

/// Files with their names and a part of the expected message.
fn files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = plain(&bs_roformer());
    let mut files = Vec::new();
    let mut add = |name, bytes, words| files.push((name, bytes, words));

    // Objects where tensors are expected.
    add("a call of os.system as the whole", with(system(Pickle::new())), "Python object of os.system");
    add(
        "a call of os.system as the state dict",
        with(system(Pickle::new().raw(b"}").text("state_dict")).raw(b"s")),
        "Python object of os.system at \"state_dict\"",
    );
    add(
        "a whole module",
        with(Pickle::new().global("models.bs_roformer", "BSRoformer").raw(b")\x81}b")),
        "models.bs_roformer.BSRoformer",
    );
    add("eval by protocol 0", with(Pickle::new().raw(b"(i__builtin__\neval\n")), "__builtin__.eval");
    add("no tensors", with(Pickle::new().raw(b"}").text("epoch").int(1).raw(b"s")), "\"epoch\" (a number)");
    add(
        "a dict within itself",
        with(Pickle::new().raw(b"}q\x00").text("model").raw(b"h\x00s")),
        "no tensors",
    );

    // Pickles that announce too much, or are out of order.
    add("a text of 4 GiB", with(Pickle::new().raw(b"X\xff\xff\xff\xff")), "announces 4294967295 bytes");
    add("bytes of 16 EiB", with(Pickle::new().raw(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff")), "announces");
    add("a number of 4 GiB", with(Pickle::new().raw(b"\x8b\xff\xff\xff\xff")), "announces 4294967295 bytes");
    add(
        "a bomb of nested lists",
        with(Pickle::new().raw(&[b']'; 100_000]).raw(&[b'a'; 99_999])),
        "a list of 1",
    );
    add("a bomb of marks", with(Pickle::new().raw(&[b'('; 100_000])), "takes a value");
    add("a key that was not kept", with(Pickle::new().raw(b"j\xff\xff\xff\x7f")), "did not keep");
    add("a key at the limit", with(Pickle::new().raw(b"Nr\xff\xff\xff\xff")), "holds None");
    add("an empty stack", with(Pickle::new().raw(b"0")), "takes a value");
    add("a group that did not begin", with(Pickle::new().raw(b"t")), "did not begin");
    add("an unknown operation", with(Pickle::new().raw(b"\xfe")), "unknown operation 0xfe");
    add("an odd dict", with(Pickle::new().raw(b"(NNNd")), "without a value");
    add("a later protocol", with(Pickle(vec![0x80, 9])), "protocol 9");
    let doubled = (0..40_u8).fold(Pickle::new().raw(b"}q\x00"), |pickle, n| {
        let pickle = pickle.raw(b"}q").raw(&[n + 1]).text("model").raw(&[b'h', n, b's']);
        pickle.text("state").raw(&[b'h', n, b's'])
    });
    add("a bomb of shared dicts", with(doubled), "no tensors");

    // Tensors beyond their storage.
    add(
        "a storage beyond the archive",
        view("FloatStorage", "0", 1 << 40, 0, &[4], &[1]),
        "its storage has 16",
    );
    add("a storage that overflows", view("FloatStorage", "0", i64::MAX, 0, &[4], &[1]), "its storage has 16");
    add("a view beyond the storage", view("FloatStorage", "0", 4, 2, &[4], &[1]), "beyond the 4 elements");
    add("a shape that overflows", view("FloatStorage", "0", 4, 0, &[i64::MAX, 4], &[1, 1]), "overflows");
    add("a repeated element", view("FloatStorage", "0", 4, 0, &[1 << 40], &[0]), "repeats elements");
    add("a negative stride", view("FloatStorage", "0", 4, 3, &[4], &[-1]), "is -1");
    add("a missing storage", view("FloatStorage", "7", 4, 0, &[4], &[1]), "lacks storage 7");
    add(
        "a storage of complex numbers",
        view("ComplexFloatStorage", "0", 2, 0, &[2], &[1]),
        "ComplexFloatStorage",
    );

    // Archives.
    add("an incomplete archive", good[..good.len() / 2].to_vec(), "incomplete download");
    let record = directory(&good);
    let huge = u32::MAX.to_le_bytes();
    add("an entry beyond the file", patched(good.clone(), record + 20, &[0xfe; 4]), "two lengths");
    let both: Vec<u8> = [0xfe; 8].to_vec();
    add("an entry of 4 GiB", patched(good.clone(), record + 20, &both), "ends beyond the file");
    add("an entry of a zip bomb", patched(good.clone(), record + 10, &[8, 0]), "is compressed");
    add("an encrypted entry", patched(good.clone(), record + 8, &[1, 0]), "is encrypted");
    add("an entry that starts beyond the file", patched(good.clone(), record + 42, &huge), "cannot be read");
    let mut twice = entries(Pickle::new().raw(b"}").end(), &[]);
    twice.push(("archive/data.pkl".into(), vec![b'.']));
    add("two entries of one name", archive(&twice), "two entries");
    // The second entry points at the first one's bytes.
    let mut same =
        archive(&[("archive/data.pkl".into(), vec![b'N'; 40]), ("archive/data/0".into(), vec![0; 40])]);
    let second = same.len() - 22 - (46 + 14);
    same = patched(same, second + 42, &0_u32.to_le_bytes());
    add("overlapping entries", same, "overlap");
    add("a path", archive(&[("../../etc/data.pkl".into(), vec![b'N'])]), "path");
    add("an absolute path", archive(&[("/archive/data.pkl".into(), vec![b'N'])]), "path");
    add("an archive without a pickle", archive(&[("archive/x".into(), vec![])]), "data.pkl");
    add(
        "TorchScript",
        archive(&[("m/data.pkl".into(), vec![b'N', b'.']), ("m/constants.pkl".into(), vec![])]),
        "TorchScript",
    );
    let big = entries(state_dict(Pickle::new(), &bs_roformer(), 0).end(), &bs_roformer());
    let big: Vec<_> = big
        .into_iter()
        .map(|(name, data)| if name.ends_with("byteorder") { (name, b"big".to_vec()) } else { (name, data) })
        .collect();
    add("another byte order", archive(&big), "big-endian");
    let mut fields = 0_u16.to_le_bytes().to_vec();
    fields.extend(huge);
    add("an archive of nothing", b"PK\x03\x04".to_vec(), "incomplete download");

    // The format before PyTorch 1.6.
    let old = legacy(&bs_roformer());
    add("an incomplete legacy file", old[..old.len() - 1].to_vec(), "ends beyond the file");
    add("a legacy file without its object", old[..40].to_vec(), "ends early");
    add(
        "a legacy file of another byte order",
        changed(&old, b"little_endian\x88", b"little_endian\x89"),
        "big-endian",
    );
    add(
        "a legacy file of another version",
        changed(&old, &1001_i64.to_le_bytes(), &[9; 8]),
        "unknown version",
    );

    // safetensors.
    let length = |length: u64| length.to_le_bytes().to_vec();
    add("a header of 16 EiB", [length(u64::MAX), b"{}".to_vec()].concat(), "a header of");
    add("a header beyond the file", [length(1 << 20), b"{}".to_vec()].concat(), "beyond the file");
    let header = br#"{"x":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}"#;
    add("tensors beyond the file", [length(header.len() as u64), header.to_vec()].concat(), "announces");
    let header =
        br#"{"x":{"dtype":"F32","shape":[0,4611686018427387904,4611686018427387904],"data_offsets":[0,0]}}"#;
    add("a shape of nothing", [length(header.len() as u64), header.to_vec()].concat(), "");

    // Other files.
    add("nothing", Vec::new(), "it is empty");
    add("a web page", b"\n<!DOCTYPE html><html>not found</html>".to_vec(), "web page");
    add("a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0".to_vec(), "Git LFS");
    add("a compressed file", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0], "gzip");
    add("a pickle", Pickle::new().raw(b"}").end(), "PyTorch did not write");
    add("noise", vec![0x55; 1000], "unknown");

    // Names that claim a large network, and values that are no numbers.
    let mut tensors = bs_roformer();
    tensors.push(Floats::new("layers.511.0.layers.0.0.norm.gamma", &[1]));
    tensors.push(Floats::new("layers.0.0.layers.511.0.norm.gamma", &[1]));
    tensors.push(Floats::new("mask_estimators.511.to_freqs.0.0.0.bias", &[1]));
    add("a claim of a large network", plain(&tensors), "describe a network of");
    let mut tensors = bs_roformer();
    tensors.push(Floats::new("layers.99999999999999999999.0.norm.gamma", &[1]));
    add("an index that overflows", plain(&tensors), "is unexpected");
    let nan = |value: f32| {
        let mut tensors = bs_roformer();
        tensors[4].values[3] = value;
        plain(&tensors)
    };
    add("NaN", nan(f32::NAN), "not finite");
    add("infinity", nan(f32::INFINITY), "not finite");
    let damaged = {
        let tensors = bs_roformer();
        let bytes = tensors[4].bytes();
        let mut wrong = bytes.clone();
        wrong[0] ^= 1;
        changed(&good, &bytes, &wrong)
    };
    add("a changed bit", damaged, "checksum");
    files
}

/// The whole import but the writing.
fn import(bytes: &[u8]) -> Result<(), String> {
    let whole = |bytes: &[u8]| {
        let recognised = recognise(bytes, false)?;
        recognised.parameters().keys().try_for_each(|ours| recognised.values(ours, false).map(drop))
    };
    whole(bytes).map_err(|error| error.to_string())
}

#[test]
fn hostile_files_are_refused_with_their_reason() {
    let _alone = alone();
    import(&plain(&bs_roformer())).expect("the good file is accepted");
    let files = files();
    assert!(files.len() > 20);
    for (name, bytes, words) in files {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let began = Instant::now();
        let outcome = import(&bytes);
        let (took, memory) = (began.elapsed(), MEMORY.peak_usage().saturating_sub(before));
        let error = outcome.expect_err(name);
        assert!(error.contains(words), "{name}: {error}");
        assert!(took < LONGEST, "{name}: {took:?}");
        assert!(memory < MOST_MEMORY + MEMORY_PER_BYTE * bytes.len(), "{name}: {memory} bytes");
    }
    assert!(!std::path::Path::new("/tmp/unbraid-was-here").exists(), "a file was executed");
}

#[test]
fn every_shortened_file_is_refused() {
    let _alone = alone();
    for file in [plain(&bs_roformer()), legacy(&bs_roformer())] {
        for length in (0..file.len()).step_by(97) {
            assert!(open(&file[..length]).is_err(), "{length} of {} bytes", file.len());
        }
    }
}

/// An object that is not needed does no harm, and is not executed.
#[test]
fn an_object_beside_the_tensors_is_left_out() {
    let _alone = alone();
    let tensors = bs_roformer();
    let pickle = state_dict(Pickle::new().raw(b"}").text("state_dict"), &tensors, 0).raw(b"s");
    let pickle = system(pickle.text("hyper_parameters")).raw(b"s");
    let bytes = archive(&entries(pickle.end(), &tensors));
    assert_eq!(open(&bytes).unwrap().others, ["hyper_parameters"]);
    import(&bytes).unwrap();
}

#[test]
fn an_object_in_the_place_of_a_tensor_is_named() {
    let _alone = alone();
    let mut tensors = bs_roformer();
    tensors.retain(|tensor| tensor.name != "final_norm.gamma");
    let pickle = system(state_dict(Pickle::new(), &tensors, 0).text("final_norm.gamma")).raw(b"s");
    let bytes = archive(&entries(pickle.end(), &tensors));
    // Without the tensor, the architecture is not clear.
    assert!(import(&bytes).is_err());
    let mut tensors = bs_roformer();
    tensors.retain(|tensor| tensor.name != "layers.0.0.layers.0.0.norm.gamma");
    let pickle = state_dict(Pickle::new(), &tensors, 0).text("layers.0.0.layers.0.0.norm.gamma");
    let bytes = archive(&entries(system(pickle).raw(b"s").end(), &tensors));
    let error = import(&bytes).unwrap_err();
    assert!(error.contains("layers.0.0.layers.0.0.norm.gamma is a Python object of os.system"), "{error}");
}

/// PyTorch can be told to write no valid checksums. Then none is compared.
#[test]
fn archives_without_checksums_are_read() {
    let _alone = alone();
    let bytes = plain(&bs_roformer());
    let mut without = bytes.clone();
    for at in 0..bytes.len() - 4 {
        match &bytes[at..at + 4] {
            b"PK\x01\x02" => without[at + 16..at + 20].fill(0),
            b"PK\x03\x04" => without[at + 14..at + 18].fill(0),
            _ => {}
        }
    }
    import(&without).unwrap();
}

#[test]
fn hostile_configurations_are_refused() {
    let _alone = alone();
    let mut aliases = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 0..8_u8 {
        let (old, new) = (char::from(b'a' + n), char::from(b'b' + n));
        aliases +=
            &format!("{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n");
    }
    for (text, words) in [
        (aliases, "values"),
        ("[".repeat(100), "deep"),
        ("[".repeat(5000), "limit"),
        ("a: &a [*a]".into(), "alias"),
        ("- 1".into(), "map of sections"),
        (String::new(), "empty"),
        ("a: [".into(), ""),
        ("a: 'x".into(), ""),
        ("x".repeat(2 << 20), "KiB"),
        ("\0\u{7}".into(), ""),
    ] {
        let error = Settings::parse(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let text = yaml(false).replace("dim: 8", "dim: !!python/object/apply:os.system ['true']");
    let checkpoint = open(&plain(&bs_roformer())).unwrap();
    let settings = Settings::parse(&text).unwrap();
    let error = Recognised::new(checkpoint, None, &settings, "small", true).unwrap_err().to_string();
    assert!(error.contains("`model.dim` is [\"true\"]"), "{error}");
}

#[test]
fn files_are_opened_by_path() {
    let _alone = alone();
    let folder = std::env::temp_dir();
    assert!(Checkpoint::open(&folder, true).unwrap_err().to_string().contains("folder"));
    assert!(Checkpoint::open(&folder.join("no/such.ckpt"), true).is_err());
    assert!(Settings::load(&folder.join("no/such.yaml")).is_err());
    drop(settings(true));
}
