//! Taking a table apart, segment by segment: what a snapshot does while it is written to a file, and
//! how a large table is freed.

use super::Item;
use super::node::Node;

/// The memory of an item is asked for when the walk is so many items before it: more at a time the processor does not take.
const AHEAD: usize = 12;

/// The rest of a table. It holds one reference to each node on the stack, the next one on top.
///
/// A Dir that only the walk holds is replaced by its children and freed; one that is shared is
/// replaced by references to its children. So memory that the snapshot alone kept alive goes as soon
/// as it has been visited, and the owner finds its nodes unshared again. The stack is at most
/// 64 nodes a level.
pub struct Walk<T: Item> {
    stack: Vec<Node<T>>,
}

// As with Table: a walk is a set of counted references.
unsafe impl<T: Item + Send + Sync> Send for Walk<T> {}
unsafe impl<T: Item + Send + Sync> Sync for Walk<T> {}

impl<T: Item> Walk<T> {
    pub(super) fn new(root: Option<Node<T>>) -> Walk<T> {
        Walk {
            stack: root.into_iter().collect(),
        }
    }

    /// Visits the items of the next segment (maybe none) and releases it; false at the end.
    pub fn next_segment(&mut self, visit: &mut impl FnMut(&T)) -> bool {
        while let Some(&node) = self.stack.last() {
            unsafe {
                if let Some(seg) = node.as_seg() {
                    // Should this panic, the segment is still on the stack and will be released.
                    let below = self.stack.len().checked_sub(2).map(|at| self.stack[at]);
                    if let Some(next) = below.and_then(Node::as_seg) {
                        next.prefetch_all();
                    }
                    let items = seg.slice();
                    items.iter().take(AHEAD).for_each(Item::prefetch);
                    for (at, item) in items.iter().enumerate() {
                        if let Some(later) = items.get(at + AHEAD) {
                            later.prefetch();
                        }
                        visit(item);
                    }
                    if let Some(next) = below.and_then(Node::as_seg) {
                        next.slice().iter().take(AHEAD).for_each(Item::prefetch);
                    }
                    self.stack.pop();
                    node.release();
                    return true;
                }
                self.stack.pop();
                self.open(node);
            }
        }
        false
    }

    /// Replaces a Dir by its children.
    unsafe fn open(&mut self, dir: Node<T>) {
        unsafe {
            let from = self.stack.len();
            self.stack.extend(dir.children());
            self.stack[from..].reverse();
            if dir.is_unique() {
                // Nobody else can come to it: its references become ours.
                dir.free_dir();
            } else {
                self.stack[from..].iter().for_each(|child| child.retain());
                dir.release();
            }
        }
    }
}

impl<T: Item> Drop for Walk<T> {
    fn drop(&mut self) {
        for node in self.stack.drain(..) {
            unsafe { node.release() };
        }
    }
}
