//! Code that the autodiff bindings of the operations share.

/// The implementation of every backward operation on the autodiff backend.
///
/// # Panics
/// Always: a backward pass runs on the backend below autodiff, so only a second-order gradient could call this.
pub(crate) fn second_order<T>() -> T {
    unreachable!("unbraid-ops provides first-order gradients only")
}
