//! Between the two layouts: a blob with backlens is for work at both ends, one without them is a byte per
//! element smaller.

use super::{Elem, Forward, Packed, PackedRef, WithBack, codec};

impl Packed<WithBack> {
    /// A copy of `blob` with backlens.
    pub fn with_backlens(blob: PackedRef<Forward>) -> Self {
        let mut bytes = Vec::with_capacity(bound(blob));
        let mut rest = blob.bytes();
        while !rest.is_empty() {
            let len = codec::encoded_len(rest);
            bytes.extend_from_slice(&rest[..len]);
            let end = bytes.len();
            bytes.resize(end + codec::backlen_size(len), 0);
            codec::write_backlen(len, &mut bytes[end..]);
            rest = &rest[len..];
        }
        Packed::from_vec(bytes, blob.count)
    }

    /// Takes the backlens out, in place.
    pub fn without_backlens(self) -> Packed<Forward> {
        let (mut bytes, count) = self.into_parts();
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() {
            let len = codec::encoded_len(&bytes[from..]);
            // Files may hold sizes that differ from ours where one byte more or less would do.
            let back = codec::check_backlen(&bytes[from + len..], len);
            bytes.copy_within(from..from + len, to);
            from += len + back.unwrap_or_else(|| codec::backlen_size(len));
            to += len;
        }
        bytes.truncate(to);
        Packed::from_vec(bytes, count)
    }
}

/// What the blob would at most take with backlens: a second byte of one comes with 128 bytes of its element.
fn bound(blob: PackedRef<Forward>) -> usize {
    blob.bytes.len() + blob.len() + blob.bytes.len() / 64
}

impl Packed<Forward> {
    /// At least [`listpack_len`](Self::listpack_len), in O(1).
    #[inline]
    pub fn listpack_bound(&self) -> usize {
        bound(self.view())
    }

    /// The bytes that the elements take with backlens.
    pub fn listpack_len(&self) -> usize {
        let (mut rest, mut sum) = (self.bytes(), 0);
        while !rest.is_empty() {
            let len = codec::encoded_len(rest);
            sum += len + codec::backlen_size(len);
            rest = &rest[len..];
        }
        sum
    }

    /// Removes the last element after showing it to `f`. O(n): the blob is walked from its front.
    pub fn pop_back<R>(&mut self, f: impl FnOnce(Elem) -> R) -> Option<R> {
        let last = self.len().checked_sub(1)?;
        let offset = self.view().offset_of(last)?;
        let result = f(self.view().at(offset));
        self.remove(offset, 1);
        Some(result)
    }
}
