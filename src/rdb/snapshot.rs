//! What is saved: the data set of one moment, shared with the actor, who goes on writing.

use crate::base::alloc;
use crate::keyspace::evict::Access;
use crate::keyspace::{Keyspace, snapshot};

/// The data set of one moment, with all that a file says of it. Several consumers may share one.
pub struct Snapshot {
    pub data: snapshot::Snapshot,
    /// Sources of the function libraries.
    pub functions: Vec<Vec<u8>>,
    /// How access clocks are to be read.
    pub access: Access,
    /// Bytes in use at that moment.
    pub used_memory: u64,
}

impl Snapshot {
    /// The present moment; costs one addition per database.
    pub fn take(ks: &Keyspace, functions: Vec<Vec<u8>>) -> Snapshot {
        Snapshot {
            data: ks.snapshot(),
            functions,
            access: ks.access,
            used_memory: alloc::used_memory(),
        }
    }

    /// Keys in all databases.
    pub fn len(&self) -> u64 {
        self.data.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}
