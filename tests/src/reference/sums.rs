//! Sums over the rows of a matrix, by definition.

/// What a sum adds of every element, and its derivative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summand {
    /// The value.
    Value,
    /// The absolute value. Its derivative at 0 is 0.
    Magnitude,
    /// The square.
    Square,
}

impl Summand {
    /// The summand at `x`.
    pub fn at(self, x: f64) -> f64 {
        match self {
            Self::Value => x,
            Self::Magnitude => x.abs(),
            Self::Square => x * x,
        }
    }

    /// The derivative of the summand at `x`.
    pub fn slope(self, x: f64) -> f64 {
        match self {
            Self::Value => 1.0,
            Self::Magnitude if x == 0.0 => 0.0,
            Self::Magnitude => x.signum(),
            Self::Square => 2.0 * x,
        }
    }
}
