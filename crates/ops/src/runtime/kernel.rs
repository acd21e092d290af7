//! WGSL kernels: their specialisations and the assembly of their source.
//!
//! A shader file is valid WGSL with one entry point, `main`. A line such as `// import common/sequences.wgsl` names a
//! file whose source is inserted before it. Specialisation replaces the values of module constants
//! (`const HEAD_WIDTH: u32 = 4u;`) and of `alias Element = f32;`, can import another file in place of one, and unrolls
//! the loops that the comment `// unrolled` marks. It changes nothing else. WGSL's `override` does not suffice, because the size of an array in a function
//! cannot depend on it.

use std::{fmt::Debug, hash::Hash};

use crate::precision::Precision;

/// One specialisation of a shader. It determines the source and is the key of the kernel cache.
///
/// Everything that changes the source must be a field of the implementing struct.
pub trait Kernel: Debug + Clone + Eq + Hash + Send + Sync + 'static {
    /// Path below `shaders/`.
    fn file(&self) -> &'static str;
    /// Imports, each with the file of the same declarations that this specialisation imports in its place.
    fn replaced_imports(&self) -> &'static [[&'static str; 2]] {
        &[]
    }
    /// Values of the module constants of the file and its imports.
    fn constants(&self) -> Vec<(&'static str, u32)>;
    /// Storage type: the value of `alias Element`.
    fn precision(&self) -> Precision;
    /// Invocations of a workgroup, all along x: the value of the constant `WORKGROUP`.
    fn workgroup(&self) -> u32;
    /// Number of storage buffers that the kernel binds, parameters included.
    fn bindings(&self) -> usize;
}

macro_rules! wgsl {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../../shaders/", $path)))
    };
}
/// The paths below `shaders/` and the sources of the shader files. The files under `common/` are imports without an
/// entry point.
pub const FILES: &[(&str, &str)] = &[
    wgsl!("attention/backward_bias.wgsl"),
    wgsl!("attention/backward_key.wgsl"),
    wgsl!("attention/backward_query.wgsl"),
    wgsl!("attention/forward.wgsl"),
    wgsl!("common/affine.wgsl"),
    wgsl!("common/fft.wgsl"),
    wgsl!("common/frames.wgsl"),
    wgsl!("common/gradients.wgsl"),
    wgsl!("common/heads.wgsl"),
    wgsl!("common/key_tile.wgsl"),
    wgsl!("common/normal.wgsl"),
    wgsl!("common/qkv_gradient.wgsl"),
    wgsl!("common/query_tile.wgsl"),
    wgsl!("common/residual_scalars.wgsl"),
    wgsl!("common/residual_vectors.wgsl"),
    wgsl!("common/rows.wgsl"),
    wgsl!("common/scalars.wgsl"),
    wgsl!("common/sequences.wgsl"),
    wgsl!("common/tile.wgsl"),
    wgsl!("common/token.wgsl"),
    wgsl!("common/uniform_length.wgsl"),
    wgsl!("common/vectors.wgsl"),
    wgsl!("common/width_four.wgsl"),
    wgsl!("common/width_one.wgsl"),
    wgsl!("linear/forward.wgsl"),
    wgsl!("linear/forward_add.wgsl"),
    wgsl!("linear/input_gradient.wgsl"),
    wgsl!("linear/parameter_gradients.wgsl"),
    wgsl!("pack/six.wgsl"),
    wgsl!("stft/forward.wgsl"),
    wgsl!("stft/inverse.wgsl"),
    wgsl!("stft/overlap_add.wgsl"),
    wgsl!("sums/parts.wgsl"),
    wgsl!("sums/rows.wgsl"),
    wgsl!("tokens/gelu.wgsl"),
    wgsl!("tokens/gelu_backward.wgsl"),
    wgsl!("tokens/norm.wgsl"),
    wgsl!("tokens/norm_backward.wgsl"),
];

/// The complete WGSL source of a specialised kernel.
///
/// # Panics
/// If the kernel names an unknown file, import or constant, which is a bug.
pub fn source(kernel: &impl Kernel) -> String {
    let mut text = imported(kernel.file(), kernel.replaced_imports());
    let constants = kernel.constants();
    for (name, value) in constants.iter().copied().chain([("WORKGROUP", kernel.workgroup())]) {
        set_constant(&mut text, name, value);
    }
    let text = unrolled(&text, &constants);
    match kernel.precision() {
        Precision::F32 => text,
        Precision::F16 => {
            format!("enable f16;\n{}", text.replace("alias Element = f32;", "alias Element = f16;"))
        }
    }
}

fn text_of(path: &str) -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == path);
    found.unwrap_or_else(|| panic!("no shader file {path}")).1
}

/// The source of a file after the sources of all its imports, each included once.
///
/// # Panics
/// If the file or an import is unknown, which is a bug.
pub fn with_imports(path: &'static str) -> String {
    imported(path, &[])
}

/// [`with_imports`] with some imports replaced by other files.
fn imported(path: &'static str, replaced: &[[&'static str; 2]]) -> String {
    fn visit(
        path: &'static str,
        replaced: &[[&'static str; 2]],
        seen: &mut Vec<&'static str>,
        text: &mut String,
    ) {
        if seen.contains(&path) {
            return;
        }
        seen.push(path);
        let file = text_of(path);
        for import in file.lines().filter_map(|line| line.strip_prefix("// import ")) {
            let other = replaced.iter().find(|[name, _]| *name == import);
            visit(other.map_or(import, |[_, other]| other), replaced, seen, text);
        }
        text.push_str(file);
        text.push('\n');
    }
    let mut text = String::new();
    visit(path, replaced, &mut Vec::new(), &mut text);
    text
}

/// Loops with more iterations are not unrolled: drivers take longer to compile longer kernels.
const MAX_UNROLLED: u32 = 8;

/// Unrolls the loops `for (var i = 0u; i < COUNT; i++) { // unrolled`: the body is repeated with `const i` set to each
/// value. A driver can keep a function's array in registers if constants index it, but may not if a variable does.
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

/// `(indentation, variable, iterations)` of the loop that a line opens, if the loop is to be unrolled.
fn loop_to_unroll<'a>(line: &'a str, constants: &[(&'static str, u32)]) -> Option<(&'a str, &'a str, u32)> {
    let (indent, head) = line.strip_suffix(" { // unrolled")?.split_once("for (var ")?;
    let (name, head) = head.split_once(" = 0u; ")?;
    let count = head.strip_prefix(name)?.strip_prefix(" < ")?.strip_suffix(&format!("; {name}++)"))?;
    let (_, count) = constants.iter().find(|(constant, _)| *constant == count)?;
    (*count <= MAX_UNROLLED).then_some((indent, name, *count))
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
    fn short_marked_loops_are_unrolled() {
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
        let constants = [("FEW", 2), ("MANY", MAX_UNROLLED + 1)];
        assert_eq!(unrolled(text, &constants), block(0) + &block(1) + rest);
    }
}
