//! The band-split RoFormers: transformers along time and along bands of frequencies, with rotary positions.
//!
//! BS-RoFormer (Lu et al., arXiv:2309.02612) divides the bins among bands. Mel-Band RoFormer (Wang et al.,
//! arXiv:2310.01809) uses overlapping bands of a mel scale. The networks compute what the implementations in
//! Music-Source-Separation-Training compute, so that weights of one are weights of the other.

mod bands;
mod block;
mod config;
mod count;
mod ends;
mod layers;
mod network;

pub use bands::Bands;
pub use config::RoformerConfig;
pub use network::Roformer;

#[cfg(test)]
mod tests;
