//! Placeholder.
#[derive(Clone, Debug)]
pub struct HashTable;
impl HashTable {
    pub fn len(&self) -> usize {
        0
    }
}
