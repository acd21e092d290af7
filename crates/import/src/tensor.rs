//! A tensor in a file, and its values.

use std::rc::Rc;

use crate::archive::Entry;
use crate::dtype::Dtype;
use crate::error::{ImportError, damaged};
use crate::pickle::View;
use crate::source::Source;

/// A tensor of a checkpoint. It is known to lie within the file.
#[derive(Debug, Clone)]
pub struct Tensor {
    source: Rc<Source>,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Elements from one index to the next, for every axis.
    strides: Vec<u64>,
    /// Byte of the file at which the first element lies.
    start: u64,
    /// Number of values.
    length: usize,
    /// Number of elements from the first to the last one in the file.
    span: u64,
    /// The checksum of these elements, if the file has one.
    crc: Option<u32>,
}

impl Tensor {
    /// The view of a storage whose elements lie in `stored`.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] if the view lies beyond the storage, or the storage beyond its elements.
    pub(crate) fn of_view(
        name: &str,
        view: &View,
        source: &Rc<Source>,
        stored: Entry,
    ) -> Result<Self, ImportError> {
        let storage = &view.storage;
        let bytes = storage.length.checked_mul(storage.dtype.bytes());
        if bytes.is_none_or(|bytes| bytes > stored.length) {
            return damaged(format!(
                "tensor {name} needs {} elements, and its storage has {} bytes",
                storage.length, stored.length
            ));
        }
        let first = storage.start.checked_add(view.offset);
        let layout = first.and_then(|first| Some((first, layout(&view.shape, &view.strides)?)));
        let Some((first, (length, span))) = layout else {
            return damaged(format!("the shape of tensor {name} overflows"));
        };
        if first.checked_add(span).is_none_or(|end| end > storage.length) {
            return damaged(format!(
                "tensor {name} lies beyond the {} elements of its storage",
                storage.length
            ));
        }
        if length > storage.length {
            return damaged(format!("tensor {name} repeats elements of its storage"));
        }
        let start = stored.offset + first * storage.dtype.bytes();
        let is_whole = start == stored.offset && span * storage.dtype.bytes() == stored.length;
        Ok(Self {
            source: Rc::clone(source),
            dtype: storage.dtype,
            shape: view.shape.iter().map(|size| *size as usize).collect(),
            strides: view.strides.clone(),
            start,
            length: length as usize,
            span,
            crc: stored.crc.filter(|_| is_whole),
        })
    }

    /// A tensor in row-major order from byte `start` of the file, where all of it is known to lie.
    pub(crate) fn contiguous(source: &Rc<Source>, dtype: Dtype, shape: Vec<usize>, start: u64) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = u64::saturating_mul(strides[axis], shape[axis] as u64);
        }
        let length = shape.iter().product::<usize>();
        let source = Rc::clone(source);
        Self { source, dtype, shape, strides, start, length, span: length as u64, crc: None }
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The values as f32, in row-major order. A value may be NaN or infinite.
    ///
    /// # Errors
    /// [`ImportError`] if the file cannot be read, or the bytes do not have the checksum in the file.
    pub fn values(&self) -> Result<Vec<f32>, ImportError> {
        let width = self.dtype.bytes();
        let bytes = self.source.read(self.start, self.span * width)?;
        if self.crc.is_some_and(|crc| crc != crc32fast::hash(&bytes)) {
            return damaged(format!(
                "the {} bytes from {} do not have their checksum",
                bytes.len(),
                self.start
            ));
        }
        let width = width as usize;
        let mut values = Vec::with_capacity(self.length);
        if self.span == self.length as u64 && self.is_row_major() {
            values.extend(bytes.chunks_exact(width).map(|element| self.dtype.to_f32(element)));
            return Ok(values);
        }
        let mut index = vec![0; self.shape.len()];
        let mut at = 0_u64;
        for _ in 0..self.length {
            let byte = at as usize * width;
            values.push(self.dtype.to_f32(&bytes[byte..byte + width]));
            for axis in (0..self.shape.len()).rev() {
                index[axis] += 1;
                // An axis of one element may have any stride.
                at = u64::wrapping_add(at, self.strides[axis]);
                if index[axis] < self.shape[axis] {
                    break;
                }
                at = at.wrapping_sub(self.strides[axis].wrapping_mul(self.shape[axis] as u64));
                index[axis] = 0;
            }
        }
        Ok(values)
    }

    fn is_row_major(&self) -> bool {
        let mut expected = 1_u64;
        self.shape.iter().zip(&self.strides).rev().all(|(size, stride)| {
            let fits = *size == 1 || *stride == expected;
            expected = expected.saturating_mul(*size as u64);
            fits
        })
    }
}

/// The number of values, and of elements from the first to the last one. `None` if they overflow.
fn layout(shape: &[u64], strides: &[u64]) -> Option<(u64, u64)> {
    let mut length = 1_u64;
    let mut last = 0_u64;
    for (size, stride) in shape.iter().zip(strides) {
        length = length.checked_mul(*size)?;
        last = last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)?;
    }
    Some((length, if length == 0 { 0 } else { last.checked_add(1)? }))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::pickle::Storage;

    fn view(offset: u64, shape: &[u64], strides: &[u64]) -> View {
        let storage = Storage { key: "0".into(), dtype: Dtype::F32, length: 6, start: 0 };
        View { storage: Rc::new(storage), offset, shape: shape.to_vec(), strides: strides.to_vec() }
    }

    fn values(offset: u64, shape: &[u64], strides: &[u64]) -> Result<Vec<f32>, String> {
        let mut bytes = vec![0; 8];
        bytes.extend((0_u8..6).flat_map(|n| f32::from(n).to_le_bytes()));
        let crc = Some(crc32fast::hash(&bytes[8..]));
        let source = Rc::new(Source::new(Box::new(Cursor::new(bytes))).expect("bytes in memory"));
        let stored = Entry { offset: 8, length: 24, crc };
        let tensor = Tensor::of_view("x", &view(offset, shape, strides), &source, stored);
        tensor.and_then(|tensor| tensor.values()).map_err(|error| error.to_string())
    }

    #[test]
    fn views_of_a_storage_are_read_in_row_major_order() {
        assert_eq!(values(0, &[2, 3], &[3, 1]), Ok(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(values(0, &[3, 2], &[1, 3]), Ok(vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        assert_eq!(values(1, &[2, 2], &[3, 1]), Ok(vec![1.0, 2.0, 4.0, 5.0]));
        assert_eq!(values(5, &[], &[]), Ok(vec![5.0]));
        assert_eq!(values(5, &[1, 1], &[77, 99]), Ok(vec![5.0]));
        assert_eq!(values(0, &[0, 3], &[3, 1]), Ok(vec![]));
        assert_eq!(values(1, &[3], &[2]), Ok(vec![1.0, 3.0, 5.0]));
    }

    #[test]
    fn views_beyond_the_storage_are_refused() {
        assert!(values(1, &[2, 3], &[3, 1]).is_err());
        assert!(values(6, &[1], &[1]).is_err());
        assert!(values(0, &[7], &[0]).is_err());
        assert!(values(0, &[1 << 40, 1 << 40], &[0, 0]).is_err());
        assert!(values(u64::MAX, &[2], &[1]).is_err());
        assert!(values(0, &[2], &[u64::MAX]).is_err());
    }
}
