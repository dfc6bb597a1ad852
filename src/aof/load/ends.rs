//! Ends that are not as they should be: told from damage, and cut off if that loses nothing that was promised.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crc64fast::Digest;

use super::{Loader, Refused, digest_of};
use crate::aof::frame::Chain;
use crate::aof::manifest::Part;
use crate::aof::read::{Fault, FaultKind, Reader};
use crate::aof::sink::{Resume, SafePoint};

/// A cut end is kept beside its file up to this size.
const KEEP_CUT_MAX: u64 = 64 << 20;

/// A fault in a part that others follow. They may make it good: what is behind it may have been written again.
pub(super) struct Pending {
    pub part: Part,
    pub fault: Box<Fault>,
    /// Where the good units end.
    pub chain: Option<Chain>,
    pub later: Vec<Part>,
    /// The fault was seen at the begin of the next part.
    pub blames_next: bool,
}

impl Loader<'_> {
    /// A file may end too early between two units: the mark knows.
    pub(super) fn is_complete<R: Read>(
        &self,
        part: &Part,
        reader: &Reader<R>,
    ) -> Result<(), Refused> {
        let seq = reader.chain().map_or(0, |c| c.seq);
        let known = self.mark.as_ref().filter(|mark| mark.part == part.name);
        match known {
            Some(mark) if reader.good() < mark.len && seq < mark.chain.seq => {
                Err(self.too_short(part, seq, mark))
            }
            _ => Ok(()),
        }
    }

    fn too_short(&self, part: &Part, seq: u64, mark: &SafePoint) -> Refused {
        Refused(format!(
            "The AOF file {} ends with unit {seq}, but unit {} was on the disk: {} units are missing that were acknowledged as safe. If it was cut on purpose, remove {} and start again.",
            part.name,
            mark.chain.seq,
            mark.chain.seq - seq,
            self.dir.place.mark().display()
        ))
    }

    /// The reader found a fault.
    pub(super) fn stopped<R: Read>(
        &mut self,
        part: &Part,
        reader: &Reader<R>,
        fault: Box<Fault>,
    ) -> Result<(), Refused> {
        if let Some(pending) = self.pending.take() {
            return self.leave(pending);
        }
        let is_gap = matches!(fault.kind, FaultKind::Missing { .. }) && fault.from == 0;
        if let Some(before) = self.before.clone().filter(|_| is_gap) {
            // The part before it ends between two units, and too early.
            let later = [part].into_iter().chain(&self.later).cloned().collect();
            let chain = self.chain.or_else(|| Some(self.fresh_chain()));
            return self.leave(Pending {
                part: before,
                fault,
                chain,
                later,
                blames_next: true,
            });
        }
        if !self.later.is_empty() {
            if matches!(fault.kind, FaultKind::Io(_)) {
                return Err(self.refuse(&part.name, &fault));
            }
            self.chain = reader.carry();
            let nothing_yet = fault.from == 0 && reader.chain().is_none();
            let pending = Pending {
                part: part.clone(),
                fault,
                chain: self
                    .chain
                    .or_else(|| nothing_yet.then(|| self.fresh_chain())),
                later: self.later.clone(),
                blames_next: false,
            };
            if self.chain.is_none() {
                return self.leave(pending);
            }
            self.pending = Some(pending);
            return Ok(());
        }
        if !fault.is_tail() || !self.request.may_cut {
            return Err(self.refuse(&part.name, &fault));
        }
        let seq = reader.chain().map_or(0, |c| c.seq);
        if let Some(mark) = self.mark.as_ref().filter(|mark| mark.part == part.name)
            && fault.from < mark.len
            && seq < mark.chain.seq
        {
            return Err(self.too_short(part, seq, mark));
        }
        if !self.request.settings.aof_load_truncated {
            return Err(self.refuse(&part.name, &fault));
        }
        self.cut(part, &fault)?;
        self.chain = reader.carry();
        self.note_resume(reader, 1, fault.from);
        // The digest is that of the whole file; the part is read again to know that of what stays.
        let path = self.dir.place.part(part);
        self.resume.digest =
            digest_of(&path).map_err(|e| format!("Can't read the AOF file {}: {e}", part.name))?;
        Ok(())
    }

    /// An end that is missing in the middle of the parts. If no sync has covered it yet, none has covered what stands
    /// behind it either: the power failed just after a rewrite began, and all of that is the torn end.
    pub(super) fn leave(&mut self, pending: Pending) -> Result<(), Refused> {
        let Pending {
            part,
            fault,
            chain,
            later,
            blames_next,
        } = pending;
        let was_synced = self.dir.sum(&part.name).is_some()
            || self.mark.as_ref().is_some_and(|mark| {
                let in_part = mark.part == part.name && !blames_next && fault.from < mark.len;
                in_part || later.iter().any(|p| p.name == mark.part)
            });
        let may_cut = self.request.may_cut && self.request.settings.aof_load_truncated;
        let is_end = blames_next || fault.is_tail();
        let (Some(chain), true) = (
            chain,
            may_cut && is_end && !was_synced && self.dir.is_sealed(),
        ) else {
            let name = if blames_next {
                &later[0].name
            } else {
                &part.name
            };
            return Err(self.refuse(name, &fault));
        };
        if !blames_next {
            self.cut(&part, &fault)?;
        }
        for part in &later {
            tracing::warn!(
                "What stands in {} is behind the cut; it was never synced either.",
                part.name
            );
            let whole = Fault {
                from: 0,
                ..(*fault).clone()
            };
            self.cut(part, &whole)?;
        }
        self.resume = Resume {
            len: 0,
            chain,
            digest: Digest::new(),
        };
        self.chain = Some(chain);
        self.left = true;
        Ok(())
    }

    /// Cuts the end off, which is kept beside the file.
    fn cut(&mut self, part: &Part, fault: &Fault) -> Result<(), Refused> {
        let path = self.dir.place.part(part);
        let cannot = |e: io::Error| Refused(format!("Can't cut the AOF file {}: {e}", part.name));
        let mut file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(cannot)?;
        let len = file.metadata().map_err(cannot)?.len();
        let cut = len.saturating_sub(fault.from);
        if cut <= KEEP_CUT_MAX {
            file.seek(SeekFrom::Start(fault.from)).map_err(cannot)?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail).map_err(cannot)?;
            if tail.iter().any(|b| *b != 0) {
                let aside = path.with_file_name(format!("{}.cut-{}", part.name, fault.from));
                // A copy for people; the server needs none.
                if std::fs::write(&aside, &tail).is_ok() {
                    tracing::info!("What is cut off is kept in {}", aside.display());
                }
            }
        }
        file.set_len(fault.from)
            .and_then(|()| file.sync_all())
            .map_err(cannot)?;
        tracing::warn!(
            "!!! Warning: short read while loading the AOF file {}!!!",
            part.name
        );
        tracing::warn!(
            "AOF {} {fault}. {cut} bytes were cut off behind the last complete entry, at offset {}.",
            part.name,
            fault.from
        );
        match (fault.seq, &self.mark) {
            (Some(seq), Some(mark)) => tracing::warn!(
                "Unit {seq} was not complete; up to unit {} everything was known to be on the disk and is there.",
                mark.chain.seq
            ),
            (Some(seq), None) => tracing::warn!("Missing is unit {seq}, and what came after it."),
            _ => tracing::warn!("Missing is one entry, and what came after it."),
        }
        tracing::warn!("AOF loaded anyway because aof-load-truncated is enabled");
        Ok(())
    }

    pub(super) fn refuse(&self, name: &str, fault: &Fault) -> Refused {
        let manifest = self.dir.place.manifest();
        let manifest = manifest.display();
        let text = match fault.kind {
            FaultKind::Truncated | FaultKind::OpenMulti | FaultKind::Zeros => format!(
                "Unexpected end of file reading the append only file {name}, {fault}. You can: 1) Make a backup of your AOF file, then use ferrite check-aof --fix {manifest}. 2) Alternatively you can set the 'aof-load-truncated' configuration option to yes and restart the server."
            ),
            FaultKind::Io(_) => {
                format!("Unrecoverable error reading the append only file {name}, {fault}")
            }
            FaultKind::Damaged | FaultKind::Missing { .. } => format!(
                "Bad file format reading the append only file {name}, {fault}. The last good entry ends at offset {}. Make a backup of your AOF file, then use ferrite check-aof --fix {manifest}",
                fault.from
            ),
        };
        Refused(text)
    }
}
