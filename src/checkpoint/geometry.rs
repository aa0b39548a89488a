//! Computes the geometry of a strided view: if it is inside its storage, and how it is laid out.
//!
//! Sizes, strides and offsets are in units of one element. All arithmetic is checked, because all values come from the
//! file.

/// Returns the number of elements, or `None` on overflow.
pub(super) fn elements(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size))
}

/// Returns the distance from the first element to one past the last in memory, or `None` on overflow.
pub(super) fn extent(shape: &[u64], strides: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().zip(strides).try_fold(1_u64, |extent, (&size, &stride)| {
        size.checked_sub(1)?.checked_mul(stride)?.checked_add(extent)
    })
}

/// Returns `true` if the elements are in row-major order without gaps.
pub(crate) fn is_contiguous(shape: &[u64], strides: &[u64]) -> bool {
    if shape.contains(&0) {
        return true;
    }
    let mut expected = 1_u64;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size != 1 && stride != expected {
            return false;
        }
        expected = expected.saturating_mul(size);
    }
    true
}

/// Returns `true` if the view can be viewed as one dimension without a copy, as `view(-1)` requires.
pub(super) fn is_flat(shape: &[u64], strides: &[u64]) -> bool {
    let mut inner: Option<(u64, u64)> = None;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size == 1 {
            continue;
        }
        if let Some((inner_size, inner_stride)) = inner
            && inner_size.checked_mul(inner_stride) != Some(stride)
        {
            return false;
        }
        // Merged dimensions have one stride, that of the innermost one.
        inner = Some(match inner {
            Some((inner_size, inner_stride)) => (inner_size.saturating_mul(size), inner_stride),
            None => (size, stride),
        });
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_and_overflow() {
        assert_eq!(extent(&[2, 3], &[3, 1]), Some(6));
        assert_eq!(extent(&[], &[]), Some(1));
        assert_eq!(extent(&[0, 3], &[u64::MAX, 1]), Some(0));
        assert_eq!(extent(&[5], &[0]), Some(1));
        assert_eq!(extent(&[3], &[u64::MAX]), None);
        assert_eq!(elements(&[u64::MAX, 2]), None);
        assert_eq!(elements(&[u64::MAX, 2, 0]), Some(0));
    }

    #[test]
    fn contiguity_as_torch_has_it() {
        assert!(is_contiguous(&[2, 3], &[3, 1]));
        assert!(is_contiguous(&[2, 1, 3], &[3, 99, 1]));
        assert!(!is_contiguous(&[2, 3], &[1, 2]));
        assert!(is_contiguous(&[0, 3], &[7, 7]));
        assert!(!is_contiguous(&[2], &[0]));
    }

    #[test]
    fn flat_views_as_torch_has_them() {
        assert!(is_flat(&[2, 3], &[3, 1]));
        assert!(is_flat(&[3], &[2]));
        assert!(is_flat(&[2, 3], &[6, 2]));
        assert!(is_flat(&[5, 4], &[0, 0]));
        assert!(!is_flat(&[3, 2], &[1, 3]));
        assert!(!is_flat(&[2, 2], &[3, 1]));
    }
}
