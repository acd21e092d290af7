//! WGSL kernels: what specialises one, and how its source is put together.
//!
//! A shader file at rest is plain WGSL with one entry point, `main`. Shared functions are named by a first
//! line such as `// import common/sequences.wgsl`. Specialising replaces the value of module constants
//! (`const HEAD_WIDTH: u32 = 4u;`) and of `alias Element = f32;`, writes out the loops that a comment
//! `// unrolled` marks, and nothing else.

use std::{fmt::Debug, hash::Hash};

/// Storage type of a kernel's activations. Accumulation is f32 in every kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats; needs the adapter's `shader-f16`.
    F16,
}

/// One specialisation of a shader: at once the parameters of its source and the key of its cache entry.
///
/// Everything that changes the text must be a field of the implementing struct.
pub trait Kernel: Debug + Clone + Eq + Hash + Send + Sync + 'static {
    /// Path below `shaders/`.
    fn file(&self) -> &'static str;
    /// Values for the module constants of the file and of its imports.
    fn constants(&self) -> Vec<(&'static str, u32)>;
    /// Storage type, for files with `alias Element`.
    fn element(&self) -> Element;
    /// Invocations of a workgroup, all along x. Sets the constant `WORKGROUP`.
    fn workgroup(&self) -> u32;
    /// Storage buffers the kernel binds, parameters included.
    fn bindings(&self) -> usize;
}

macro_rules! wgsl {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../shaders/", $path)))
    };
}
/// The shader files, by path below `shaders/`. Those under `common/` are imports and have no entry point.
pub const FILES: &[(&str, &str)] = &[
    wgsl!("attention/backward_bias.wgsl"),
    wgsl!("attention/backward_key.wgsl"),
    wgsl!("attention/backward_query.wgsl"),
    wgsl!("attention/forward.wgsl"),
    wgsl!("common/fft.wgsl"),
    wgsl!("common/frames.wgsl"),
    wgsl!("common/gradients.wgsl"),
    wgsl!("common/heads.wgsl"),
    wgsl!("common/key_tile.wgsl"),
    wgsl!("common/normal.wgsl"),
    wgsl!("common/qkv_gradient.wgsl"),
    wgsl!("common/query_tile.wgsl"),
    wgsl!("common/rows.wgsl"),
    wgsl!("common/sequences.wgsl"),
    wgsl!("common/tile.wgsl"),
    wgsl!("common/token.wgsl"),
    wgsl!("linear/forward.wgsl"),
    wgsl!("linear/input_gradient.wgsl"),
    wgsl!("linear/parameter_gradients.wgsl"),
    wgsl!("stft/forward.wgsl"),
    wgsl!("stft/inverse.wgsl"),
    wgsl!("stft/overlap_add.wgsl"),
    wgsl!("tokens/gelu.wgsl"),
    wgsl!("tokens/gelu_backward.wgsl"),
    wgsl!("tokens/norm.wgsl"),
    wgsl!("tokens/norm_backward.wgsl"),
    wgsl!("tokens/norm_sums.wgsl"),
];

/// The complete WGSL text of a specialised kernel.
///
/// # Panics
/// On a bug only: an unknown file, import or constant.
pub fn source(kernel: &impl Kernel) -> String {
    let mut text = with_imports(kernel.file());
    let constants = kernel.constants();
    for (name, value) in constants.iter().copied().chain([("WORKGROUP", kernel.workgroup())]) {
        set_constant(&mut text, name, value);
    }
    let text = unrolled(&text, &constants);
    match kernel.element() {
        Element::F32 => text,
        Element::F16 => {
            format!("enable f16;\n{}", text.replace("alias Element = f32;", "alias Element = f16;"))
        }
    }
}

fn text_of(path: &str) -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == path);
    found.unwrap_or_else(|| panic!("no shader file {path}")).1
}

/// A file with all it imports put before it, each once.
pub fn with_imports(path: &'static str) -> String {
    fn visit(path: &'static str, seen: &mut Vec<&'static str>, text: &mut String) {
        if seen.contains(&path) {
            return;
        }
        seen.push(path);
        let file = text_of(path);
        for import in file.lines().filter_map(|line| line.strip_prefix("// import ")) {
            visit(import, seen, text);
        }
        text.push_str(file);
        text.push('\n');
    }
    let mut text = String::new();
    visit(path, &mut Vec::new(), &mut text);
    text
}

/// Loops of more turns stay loops: the longer a kernel, the longer a driver compiles it.
const MOST_UNROLLED: u32 = 8;

/// Loops `for (var i = 0u; i < COUNT; i++) { // unrolled` written out, their body once for each `const i`. Arrays of a
/// function that a variable indexes may stay memory, where constants leave the driver free to take registers.
fn unrolled(text: &str, constants: &[(&'static str, u32)]) -> String {
    let mut unrolled = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((indent, name, count)) = loop_to_unroll(line, constants) else {
            unrolled.push_str(line);
            unrolled.push('\n');
            continue;
        };
        let end = format!("{indent}}}");
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        let body = self::unrolled(&body.join("\n"), constants);
        for value in 0..count {
            unrolled.push_str(&format!("{indent}{{\n{indent}    const {name} = {value}u;\n{body}{end}\n"));
        }
    }
    unrolled
}

/// `(indentation, variable, turns)` of the loop that a line opens, if it is one to be unrolled.
fn loop_to_unroll<'a>(line: &'a str, constants: &[(&'static str, u32)]) -> Option<(&'a str, &'a str, u32)> {
    let (indent, head) = line.strip_suffix(" { // unrolled")?.split_once("for (var ")?;
    let (name, head) = head.split_once(" = 0u; ")?;
    let count = head.strip_prefix(name)?.strip_prefix(" < ")?.strip_suffix(&format!("; {name}++)"))?;
    let (_, count) = constants.iter().find(|(constant, _)| *constant == count)?;
    (*count <= MOST_UNROLLED).then_some((indent, name, *count))
}

fn set_constant(text: &mut String, name: &str, value: u32) {
    let declaration = format!("const {name}: u32 = ");
    let start = text.find(&declaration).unwrap_or_else(|| panic!("no constant {name} in the shader"));
    let value_start = start + declaration.len();
    let value_end = value_start + text[value_start..].find(';').expect("a constant ends with a semicolon");
    text.replace_range(value_start..value_end, &format!("{value}u"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_loops_are_written_out_where_they_are_short() {
        let text = "\
for (var a = 0u; a < FEW; a++) { // unrolled
    for (var b = 0u; b < MANY; b++) { // unrolled
        x[a] += b;
    }
    for (var c = 0u; c < FEW; c++) { // unrolled
        y[a][c] = 0;
    }
}
for (var d = 0u; d < FEW; d++) {
    z += d;
}
";
        let block = |a: u32| {
            format!(
                "\
{{
    const a = {a}u;
    for (var b = 0u; b < MANY; b++) {{ // unrolled
        x[a] += b;
    }}
    {{
        const c = 0u;
        y[a][c] = 0;
    }}
    {{
        const c = 1u;
        y[a][c] = 0;
    }}
}}
"
            )
        };
        let rest = "for (var d = 0u; d < FEW; d++) {\n    z += d;\n}\n";
        let constants = [("FEW", 2), ("MANY", MOST_UNROLLED + 1)];
        assert_eq!(unrolled(text, &constants), block(0) + &block(1) + rest);
    }
}
