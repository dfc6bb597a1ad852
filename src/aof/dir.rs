//! The directory of the append-only file: which parts there are, and every change of that in an order that a crash at any
//! moment leaves readable. The manifest is replaced as a whole; its seal goes first and knows both versions.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::manifest::{Kind, Manifest, Part};
use super::seal::{Behind, Seal, Sum, Verdict};
use crate::base::atomic_replace::{atomic_replace, rename_into_place};
use crate::base::failpoint;
use crate::base::planted::{self, Bug};
use crate::config::Settings;

/// Names and places, from the configuration.
#[derive(Clone, Debug)]
pub struct Place {
    /// The server's directory.
    pub home: PathBuf,
    pub dir: PathBuf,
    /// `appendfilename`.
    pub stem: String,
}

impl Place {
    pub fn of(settings: &Settings) -> Place {
        // The server may change its directory later.
        let home = std::path::absolute(".").unwrap_or_else(|_| PathBuf::from("."));
        Place {
            dir: home.join(&settings.appenddirname),
            home,
            stem: settings.appendfilename.clone(),
        }
    }

    pub fn manifest(&self) -> PathBuf {
        self.dir.join(format!("{}.manifest", self.stem))
    }

    pub fn seal(&self) -> PathBuf {
        self.dir.join(format!("{}.manifest.check", self.stem))
    }

    pub fn mark(&self) -> PathBuf {
        self.dir.join(format!("{}.manifest.mark", self.stem))
    }

    /// Which units are of which replication history.
    pub fn runs(&self) -> PathBuf {
        self.dir.join(format!("{}.manifest.runs", self.stem))
    }

    pub fn part(&self, part: &Part) -> PathBuf {
        self.dir.join(&part.name)
    }

    /// The single file of Redis before version 7.
    pub fn legacy(&self) -> PathBuf {
        self.home.join(&self.stem)
    }

    fn incr_name(&self, seq: u64) -> String {
        format!("{}.{seq}.incr.aof", self.stem)
    }

    fn base_name(&self, seq: u64, rdb: bool) -> String {
        let kind = if rdb { "rdb" } else { "aof" };
        format!("{}.{seq}.base.{kind}", self.stem)
    }

    /// Parts of this file that lie in the directory, whoever names them.
    pub fn parts_on_disk(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return Vec::new();
        };
        let is_part = |name: &String| {
            let rest = name
                .strip_prefix(&self.stem)
                .and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| {
                let (seq, kind) = rest.split_once('.').unwrap_or_default();
                seq.parse::<u64>().is_ok() && ["base.rdb", "base.aof", "incr.aof"].contains(&kind)
            })
        };
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut parts: Vec<String> = names.filter(is_part).collect();
        parts.sort();
        parts
    }
}

/// A file that a writer appends to.
pub struct OpenPart {
    pub part: Part,
    pub file: File,
}

/// The directory in the hands of a running server.
pub struct Dir {
    pub place: Place,
    pub manifest: Manifest,
    seal: Seal,
    /// Counts how often a failed sync has mixed what stood before and behind the begin of a part.
    pub generation: u64,
}

impl Dir {
    /// A directory without any part yet.
    pub fn empty(place: Place) -> Dir {
        Dir {
            place,
            manifest: Manifest::default(),
            seal: Seal::default(),
            generation: 0,
        }
    }

    /// Reads the manifest; `None` if there is none.
    ///
    /// # Errors
    /// A manifest that cannot be understood or that was damaged.
    pub fn read(place: Place) -> Result<Option<Dir>, String> {
        let path = place.manifest();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(format!(
                    "Can't read the AOF manifest {}: {e}",
                    path.display()
                ));
            }
        };
        let manifest = Manifest::parse(&text).map_err(|e| e.to_string())?;
        let mut seal = Seal::default();
        if let Ok(written) = fs::read(place.seal()) {
            match Seal::parse(&written) {
                Some(read) => seal = read,
                None => tracing::warn!(
                    "{} is damaged: lengths and checksums of complete files cannot be compared this time",
                    place.seal().display()
                ),
            }
        }
        match seal.judge(&text, &manifest) {
            Verdict::Ours => {}
            Verdict::SameInOtherWords => tracing::warn!(
                "{} has other bytes than were written but says the same; it is written anew with the next change",
                path.display()
            ),
            Verdict::Continued => {
                if !seal.now.is_empty() {
                    tracing::info!("Another server has gone on with {}", path.display());
                }
            }
            Verdict::Replaced => tracing::warn!(
                "{} is not what was written here last, and it names other files: somebody has replaced it. It is believed.",
                path.display()
            ),
            Verdict::Damaged => {
                return Err(format!(
                    "The AOF manifest {} is damaged. It says:\n{}but what was written is:\n{}To go on with what was written, copy these lines into the manifest; to believe the manifest, remove {}",
                    path.display(),
                    String::from_utf8_lossy(&text),
                    seal.now,
                    place.seal().display()
                ));
            }
        }
        Ok(Some(Dir {
            place,
            manifest,
            seal,
            generation: 0,
        }))
    }

    /// What a complete part held.
    pub fn sum(&self, name: &str) -> Option<Sum> {
        self.seal.sums.get(name).copied()
    }

    /// Whether it is known which parts are complete.
    pub fn is_sealed(&self) -> bool {
        !self.seal.now.is_empty()
    }

    /// The first increment behind a base, if that is known.
    pub fn first_behind(&self, base: &str) -> Option<u64> {
        self.seal.follows.get(base).map(|behind| behind.part)
    }

    /// The last unit that a base holds, if that is known.
    pub fn last_unit_in(&self, base: &str) -> Option<u64> {
        self.seal.follows.get(base)?.unit
    }

    /// Notes what a part held when it was completed; written with the next change of the manifest.
    pub fn set_sum(&mut self, name: &str, sum: Sum) {
        if !planted::is(Bug::NoSums) {
            self.seal.sums.insert(name.to_owned(), sum);
        }
    }

    /// Forgets what is known of a part that is appended to again.
    pub fn forget_sum(&mut self, name: &str) {
        self.seal.sums.remove(name);
    }

    pub fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.place.dir)?;
        File::open(&self.place.home)?.sync_all()
    }

    /// Writes seal and manifest.
    pub fn persist(&mut self) -> io::Result<()> {
        let text = self.manifest.text();
        let known: Vec<&Part> = self.manifest.live().chain(&self.manifest.history).collect();
        let names = |name: &String| known.iter().any(|part| part.name == *name);
        self.seal.sums.retain(|name, _| names(name));
        self.seal.follows.retain(|name, _| names(name));
        if text != self.seal.now {
            self.seal.before = std::mem::replace(&mut self.seal.now, text);
        }
        failpoint::pass("aof.seal")?;
        atomic_replace(&self.place.seal(), self.seal.text().as_bytes())?;
        failpoint::pass("aof.manifest")?;
        atomic_replace(&self.place.manifest(), self.seal.now.as_bytes())?;
        failpoint::pass("aof.manifest-done")
    }

    /// Writes the seal alone: a part was completed and the manifest stays.
    pub fn persist_seal(&mut self) -> io::Result<()> {
        atomic_replace(&self.place.seal(), self.seal.text().as_bytes())
    }

    /// Makes a new increment on disk; [`Dir::add_incr`] puts it into the manifest.
    pub fn create_incr(&self) -> io::Result<OpenPart> {
        let open = self.open_new_incr()?;
        self.sync()?;
        Ok(open)
    }

    /// The directory is on the disk, with the names of the files that are in it.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.place.dir)?.sync_all()
    }

    /// Makes an increment whose name is not known to be on the disk, in a directory for which that may be so too.
    pub fn open_new_incr(&self) -> io::Result<OpenPart> {
        fs::create_dir_all(&self.place.dir)?;
        failpoint::pass("aof.create-incr")?;
        let taken: Vec<String> = self.place.parts_on_disk();
        let mut seq = self.manifest.next_incr();
        // Without a manifest entry a file of that name is a leftover; never write into it.
        while taken.contains(&self.place.incr_name(seq)) && !self.is_leftover(seq) {
            seq += 1;
        }
        let part = Part::new(self.place.incr_name(seq), seq, Kind::Incr);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.place.part(&part))?;
        file.set_len(0)?;
        Ok(OpenPart { part, file })
    }

    /// An empty file that no manifest names: a crash came between its making and its naming.
    fn is_leftover(&self, seq: u64) -> bool {
        let path = self.place.dir.join(self.place.incr_name(seq));
        fs::metadata(path).is_ok_and(|meta| meta.len() == 0)
    }

    pub fn add_incr(&mut self, part: &Part) -> io::Result<()> {
        self.manifest.incrs.push(part.clone());
        self.persist().inspect_err(|_| {
            self.manifest.incrs.retain(|p| p.name != part.name);
        })
    }

    /// Opens the last increment to go on in it.
    pub fn open_last_incr(&self) -> io::Result<Option<OpenPart>> {
        let Some(part) = self.manifest.incrs.last() else {
            return Ok(None);
        };
        let file = OpenOptions::new()
            .append(true)
            .open(self.place.part(part))?;
        Ok(Some(OpenPart {
            part: part.clone(),
            file,
        }))
    }

    /// Makes the finished, synced file `temp` the base; increments before `behind` become history.
    pub fn rebase(
        &mut self,
        temp: &Path,
        rdb: bool,
        sum: Sum,
        behind: Behind,
        incr: Option<&Part>,
    ) -> io::Result<()> {
        let mut seq = self.manifest.next_base();
        while self.place.dir.join(self.place.base_name(seq, rdb)).exists() {
            seq += 1;
        }
        let part = Part::new(self.place.base_name(seq, rdb), seq, Kind::Base);
        failpoint::pass("aof.base-rename")?;
        rename_into_place(temp, &self.place.part(&part))?;
        let old = self.manifest.clone();
        self.set_sum(&part.name, sum);
        if behind.part != u64::MAX {
            self.seal.follows.insert(part.name.clone(), behind);
        }
        self.manifest.rebase(part, behind.part);
        self.manifest.incrs.extend(incr.cloned());
        if planted::is(Bug::UnlinkFirst) {
            for part in &self.manifest.history {
                let _ = fs::remove_file(self.place.part(part));
            }
        }
        self.persist().inspect_err(|_| self.manifest = old)
    }

    /// Deletes history that is older than `keep`, and takes it out of the manifest.
    pub fn drop_history(&mut self, keep: Duration) -> io::Result<()> {
        let old_enough = |path: &Path| {
            let changed = fs::metadata(path).and_then(|meta| meta.modified());
            keep.is_zero()
                || changed.map_or(true, |at| {
                    SystemTime::now().duration_since(at).unwrap_or_default() > keep
                })
        };
        let place = &self.place;
        let (gone, kept): (Vec<Part>, Vec<Part>) = std::mem::take(&mut self.manifest.history)
            .into_iter()
            .partition(|part| old_enough(&place.part(part)));
        self.manifest.history = kept;
        if gone.is_empty() {
            return Ok(());
        }
        failpoint::pass("aof.history")?;
        // Named no more before they go: a manifest never names what is missing.
        self.persist()?;
        for part in gone {
            failpoint::pass("aof.unlink")?;
            match fs::remove_file(self.place.part(&part)) {
                Ok(()) => {
                    tracing::info!("Removing the history file {} in the background", part.name)
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Takes the single file of an older Redis into the directory, as the base. Goes on where a crash interrupted that.
    pub fn upgrade(&mut self) -> io::Result<()> {
        let legacy = self.place.legacy();
        let part = Part::new(self.place.stem.clone(), 1, Kind::Base);
        let there = self.place.part(&part);
        self.make()?;
        self.manifest.base = Some(part);
        self.persist()?;
        failpoint::pass("aof.upgrade")?;
        rename_into_place(&legacy, &there)?;
        tracing::info!(
            "Successfully migrated an old-style AOF configuration ({}) into the AOF directory ({}).",
            self.place.stem,
            self.place.dir.display()
        );
        Ok(())
    }

    /// Whether the manifest names the old single file, which still lies in the server's directory.
    pub fn upgrade_was_interrupted(&self) -> bool {
        self.manifest.base.as_ref().is_some_and(|base| {
            base.name == self.place.stem
                && !self.place.part(base).exists()
                && self.place.legacy().exists()
        })
    }

    /// Bytes of all live parts.
    pub fn size(&self) -> u64 {
        let len = |part| fs::metadata(self.place.part(part)).map_or(0, |meta| meta.size());
        self.manifest.live().map(len).sum()
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// An empty directory for one test.
    pub fn scratch(name: &str) -> Place {
        let home = std::env::temp_dir().join(format!("ferrite-aof-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        Place {
            dir: home.join("appendonlydir"),
            home,
            stem: "appendonly.aof".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::scratch;
    use super::*;

    #[test]
    fn a_history_of_changes_is_read_back() {
        let place = scratch("dir");
        assert!(Dir::read(place.clone()).unwrap().is_none());
        let mut dir = Dir::empty(place.clone());
        dir.make().unwrap();
        let temp = place.home.join("temp");
        fs::write(&temp, "base one").unwrap();
        let incr = dir.create_incr().unwrap();
        let behind = |part, unit| Behind { part, unit };
        let sum = Sum { len: 8, crc: 1 };
        dir.rebase(&temp, true, sum, behind(1, Some(0)), Some(&incr.part))
            .unwrap();
        assert_eq!(dir.last_unit_in("appendonly.aof.1.base.rdb"), Some(0));
        let text = "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n";
        assert_eq!(fs::read_to_string(place.manifest()).unwrap(), text);
        let next = dir.create_incr().unwrap();
        dir.add_incr(&next.part).unwrap();
        fs::write(&temp, "base two").unwrap();
        dir.rebase(&temp, false, Sum { len: 8, crc: 2 }, behind(2, None), None)
            .unwrap();
        assert_eq!(dir.manifest.history.len(), 2);
        dir.drop_history(Duration::from_secs(3600)).unwrap();
        assert_eq!(place.parts_on_disk().len(), 4);
        dir.drop_history(Duration::ZERO).unwrap();
        assert_eq!(
            place.parts_on_disk(),
            ["appendonly.aof.2.base.aof", "appendonly.aof.2.incr.aof"]
        );
        let again = Dir::read(place.clone()).unwrap().unwrap();
        assert_eq!(again.manifest, dir.manifest);
        assert_eq!(
            again.sum("appendonly.aof.2.base.aof"),
            Some(Sum { len: 8, crc: 2 })
        );
        fs::write(
            place.manifest(),
            "file appendonly.aof.2.base.aof seq 2 type b\n",
        )
        .unwrap();
        assert!(
            Dir::read(place.clone())
                .err()
                .unwrap()
                .contains("is damaged")
        );
        fs::remove_dir_all(place.home).unwrap();
    }

    #[test]
    fn the_single_file_of_old_becomes_the_base() {
        let place = scratch("upgrade");
        fs::write(place.legacy(), "*1\r\n$4\r\nPING\r\n").unwrap();
        let mut dir = Dir::empty(place.clone());
        dir.upgrade().unwrap();
        assert!(!place.legacy().exists() && place.dir.join("appendonly.aof").exists());
        assert_eq!(
            fs::read_to_string(place.manifest()).unwrap(),
            "file appendonly.aof seq 1 type b\n"
        );
        fs::remove_dir_all(place.home).unwrap();
    }
}
