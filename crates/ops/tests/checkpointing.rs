//! Gradient checkpointing on the CPU backend: the gradients do not depend on it or on the chunks.

use burn::module::{Module, Param, ParamId};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, activation::gelu};
use unbraid_ops::{CheckpointedOp, Piece, checkpointed, linear, linear_for_gradients};

/// Two functions of channels. The second keeps the number of channels. The first may change it.
#[derive(Module, Debug)]
struct Block {
    first: Linear,
    scale: Param<Tensor<1>>,
    second: Linear,
}

impl Block {
    fn new(inputs: usize, device: &Device) -> Self {
        Self {
            first: LinearConfig::new(inputs, 6).init(device),
            scale: Param::initialized(ParamId::new(), normal([6], device).require_grad()),
            second: LinearConfig::new(6, 6).init(device),
        }
    }

    fn first(&self, x: Tensor<4>) -> Tensor<4> {
        gelu(self.first.forward(x)) * self.scale.val().unsqueeze::<4>()
    }

    fn second(&self, x: Tensor<4>) -> Tensor<4> {
        x.clone() + gelu(self.second.forward(x))
    }

    fn ops(&self, chunk: usize) -> [CheckpointedOp<Self>; 2] {
        let chunks = |extent: usize| {
            (0..extent).step_by(chunk).map(|start| start..(start + chunk).min(extent)).collect()
        };
        [
            CheckpointedOp::chunked(1, chunks(5), Self::first),
            CheckpointedOp::chunked(2, chunks(7), Self::second),
        ]
    }
}

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data_as::<f32>().try_to_vec().expect("f32")
}

/// The output, and the gradients of the input and of all parameters.
fn results(
    block: &Block,
    x: &Tensor<4>,
    weights: &Tensor<4>,
    f: impl Fn(Tensor<4>) -> Tensor<4>,
) -> [Vec<f32>; 6] {
    let x = x.clone().inner().autodiff().require_grad();
    let y = f(x.clone());
    let gradients = (y.clone() * weights.clone()).sum().backward();
    let bias = |linear: &Linear| {
        values(linear.bias.as_ref().and_then(|bias| bias.grad(&gradients)).expect("a gradient"))
    };
    [
        values(y.inner()),
        values(x.grad(&gradients).expect("a gradient")),
        values(block.first.weight.grad(&gradients).expect("a gradient")),
        bias(&block.first),
        values(block.scale.grad(&gradients).expect("a gradient")),
        bias(&block.second),
    ]
}

fn assert_close(a: &[Vec<f32>], b: &[Vec<f32>], what: &str) {
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        let largest = a.iter().fold(0f32, |m, x| m.max(x.abs()));
        let error = a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(
            largest > 0.0 && error <= 1e-6 * largest * 8.0,
            "{what}, result {index}: {error} of {largest}"
        );
    }
}

#[test]
fn gradients_equal_those_without_checkpointing() {
    let device = Device::flex().autodiff();
    device.seed(1);
    for inputs in [6, 4] {
        let block = Block::new(inputs, &device);
        let (x, weights) = (normal([2, 5, 7, inputs], &device), normal([2, 5, 7, 6], &device));
        let plain = results(&block, &x, &weights, |x| block.second(block.first(x)));
        for chunk in [1, 2, 3, 9] {
            let ops = block.ops(chunk);
            let recomputed = results(&block, &x, &weights, |x| checkpointed(&block, x, &ops));
            assert_close(&plain, &recomputed, &format!("{inputs} inputs, chunk {chunk}"));
            let applied = results(&block, &x, &weights, |x| ops[1].apply(&block, ops[0].apply(&block, x)));
            assert_close(&plain, &applied, &format!("{inputs} inputs, chunk {chunk}, without checkpointing"));
            assert_eq!(plain[0], recomputed[0]);
        }
    }
}

/// The inputs of pieces may overlap, and the output may have a part that no piece writes.
#[test]
fn pieces_have_functions_of_their_own() {
    let device = Device::flex().autodiff();
    device.seed(5);
    let block = Block::new(6, &device);
    let (x, weights) = (normal([2, 5, 7, 6], &device), normal([2, 5, 9, 6], &device));
    let plain = results(&block, &x, &weights, |x| {
        let first = block.first(x.clone().narrow(2, 0, 4));
        let gap = Tensor::zeros([2, 5, 1, 6], &x.device());
        Tensor::cat(vec![first, gap, block.second(x.narrow(2, 3, 4))], 2)
    });
    let op = CheckpointedOp::pieces(
        [2, 5, 9, 6],
        vec![
            Piece::new([0..2, 0..5, 0..4, 0..6], [0..2, 0..5, 0..4, 0..6], Block::first),
            Piece::new([0..2, 0..5, 3..7, 0..6], [0..2, 0..5, 5..9, 0..6], Block::second),
        ],
    );
    let recomputed = results(&block, &x, &weights, |x| checkpointed(&block, x, std::slice::from_ref(&op)));
    assert_eq!(plain[0], recomputed[0]);
    assert_close(&plain, &recomputed, "pieces");
    let applied = results(&block, &x, &weights, |x| op.apply(&block, x));
    assert_close(&plain, &applied, "pieces without checkpointing");
}

#[test]
fn calls_can_be_nested() {
    let device = Device::flex().autodiff();
    device.seed(2);
    let block = Block::new(6, &device);
    let (x, weights) = (normal([1, 5, 7, 6], &device), normal([1, 5, 7, 6], &device));
    let plain = results(&block, &x, &weights, |x| block.second(block.first(x)));
    let nested = CheckpointedOp::whole(|block: &Block, x| checkpointed(block, x, &block.ops(2)));
    let nested = results(&block, &x, &weights, |x| checkpointed(&block, x, std::slice::from_ref(&nested)));
    assert_close(&plain, &nested, "nested");
}

/// A function that leaves its output undefined gives the right gradients, and is not used for the output.
#[test]
fn the_last_output_may_be_undefined_for_gradients() {
    type LastOp = fn(Tensor<4>, Tensor<2>, Tensor<1>) -> Tensor<4>;
    let device = Device::flex().autodiff();
    device.seed(4);
    let block = Block::new(6, &device);
    let (x, weights) = (normal([1, 5, 7, 6], &device), normal([1, 5, 7, 6], &device));
    let ending_in = |last: LastOp| {
        move |block: &Block, x: Tensor<4>| {
            let hidden = block.first(x.clone());
            let bias = block.second.bias.as_ref().map(Param::val).expect("a bias");
            x + last(hidden, block.second.weight.val(), bias)
        }
    };
    let plain = results(&block, &x, &weights, |x| ending_in(linear)(&block, x));
    let undefined = ending_in(linear_for_gradients)(&block, x.clone());
    assert_ne!(plain[0], values(undefined.inner()), "the output was computed");
    let chunks = || vec![0..3, 3..5];
    for op in
        [CheckpointedOp::whole(ending_in(linear)), CheckpointedOp::chunked(1, chunks(), ending_in(linear))]
    {
        let op = op.for_gradients(ending_in(linear_for_gradients));
        let recomputed =
            results(&block, &x, &weights, |x| checkpointed(&block, x, std::slice::from_ref(&op)));
        assert_eq!(plain[0], recomputed[0]);
        assert_close(&plain, &recomputed, "undefined output");
    }
}

/// Parameters used in two places, an input without a gradient, and parameters without gradients.
#[test]
fn shared_and_frozen_parameters() {
    let device = Device::flex().autodiff();
    device.seed(3);
    let block = Block::new(6, &device);
    let x = normal([1, 5, 7, 6], &device);
    let gradient = |block: &Block, f: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        let gradients = f(x.clone()).square().sum().backward();
        block.second.weight.grad(&gradients).map(values)
    };
    let (block_a, block_b) = (block.clone(), block.clone());
    let plain = gradient(&block, &|x| block_a.second(block_a.second(x.clone())) + block_a.first(x)).unwrap();
    let once = |x| checkpointed(&block_b, x, &[CheckpointedOp::whole(Block::second)]);
    let first = |x| checkpointed(&block_b, x, &[CheckpointedOp::whole(Block::first)]);
    let shared = gradient(&block, &|x: Tensor<4>| once(once(x.clone())) + first(x)).unwrap();
    assert_close(&[plain], &[shared], "shared");

    let mut frozen = block.clone();
    frozen.second = frozen.second.no_grad();
    let tracked = normal([1, 5, 7, 6], &device).require_grad();
    let y = checkpointed(&frozen, tracked.clone(), &[CheckpointedOp::whole(Block::second)]);
    let gradients = y.sum().backward();
    assert!(tracked.grad(&gradients).is_some());
    assert!(frozen.second.weight.grad(&gradients).is_none());
}

#[test]
fn without_autodiff_the_chain_is_applied() {
    let block = Block::new(6, &Device::flex().autodiff()).valid();
    let device = Device::flex();
    let x = normal([1, 5, 7, 6], &device);
    let expected = values(block.second(block.first(x.clone())));
    assert_eq!(values(checkpointed(&block, x, &block.ops(2))), expected);
}
