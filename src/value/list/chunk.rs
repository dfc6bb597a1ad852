//! The chunks of a large list, and how much goes into one.

use crate::value::packed::{Elem, Forward, Needle, Packed, PackedRef, WithBack};
use crate::value::tree::Item;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Elements of a list as one blob.
pub type Blob = Packed<WithBack>;
pub type BlobRef<'a> = PackedRef<'a, WithBack>;

/// What a listpack has around its entries; Redis' limits count it.
const LISTPACK_FRAME: usize = 7;
/// What Redis adds to an element's length when it asks whether it still fits a node of a quicklist.
const ENTRY_OVERHEAD: usize = 8;
/// A limit that counts elements still keeps to so many bytes.
const SAFE_BYTES: usize = 8192;
/// Shorter chunks are not worth compressing.
const MIN_COMPRESS: usize = 48;
/// Nor is a gain below this.
const MIN_GAIN: usize = 8;

/// Elements of this many bytes are kept by themselves even where a chunk would take them
/// (`DEBUG QUICKLIST-PACKED-THRESHOLD`).
const DEFAULT_PACKED_THRESHOLD: usize = 1 << 30;
static PACKED_THRESHOLD: AtomicUsize = AtomicUsize::new(DEFAULT_PACKED_THRESHOLD);

/// Sets the threshold of the whole process; 0 stands for the default.
pub fn set_packed_threshold(bytes: usize) {
    let bytes = if bytes == 0 {
        DEFAULT_PACKED_THRESHOLD
    } else {
        bytes
    };
    PACKED_THRESHOLD.store(bytes, Ordering::Relaxed);
}

/// `list-max-listpack-size`, decoded.
#[derive(Clone, Copy, Debug)]
pub enum Fit {
    Bytes(usize),
    Count(usize),
}

impl Fit {
    /// Negative sizes are byte limits from 4 KiB (-1) to 64 KiB (-5), others count elements.
    pub fn new(list_size: i64) -> Self {
        match list_size {
            0.. => Self::Count(usize::try_from(list_size).unwrap_or(usize::MAX).max(1)),
            -4..0 => Self::Bytes(2048 << -list_size),
            _ => Self::Bytes(65_536),
        }
    }

    fn holds(self, bytes: usize, count: usize) -> bool {
        match self {
            Self::Bytes(limit) => bytes <= limit,
            Self::Count(limit) => bytes <= SAFE_BYTES && count <= limit,
        }
    }

    /// Whether a text is too long for any chunk and is kept by itself.
    pub fn is_plain(self, len: usize) -> bool {
        let chunk = match self {
            Self::Bytes(limit) => limit,
            Self::Count(_) => SAFE_BYTES,
        };
        len > chunk || len >= PACKED_THRESHOLD.load(Ordering::Relaxed)
    }

    /// Whether a small list stays a single listpack with `texts` more elements of `len` bytes in all.
    #[inline]
    pub fn stays_small(self, blob: &Packed<Forward>, len: usize, texts: usize) -> bool {
        let (bytes, count) = (LISTPACK_FRAME.saturating_add(len), blob.len() + texts);
        self.holds(bytes.saturating_add(blob.listpack_bound()), count)
            || self.holds(bytes.saturating_add(blob.listpack_len()), count)
    }

    /// Whether a list of a single listpack stays one with `texts` more elements of `len` bytes in all.
    #[inline]
    pub fn stays_listpack(self, blob: &Blob, len: usize, texts: usize) -> bool {
        let bytes = (blob.byte_len() + LISTPACK_FRAME).saturating_add(len);
        self.holds(bytes, blob.len() + texts)
    }

    /// Whether a chunk of a quicklist takes one more element of `len` bytes.
    #[inline]
    pub fn has_room(self, blob: BlobRef, len: usize) -> bool {
        let bytes = blob.bytes().len() + LISTPACK_FRAME + ENTRY_OVERHEAD;
        self.holds(bytes.saturating_add(len), blob.len() + 1)
    }

    /// Whether a blob of this size is within the limit of a chunk.
    pub fn allows(self, bytes: usize, count: usize) -> bool {
        self.holds(bytes + LISTPACK_FRAME, count)
    }

    /// Whether two neighbouring chunks should become one of this size: only well below the limit, so
    /// that the next insertion does not part them again.
    pub fn should_merge(self, bytes: usize, count: usize) -> bool {
        self.holds(2 * (bytes + LISTPACK_FRAME), 2 * count)
    }

    /// Whether a quicklist of this one chunk becomes a listpack again. Where elements went away
    /// (`shrinking`) only from half of the limit on, so that it does not go to and fro.
    pub fn becomes_listpack(self, blob: &Blob, shrinking: bool) -> bool {
        let half = 1 + usize::from(shrinking);
        match self {
            Self::Bytes(limit) => blob.byte_len() + LISTPACK_FRAME <= limit / half,
            Self::Count(limit) => blob.len() <= limit / half,
        }
    }
}

/// One stretch of a list inside the tree. Its weight is the number of its elements.
#[derive(Clone, Debug)]
pub struct Chunk {
    node: Arc<Node>,
    count: u32,
}

#[derive(Clone, Debug)]
enum Node {
    Packed(Blob),
    /// LZF of a blob of `len` bytes.
    Compressed {
        lzf: Box<[u8]>,
        len: usize,
    },
    /// One element that is too long for a blob.
    Plain(Box<[u8]>),
}

impl Item for Chunk {
    type Key = ();
    const WEIGHTED: bool = true;

    fn key(&self) -> &() {
        &()
    }

    fn weight(&self) -> u64 {
        u64::from(self.count)
    }
}

/// A chunk opened for reading.
pub enum Opened<'a> {
    Packed(BlobRef<'a>),
    Inflated(Blob),
    Plain(&'a [u8]),
}

impl Opened<'_> {
    /// The blob of the chunk; `None` if it is one long element.
    pub fn blob(&self) -> Option<BlobRef<'_>> {
        match self {
            Opened::Packed(blob) => Some(*blob),
            Opened::Inflated(blob) => Some(blob.view()),
            Opened::Plain(_) => None,
        }
    }

    /// The element at `index`, which must be there.
    pub fn with<R>(&self, index: usize, f: impl FnOnce(Elem) -> R) -> Option<R> {
        match self {
            Opened::Plain(text) => Some(f(Elem::Str(text))),
            _ => self.blob().and_then(|blob| blob.get(index)).map(f),
        }
    }
}

impl Chunk {
    /// Takes a blob of at least one element.
    pub fn packed(mut blob: Blob) -> Self {
        debug_assert!(!blob.is_empty());
        blob.shrink();
        Self {
            count: blob.count(),
            node: Arc::new(Node::Packed(blob)),
        }
    }

    pub fn plain(text: &[u8]) -> Self {
        Self {
            count: 1,
            node: Arc::new(Node::Plain(text.into())),
        }
    }

    pub fn len(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub fn open(&self) -> Opened<'_> {
        match &*self.node {
            Node::Packed(blob) => Opened::Packed(blob.view()),
            Node::Compressed { .. } => Opened::Inflated(self.inflate()),
            Node::Plain(text) => Opened::Plain(text),
        }
    }

    fn inflate(&self) -> Blob {
        let Node::Compressed { lzf, len } = &*self.node else {
            return Blob::new();
        };
        let bytes =
            lzf::decompress(lzf, *len).expect("a chunk that was compressed here inflates again");
        Blob::from_vec(bytes, self.count)
    }

    /// The chunk's blob as our own, copied if a snapshot shares it; or the chunk back if it is plain.
    pub fn into_blob(self) -> Result<Blob, Chunk> {
        match &*self.node {
            Node::Plain(_) => Err(self),
            Node::Compressed { .. } => Ok(self.inflate()),
            Node::Packed(_) => match Arc::unwrap_or_clone(self.node) {
                Node::Packed(blob) => Ok(blob),
                Node::Compressed { .. } | Node::Plain(_) => Ok(Blob::new()),
            },
        }
    }

    /// Takes the blob out to change it; [`Chunk::put`] brings it back. `None` if the chunk is plain.
    pub fn take(&mut self) -> Option<Blob> {
        let inflated = match &*self.node {
            Node::Plain(_) => return None,
            Node::Compressed { .. } => Some(self.inflate()),
            Node::Packed(_) => None,
        };
        inflated.or_else(|| match Arc::make_mut(&mut self.node) {
            Node::Packed(blob) => Some(std::mem::take(blob)),
            Node::Compressed { .. } | Node::Plain(_) => None,
        })
    }

    /// Puts a changed blob back; an empty one gives the chunk no weight, and the tree drops it. A chunk
    /// that was compressed is compressed again.
    pub fn put(&mut self, blob: Blob) {
        let compress = matches!(&*self.node, Node::Compressed { .. });
        self.count = blob.count();
        match Arc::get_mut(&mut self.node) {
            Some(node) => *node = Node::Packed(blob),
            None => self.node = Arc::new(Node::Packed(blob)),
        }
        if compress {
            self.compress();
        }
    }

    /// Compresses the blob if that gains something.
    pub fn compress(&mut self) {
        let Node::Packed(blob) = &*self.node else {
            return;
        };
        let bytes = blob.bytes();
        if bytes.len() < MIN_COMPRESS {
            return;
        }
        if let Ok(lzf) = lzf::compress(bytes)
            && lzf.len() + MIN_GAIN <= bytes.len()
        {
            let len = bytes.len();
            self.node = Arc::new(Node::Compressed {
                lzf: lzf.into_boxed_slice(),
                len,
            });
        }
    }

    /// Whether the chunk is compressed now.
    pub fn is_compressed(&self) -> bool {
        matches!(&*self.node, Node::Compressed { .. })
    }

    /// Bytes of the blob, or none if the chunk cannot be merged with others.
    pub fn blob_len(&self) -> Option<usize> {
        match &*self.node {
            Node::Packed(blob) => Some(blob.byte_len()),
            Node::Compressed { len, .. } => Some(*len),
            Node::Plain(_) => None,
        }
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        let data = match &*self.node {
            Node::Packed(blob) => blob.capacity(),
            Node::Compressed { lzf, .. } => lzf.len(),
            Node::Plain(text) => text.len(),
        };
        // Two counts stand in front of the node.
        data + size_of::<Node>() + 2 * size_of::<usize>()
    }
}

/// Removes up to `limit` elements equal to `needle`, from the end if `back`; returns how many.
pub fn remove_matches(blob: &mut Blob, needle: &Needle, limit: usize, back: bool) -> usize {
    let view = blob.view();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = view.find_from(from, needle, 0) {
        found.push(at);
        from = view.next_offset(at);
        if !back && found.len() == limit {
            break;
        }
    }
    let excess = found.len().saturating_sub(limit);
    let found = &found[excess..];
    match found {
        [] => {}
        [at] => {
            let at = *at;
            blob.remove(at, 1);
        }
        _ => {
            let mut bytes = Vec::with_capacity(view.bytes().len());
            let mut from = 0;
            for &at in found {
                bytes.extend_from_slice(&view.bytes()[from..at]);
                from = view.next_offset(at);
            }
            bytes.extend_from_slice(&view.bytes()[from..]);
            let count = blob.count() - found.len() as u32;
            *blob = Blob::from_vec(bytes, count);
        }
    }
    found.len()
}
