//! Counts of instructions in RADV's assembly.

/// Instructions of a part of a shader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Vector instructions (VALU). A dual one counts as one.
    pub(crate) vector: u32,
    /// Instructions on workgroup memory.
    pub(crate) workgroup: u32,
    /// Vector loads and stores of buffers.
    pub(crate) buffer: u32,
}

impl Counts {
    fn add(mut self, instruction: &str) -> Self {
        let any = |prefixes: &[&str]| prefixes.iter().any(|prefix| instruction.starts_with(prefix));
        self.vector += u32::from(any(&["v_"]));
        self.workgroup += u32::from(any(&["ds_"]));
        self.buffer += u32::from(any(&["buffer_", "global_", "flat_"]));
        self
    }
}

/// Counts over the whole shader.
pub(crate) fn whole(assembly: &str) -> Counts {
    blocks(assembly).iter().flat_map(|(_, instructions)| instructions).fold(Counts::default(), count)
}

/// Counts over the innermost loop with the most vector instructions. `None` if the shader has no loop.
pub(crate) fn longest_loop(assembly: &str) -> Option<Counts> {
    let blocks = blocks(assembly);
    // A branch to its own block or to one before it closes a loop.
    let closing = |last: usize| {
        let targets = blocks[last].1.iter().filter_map(|instruction| branch_target(instruction));
        let firsts =
            targets.filter_map(|target| blocks[..=last].iter().position(|(name, _)| *name == target));
        firsts.map(|first| (first, last)).collect::<Vec<_>>()
    };
    let loops: Vec<(usize, usize)> = (0..blocks.len()).flat_map(closing).collect();
    let innermost = |&&(first, last): &&(usize, usize)| {
        !loops.iter().any(|&inner| inner != (first, last) && first <= inner.0 && inner.1 <= last)
    };
    let counts = loops.iter().filter(innermost).map(|&(first, last)| {
        blocks[first..=last].iter().flat_map(|(_, instructions)| instructions).fold(Counts::default(), count)
    });
    counts.max_by_key(|counts| counts.vector)
}

fn count(counts: Counts, instruction: &&str) -> Counts {
    counts.add(instruction)
}

/// The labels of the basic blocks (`BB0:`), and their instructions without the machine words after `;`.
fn blocks(assembly: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in assembly.lines() {
        let code = line.split(';').next().unwrap_or_default().trim();
        if let Some(label) = code.strip_suffix(':') {
            blocks.push((label, Vec::new()));
        } else if let (Some((_, instructions)), false) = (blocks.last_mut(), code.is_empty()) {
            instructions.push(code);
        }
    }
    blocks
}

fn branch_target(instruction: &str) -> Option<&str> {
    let (operation, target) = instruction.split_once(char::is_whitespace)?;
    operation.contains("branch").then_some(target.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_innermost_loop_is_counted() {
        let assembly = "\
BB0:
	v_mov_b32_e32 v1, 0                 ; 7e020280
	buffer_load_b32 v1, v0, s[0:3], 0   ; e0500000
BB1:
	v_add_f32_e32 v1, v1, v1
BB2:
	ds_load_b128 v[2:5], v0
	v_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6
	v_fmac_f32_e32 v1, v2, v3
	s_cbranch_scc1 BB2
BB3:
	v_mul_f32_e32 v1, v1, v1
	s_cbranch_scc0 BB3
BB4:
	s_branch BB1
BB5:
	global_store_b32 v0, v1, s[0:1]
	s_endpgm
";
        let expected = Counts { vector: 2, workgroup: 1, buffer: 0 };
        assert_eq!(longest_loop(assembly), Some(expected));
        assert_eq!(whole(assembly), Counts { vector: 5, workgroup: 1, buffer: 2 });
        assert_eq!(longest_loop("BB0:\n\ts_cbranch_execz BB1\nBB1:\n\ts_endpgm\n"), None);
    }
}
