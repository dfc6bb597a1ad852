//! Small sets of integers: sorted, distinct, all of one width of 2, 4 or 8 bytes.
//!
//! In memory there is only the payload, sorted little-endian integers; the owner keeps width and byte
//! length. [`IntSetRef`] reads borrowed bytes, [`IntSet`] owns and edits them. The width only grows, as
//! in Redis. Bytes from files come in through [`IntSet::from_redis_bytes`], which checks them.

/// Bytes of one integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Width {
    #[default]
    Two = 2,
    Four = 4,
    Eight = 8,
}

impl Width {
    /// The narrowest width that holds `n`.
    #[inline]
    pub fn of(n: i64) -> Self {
        if n == i64::from(n as i16) {
            Self::Two
        } else if n == i64::from(n as i32) {
            Self::Four
        } else {
            Self::Eight
        }
    }

    #[inline]
    pub fn bytes(self) -> usize {
        self as usize
    }

    fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }
}

/// Width and count, each 32 bits, stand before the payload in Redis' files.
const HEADER: usize = 8;

/// A borrowed set of integers.
#[derive(Clone, Copy, Debug)]
pub struct IntSetRef<'a> {
    bytes: &'a [u8],
    width: Width,
}

impl<'a> IntSetRef<'a> {
    /// Takes trusted payload bytes.
    #[inline]
    pub fn new(bytes: &'a [u8], width: Width) -> Self {
        debug_assert_eq!(bytes.len() % width.bytes(), 0);
        Self { bytes, width }
    }

    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub fn width(&self) -> Width {
        self.width
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.width.bytes()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The integer at position `index` in ascending order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| self.at(index))
    }

    #[inline]
    fn at(&self, index: usize) -> i64 {
        match self.width {
            Width::Two => i64::from(i16::from_le_bytes(self.read(index))),
            Width::Four => i64::from(i32::from_le_bytes(self.read(index))),
            Width::Eight => i64::from_le_bytes(self.read(index)),
        }
    }

    #[inline]
    fn read<const N: usize>(&self, index: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[index * N..index * N + N]);
        out
    }

    /// The position of `n`, or where it would have to stand.
    #[inline]
    pub fn search(&self, n: i64) -> Result<usize, usize> {
        let len = self.len();
        // Members often arrive in order: look at the end first.
        if len == 0 || n > self.at(len - 1) {
            return Err(len);
        }
        let (mut low, mut size) = (0, len);
        while size > 1 {
            let half = size / 2;
            low = if self.at(low + half) <= n {
                low + half
            } else {
                low
            };
            size -= half;
        }
        match self.at(low).cmp(&n) {
            std::cmp::Ordering::Equal => Ok(low),
            std::cmp::Ordering::Less => Err(low + 1),
            std::cmp::Ordering::Greater => Err(low),
        }
    }

    #[inline]
    pub fn contains(&self, n: i64) -> bool {
        Width::of(n) <= self.width && self.search(n).is_ok()
    }

    pub fn min(&self) -> Option<i64> {
        self.get(0)
    }

    pub fn max(&self) -> Option<i64> {
        self.get(self.len().checked_sub(1)?)
    }

    /// A member chosen by a random number.
    pub fn random(&self, random: u64) -> Option<i64> {
        let len = u64::try_from(self.len()).ok()?;
        self.get(random.checked_rem(len)? as usize)
    }

    /// All members in ascending order.
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + use<'a> {
        let set = *self;
        (0..set.len()).map(move |index| set.at(index))
    }

    /// The set as in Redis' files. `None` if it has too many members for that.
    pub fn to_redis_bytes(&self) -> Option<Vec<u8>> {
        let count = u32::try_from(self.len()).ok()?;
        let mut out = Vec::with_capacity(HEADER + self.bytes.len());
        out.extend_from_slice(&(self.width as u32).to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(self.bytes);
        Some(out)
    }
}

/// An owned set of integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntSet {
    bytes: Vec<u8>,
    width: Width,
}

impl IntSet {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes trusted payload bytes.
    pub fn from_vec(bytes: Vec<u8>, width: Width) -> Self {
        debug_assert_eq!(bytes.len() % width.bytes(), 0);
        Self { bytes, width }
    }

    /// Gives payload and width back.
    pub fn into_parts(self) -> (Vec<u8>, Width) {
        (self.bytes, self.width)
    }

    /// Replaces the content with a copy of `other`, keeping the allocation.
    pub fn assign(&mut self, other: IntSetRef) {
        self.bytes.clear();
        self.bytes.extend_from_slice(other.bytes);
        self.width = other.width;
    }

    #[inline]
    pub fn view(&self) -> IntSetRef<'_> {
        IntSetRef {
            bytes: &self.bytes,
            width: self.width,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub fn contains(&self, n: i64) -> bool {
        self.view().contains(n)
    }

    /// Adds `n`; returns whether it is new.
    pub fn insert(&mut self, n: i64) -> bool {
        let width = Width::of(n);
        if width > self.width {
            self.widen(width);
        }
        let Err(index) = self.view().search(n) else {
            return false;
        };
        let size = self.width.bytes();
        let (at, end) = (index * size, self.bytes.len());
        self.bytes.resize(end + size, 0);
        self.bytes.copy_within(at..end, at + size);
        self.bytes[at..at + size].copy_from_slice(&n.to_le_bytes()[..size]);
        true
    }

    fn widen(&mut self, width: Width) {
        let size = width.bytes();
        let mut bytes = Vec::with_capacity((self.len() + 1) * size);
        for n in self.view().iter() {
            bytes.extend_from_slice(&n.to_le_bytes()[..size]);
        }
        *self = Self { bytes, width };
    }

    /// Removes `n`; returns whether it was there.
    pub fn remove(&mut self, n: i64) -> bool {
        if Width::of(n) > self.width {
            return false;
        }
        let Ok(index) = self.view().search(n) else {
            return false;
        };
        let size = self.width.bytes();
        self.bytes.drain(index * size..(index + 1) * size);
        true
    }

    /// The set as in Redis' files. `None` if it has too many members for that.
    pub fn to_redis_bytes(&self) -> Option<Vec<u8>> {
        self.view().to_redis_bytes()
    }

    /// Takes in bytes of unknown origin: `None` unless lengths agree and members ascend strictly.
    pub fn from_redis_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, payload) = bytes.split_at_checked(HEADER)?;
        let field = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let width = Width::from_bytes(field(0))?;
        if (field(4) as usize).checked_mul(width.bytes()) != Some(payload.len()) {
            return None;
        }
        let view = IntSetRef {
            bytes: payload,
            width,
        };
        view.iter().is_sorted_by(|a, b| a < b).then(|| Self {
            bytes: payload.to_vec(),
            width,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn random(state: &mut u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        *state ^ *state >> 29
    }

    #[test]
    fn random_edits_match_a_btree_set() {
        for (seed, bits) in
            (1..60u64).map(|seed| (seed, [8, 14, 16, 30, 34, 64][seed as usize % 6]))
        {
            let mut state = seed;
            let (mut set, mut model) = (IntSet::new(), BTreeSet::new());
            for step in 0..400 {
                let bits = if step < 100 { bits.min(12) } else { bits };
                let n = random(&mut state) as i64 >> (64 - bits);
                match random(&mut state) % 5 {
                    0..=2 => assert_eq!(set.insert(n), model.insert(n)),
                    3 => assert_eq!(set.remove(n), model.remove(&n)),
                    _ => assert_eq!(set.contains(n), model.contains(&n)),
                }
                if step % 7 == 0 {
                    let any = model.range(n..).next().copied().unwrap_or(n);
                    assert_eq!(set.remove(any), model.remove(&any));
                }
                let view = set.view();
                assert!(view.iter().eq(model.iter().copied()));
                assert_eq!(
                    (view.min(), view.max()),
                    (model.first().copied(), model.last().copied())
                );
                assert_eq!(
                    view.random(n as u64).is_some_and(|r| model.contains(&r)),
                    !model.is_empty()
                );
                assert_eq!(view.get(model.len()), None);
            }
            let bytes = set.to_redis_bytes().unwrap();
            assert_eq!(IntSet::from_redis_bytes(&bytes), Some(set));
        }
    }

    #[test]
    fn widens_as_redis_does() {
        let mut set = IntSet::new();
        assert!(set.insert(5) && set.insert(-3) && !set.insert(5));
        assert_eq!(
            set.to_redis_bytes().unwrap(),
            [2, 0, 0, 0, 2, 0, 0, 0, 0xFD, 0xFF, 5, 0]
        );
        assert!(set.insert(32_768));
        assert_eq!(set.view().width(), Width::Four);
        assert!(set.insert(i64::MIN) && set.insert(i64::MAX));
        assert_eq!(set.view().width(), Width::Eight);
        assert!(set.remove(i64::MIN) && set.remove(i64::MAX) && !set.remove(i64::MAX));
        assert_eq!(set.view().width(), Width::Eight);
        assert!(set.view().iter().eq([-3, 5, 32_768]));
        assert!(!IntSet::from_vec(vec![1, 0], Width::Two).contains(65_537));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let good = [2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 5, 0];
        assert!(IntSet::from_redis_bytes(&good).is_some());
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            IntSet::from_redis_bytes(&bytes)
        };
        assert_eq!(with(0, 3), None);
        assert_eq!(with(0, 4), None);
        assert_eq!(with(4, 3), None);
        assert_eq!(with(7, 0xFF), None);
        assert_eq!(with(8, 5), None);
        assert_eq!(with(8, 6), None);
        for len in 0..good.len() {
            assert_eq!(IntSet::from_redis_bytes(&good[..len]), None);
        }
        let mut state = 3;
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..3 {
                let at = random(&mut state) as usize % bytes.len();
                bytes[at] = random(&mut state) as u8;
            }
            if let Some(set) = IntSet::from_redis_bytes(&bytes) {
                assert_eq!(set.view().iter().collect::<BTreeSet<_>>().len(), set.len());
            }
        }
    }
}
