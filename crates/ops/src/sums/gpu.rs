//! Sums on wgpu: the specialisations of their kernels and their dispatch. `shaders/sums/` has the formulas.

use super::summand::Summand;
use crate::precision::Precision;
use crate::runtime::kernel::Kernel;
use crate::runtime::launch::{GpuArray, dispatch, spread};

/// The passes of sums, one shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SumPass {
    /// Sums over segments of rows.
    Rows(Summand),
    /// Sums over the first axis of partial sums, with this number of columns per workgroup.
    Parts(u32),
}

/// A specialised kernel of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SumKernel {
    /// The pass, which selects the shader.
    pub pass: SumPass,
}

/// Elements of a workgroup: `SEGMENT` in `shaders/sums/rows.wgsl`.
const SEGMENT: usize = 4096;

impl Kernel for SumKernel {
    fn file(&self) -> &'static str {
        match self.pass {
            SumPass::Rows(_) => "sums/rows.wgsl",
            SumPass::Parts(_) => "sums/parts.wgsl",
        }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        match self.pass {
            SumPass::Rows(Summand::Value) => vec![("SUMMAND", 0)],
            SumPass::Rows(Summand::Magnitude) => vec![("SUMMAND", 1)],
            SumPass::Rows(Summand::Square) => vec![("SUMMAND", 2)],
            SumPass::Parts(columns) => vec![("COLUMNS", columns)],
        }
    }

    fn precision(&self) -> Precision {
        Precision::F32
    }

    fn workgroup(&self) -> u32 {
        256
    }

    fn bindings(&self) -> usize {
        match self.pass {
            SumPass::Rows(_) => 3,
            SumPass::Parts(_) => 4,
        }
    }
}

/// The sum over each row of `x [rows, n]`: `[rows]`.
pub(crate) fn sum_rows(x: &GpuArray, summand: Summand) -> GpuArray {
    let [rows, mut n] = x.shape().dims();
    let mut pass = SumPass::Rows(summand);
    let mut x = x.clone();
    loop {
        // At least one segment, so that an empty row has a sum.
        let segments = n.div_ceil(SEGMENT).max(1);
        let shape = if segments == 1 { vec![rows] } else { vec![rows, segments] };
        let sums = x.empty_like(shape, Precision::F32);
        if rows > 0 {
            let parameters = [n, segments, rows * segments].map(|value| value as u32);
            dispatch(SumKernel { pass }, spread(rows * segments), &[&x, &sums], &parameters);
        }
        if segments == 1 {
            return sums;
        }
        (x, n, pass) = (sums, segments, SumPass::Rows(Summand::Value));
    }
}

/// The sums over the first axis of `partial_sums [parts, ..]`.
pub(crate) fn sum_parts(partial_sums: &GpuArray) -> GpuArray {
    let shape: Vec<usize> = partial_sums.shape().iter().skip(1).copied().collect();
    let sums = partial_sums.empty_like(shape, Precision::F32);
    let unused = partial_sums.empty_like([1], Precision::F32);
    dispatch_parts(partial_sums, [&sums, &unused]);
    sums
}

/// The sums over the first axis of `partial_sums [parts, m]`, split into two arrays of `lengths` elements, which add up
/// to m.
pub(crate) fn sum_parts_of_two(partial_sums: &GpuArray, lengths: [usize; 2]) -> [GpuArray; 2] {
    let [first, second] = lengths.map(|length| partial_sums.empty_like([length], Precision::F32));
    dispatch_parts(partial_sums, [&first, &second]);
    [first, second]
}

/// Sums over the first axis. The first array takes as many columns as it has elements, and the second takes the others.
fn dispatch_parts(partial_sums: &GpuArray, [first, second]: [&GpuArray; 2]) {
    let parts = partial_sums.shape()[0];
    let columns = partial_sums.shape().iter().skip(1).product::<usize>();
    // Few columns are spread over more invocations.
    let columns_of_group = if columns < 2048 { 8 } else { 32 };
    let kernel = SumKernel { pass: SumPass::Parts(columns_of_group) };
    let parameters = [parts, columns, first.shape().num_elements()].map(|value| value as u32);
    let workgroups = spread(columns.div_ceil(columns_of_group as usize));
    dispatch(kernel, workgroups, &[partial_sums, first, second], &parameters);
}
