//! What a sum adds.

/// What a sum adds of every element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Summand {
    /// The value.
    Value,
    /// The absolute value. Its derivative at 0 is 0.
    Magnitude,
    /// The square.
    Square,
}
