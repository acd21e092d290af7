//! Recomputation on the CPU backend: gradients as without it, whatever the pieces.

use burn::module::{Module, Param, ParamId};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, activation::gelu};
use unbraid_ops::{Link, linear, linear_for_gradients, recompute};

/// Two maps over channels; the second keeps their number, the first need not.
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

    fn links(&self, chunk: usize) -> [Link<Self>; 2] {
        let pieces = |extent: usize| {
            (0..extent).step_by(chunk).map(|start| start..(start + chunk).min(extent)).collect()
        };
        [Link::pieces(1, pieces(5), Self::first), Link::pieces(2, pieces(7), Self::second)]
    }
}

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data_as::<f32>().try_to_vec().expect("f32")
}

/// Output, gradient of the input, and of all parameters.
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
        values(linear.bias.as_ref().and_then(|bias| bias.grad(&gradients)).expect("learns"))
    };
    [
        values(y.inner()),
        values(x.grad(&gradients).expect("learns")),
        values(block.first.weight.grad(&gradients).expect("learns")),
        bias(&block.first),
        values(block.scale.grad(&gradients).expect("learns")),
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
fn gradients_are_those_without() {
    let device = Device::flex().autodiff();
    device.seed(1);
    for inputs in [6, 4] {
        let block = Block::new(inputs, &device);
        let (x, weights) = (normal([2, 5, 7, inputs], &device), normal([2, 5, 7, 6], &device));
        let plain = results(&block, &x, &weights, |x| block.second(block.first(x)));
        for chunk in [1, 2, 3, 9] {
            let links = block.links(chunk);
            let chained = results(&block, &x, &weights, |x| recompute(&block, x, &links));
            assert_close(&plain, &chained, &format!("{inputs} inputs, chunk {chunk}"));
            let taped = results(&block, &x, &weights, |x| links[1].apply(&block, links[0].apply(&block, x)));
            assert_close(&plain, &taped, &format!("{inputs} inputs, chunk {chunk}, on the tape"));
            assert_eq!(plain[0], chained[0]);
        }
    }
}

#[test]
fn what_is_recomputed_may_recompute() {
    let device = Device::flex().autodiff();
    device.seed(2);
    let block = Block::new(6, &device);
    let (x, weights) = (normal([1, 5, 7, 6], &device), normal([1, 5, 7, 6], &device));
    let plain = results(&block, &x, &weights, |x| block.second(block.first(x)));
    let nested = Link::whole(|block: &Block, x| recompute(block, x, &block.links(2)));
    let nested = results(&block, &x, &weights, |x| recompute(&block, x, std::slice::from_ref(&nested)));
    assert_close(&plain, &nested, "nested");
}

/// A map without values at its end gives the gradients of the map, and is not what goes forward.
#[test]
fn gradients_need_no_values_at_the_end() {
    type Map = fn(Tensor<4>, Tensor<2>, Tensor<1>) -> Tensor<4>;
    let device = Device::flex().autodiff();
    device.seed(4);
    let block = Block::new(6, &device);
    let (x, weights) = (normal([1, 5, 7, 6], &device), normal([1, 5, 7, 6], &device));
    let ending_in = |last: Map| {
        move |block: &Block, x: Tensor<4>| {
            let hidden = block.first(x.clone());
            let bias = block.second.bias.as_ref().map(Param::val).expect("made with one");
            x + last(hidden, block.second.weight.val(), bias)
        }
    };
    let plain = results(&block, &x, &weights, |x| ending_in(linear)(&block, x));
    let valueless = ending_in(linear_for_gradients)(&block, x.clone());
    assert_ne!(plain[0], values(valueless.inner()), "something was computed after all");
    let pieces = || vec![0..3, 3..5];
    for link in [Link::whole(ending_in(linear)), Link::pieces(1, pieces(), ending_in(linear))] {
        let link = link.for_gradients(ending_in(linear_for_gradients));
        let chained = results(&block, &x, &weights, |x| recompute(&block, x, std::slice::from_ref(&link)));
        assert_eq!(plain[0], chained[0]);
        assert_close(&plain, &chained, "without values");
    }
}

/// The same parameters in two places, an input that takes no gradient, and parameters that take none.
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
    let once = |x| recompute(&block_b, x, &[Link::whole(Block::second)]);
    let first = |x| recompute(&block_b, x, &[Link::whole(Block::first)]);
    let shared = gradient(&block, &|x: Tensor<4>| once(once(x.clone())) + first(x)).unwrap();
    assert_close(&[plain], &[shared], "shared");

    let mut frozen = block.clone();
    frozen.second = frozen.second.no_grad();
    let tracked = normal([1, 5, 7, 6], &device).require_grad();
    let y = recompute(&frozen, tracked.clone(), &[Link::whole(Block::second)]);
    let gradients = y.sum().backward();
    assert!(tracked.grad(&gradients).is_some());
    assert!(frozen.second.weight.grad(&gradients).is_none());
}

#[test]
fn without_autodiff_it_is_the_chain() {
    let block = Block::new(6, &Device::flex().autodiff()).valid();
    let device = Device::flex();
    let x = normal([1, 5, 7, 6], &device);
    let expected = values(block.second(block.first(x.clone())));
    assert_eq!(values(recompute(&block, x, &block.links(2))), expected);
}
