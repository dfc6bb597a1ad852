use std::fs;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::*;
use crate::aof::dir::testing::scratch;
use crate::aof::frame::Chain;
use crate::aof::read::{Item, Reader};
use crate::aof::resp;
use crate::aof::sink::Resume;
use crate::base::alloc;

struct Bench {
    writer: Option<Writer>,
    dir: Arc<Mutex<Dir>>,
    told: Receiver<()>,
    offset: u64,
    count: u64,
}

impl Bench {
    fn new(name: &str, policy: AppendFsync) -> Bench {
        let mut dir = Dir::empty(scratch(name));
        dir.make().unwrap();
        let open = dir.create_incr().unwrap();
        dir.add_incr(&open.part).unwrap();
        let sink = Sink::new(open, Resume::default(), 0, policy != AppendFsync::No);
        let dir = Arc::new(Mutex::new(dir));
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let notify = Box::new(move || {
            let _ = lock(&tell).send(());
        });
        let writer = Writer::start(sink, dir.clone(), policy, notify).unwrap();
        Bench {
            writer: Some(writer),
            dir,
            told,
            offset: 0,
            count: 0,
        }
    }

    fn writer(&self) -> &Writer {
        self.writer.as_ref().unwrap()
    }

    /// One turn of `units` commands.
    fn put(&mut self, units: u64) -> bool {
        let mut chunk = Chunk::default();
        for _ in 0..units {
            self.count += 1;
            resp::write(
                &mut chunk.bytes,
                [&b"SET"[..], b"k", self.count.to_string().as_bytes()].into_iter(),
            );
            let end = chunk.bytes.len();
            chunk.ends.push((end, self.offset + end as u64));
        }
        self.offset += chunk.bytes.len() as u64;
        chunk.offset = self.offset;
        self.writer().put(chunk)
    }

    fn wait_until(&self, what: impl Fn(&Status) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !what(self.writer().status()) {
            assert!(Instant::now() < end, "{:?}", self.writer().status());
            let _ = self.told.recv_timeout(Duration::from_millis(5));
            self.writer().seen();
        }
    }

    /// Has everything synced. Without a policy that syncs by itself, a wish is for what is written by then.
    fn wait_synced(&self) {
        let offset = self.offset;
        self.wait_until(|s| s.written.load(Ordering::Acquire) >= offset);
        self.writer().request_sync();
        self.wait_until(|s| s.synced.load(Ordering::Acquire) >= offset);
    }

    /// Units in all live parts, which must be 1, 2, 3, … .
    fn read(&self) -> u64 {
        let dir = Dir::read(lock(&self.dir).place.clone()).unwrap().unwrap();
        let (mut chain, mut units): (Option<Chain>, u64) = (None, 0);
        for part in dir.manifest.live() {
            let bytes = fs::read(dir.place.part(part)).unwrap();
            let mut reader = Reader::new(&bytes[..], bytes.len() as u64, chain);
            while let Some(item) = reader
                .next_item()
                .unwrap_or_else(|e| panic!("{}: {e}", part.name))
            {
                if matches!(item, Item::Unit { .. }) {
                    units += 1;
                    let words = resp::commands(reader.bytes()).unwrap();
                    assert_eq!(words[0][2], units.to_string().as_bytes());
                }
            }
            chain = reader.carry();
        }
        units
    }

    fn end(mut self) -> bool {
        let good = self.writer.take().unwrap().close();
        fs::remove_dir_all(&lock(&self.dir).place.home).unwrap();
        good
    }
}

#[test]
fn writes_at_once_or_after_a_sync_as_the_policy_says() {
    let _alone = failpoint::alone();
    let mut bench = Bench::new("everysec", AppendFsync::EverySec);
    assert!(bench.put(3) && bench.put(1));
    assert_eq!(bench.read(), 4);
    bench.wait_synced();
    assert!(bench.end());
    let mut bench = Bench::new("always", AppendFsync::Always);
    assert!(!bench.put(3));
    bench.wait_synced();
    assert_eq!(bench.read(), 3);
    assert!(bench.end());
}

#[test]
fn what_is_kept_for_the_file_is_counted_and_let_go() {
    let _alone = failpoint::alone();
    let mut bench = Bench::new("memory", AppendFsync::EverySec);
    let empty = alloc::memory_apart(alloc::Kind::Aof);
    bench.put(1000);
    let kept = alloc::memory_apart(alloc::Kind::Aof) - empty;
    let bytes = bench.offset;
    assert!((bytes..bytes * 8).contains(&kept), "{kept} for {bytes}");
    for _ in 0..50 {
        bench.put(1000);
    }
    let kept = alloc::memory_apart(alloc::Kind::Aof);
    assert!(kept > 1 << 20, "{kept}");
    bench.wait_synced();
    // The buffer stays, no command does.
    let rest = alloc::memory_apart(alloc::Kind::Aof);
    assert!(rest <= 256 << 10, "{rest}");
    assert!(bench.end());
}

#[test]
fn a_switch_to_no_syncs_reports_what_was_written_before_it() {
    let _alone = failpoint::alone();
    let mut bench = Bench::new("no", AppendFsync::EverySec);
    bench.put(3);
    let before = bench.offset;
    failpoint::arm("aof.fsync=delay:50x1000");
    bench.writer().set_policy(AppendFsync::No, false);
    bench.put(2);
    failpoint::arm("");
    bench.wait_until(|s| s.synced.load(Ordering::Acquire) >= before);
    let synced = bench.writer().status().synced.load(Ordering::Acquire);
    assert_eq!(synced, before);
    bench.writer().set_policy(AppendFsync::EverySec, false);
    bench.wait_synced();
    assert!(bench.end());
}

#[test]
fn groups_collect_while_a_sync_runs() {
    let _alone = failpoint::alone();
    let mut bench = Bench::new("group", AppendFsync::Always);
    failpoint::arm("aof.fsync=delay:20x1000");
    for _ in 0..200 {
        bench.put(1);
    }
    bench.wait_synced();
    failpoint::arm("");
    let syncs = bench.writer().status().syncs.load(Ordering::Relaxed);
    assert!(syncs < 20, "{syncs} syncs for 200 turns");
    assert_eq!(bench.read(), 200);
    assert!(bench.end());
}

#[test]
fn a_switch_keeps_the_order_and_seals_the_former_part() {
    let _alone = failpoint::alone();
    for policy in [AppendFsync::Always, AppendFsync::EverySec, AppendFsync::No] {
        let mut bench = Bench::new("switch", policy);
        bench.put(5);
        let open = lock(&bench.dir).create_incr().unwrap();
        lock(&bench.dir).add_incr(&open.part).unwrap();
        bench.writer().switch(open);
        bench.put(7);
        bench.writer().request_sync();
        bench.wait_synced();
        assert_eq!(bench.read(), 12);
        let dir = bench.dir.clone();
        bench.writer.take().unwrap().close();
        let dir = lock(&dir);
        let again = Dir::read(dir.place.clone()).unwrap().unwrap();
        assert_eq!(again.manifest.incrs.len(), 2);
        for part in &again.manifest.incrs {
            let bytes = fs::read(again.place.part(part)).unwrap();
            let sum = again.sum(&part.name).expect("a sealed part");
            assert_eq!(
                (sum.len, sum.crc),
                (bytes.len() as u64, crate::aof::seal::crc(&bytes))
            );
        }
        fs::remove_dir_all(&dir.place.home).unwrap();
    }
}

#[test]
fn writes_wait_out_a_full_disk_and_lose_nothing() {
    let _alone = failpoint::alone();
    for (policy, what) in [
        (AppendFsync::EverySec, "aof.write=enospc@2x3"),
        (AppendFsync::EverySec, "aof.write=short@2x3"),
        (AppendFsync::Always, "aof.write=short@1x3"),
        (AppendFsync::No, "aof.write=eio@3x2"),
    ] {
        let mut bench = Bench::new("full", policy);
        failpoint::arm(what);
        for _ in 0..6 {
            bench.put(2);
        }
        let offset = bench.offset;
        bench.wait_until(|s| {
            s.error.load(Ordering::Acquire) != 0 || s.written.load(Ordering::Acquire) >= offset
        });
        bench.wait_until(|s| {
            s.error.load(Ordering::Acquire) == 0 && s.written.load(Ordering::Acquire) >= offset
        });
        failpoint::arm("");
        assert_eq!(bench.read(), 12, "{what}");
        bench.put(1);
        assert!(bench.end());
    }
}

#[test]
fn after_a_failed_sync_everything_unsafe_is_in_a_new_part() {
    let _alone = failpoint::alone();
    for policy in [AppendFsync::Always, AppendFsync::EverySec] {
        for what in [
            "aof.fsync=eio",
            "aof.fsync=eio@2",
            "aof.fsync=eio;aof.recover-fsync=eio;aof.recover-write=enospc",
            "aof.fsync=eio;aof.manifest=eio",
        ] {
            let mut bench = Bench::new("fsync", policy);
            failpoint::arm(what);
            for _ in 0..4 {
                bench.put(2);
                bench.writer().request_sync();
                bench.wait_synced();
            }
            failpoint::arm("");
            assert_eq!(bench.read(), 8, "{what}");
            let incrs = lock(&bench.dir).manifest.incrs.len();
            assert_eq!(incrs, 2, "{what}");
            assert_eq!(bench.writer().status().error.load(Ordering::Acquire), 0);
            bench.put(1);
            assert!(bench.end());
        }
    }
}

#[test]
fn syncs_from_both_threads_take_turns() {
    let _alone = failpoint::alone();
    let mut bench = Bench::new("turns", AppendFsync::Always);
    failpoint::arm("aof.fsync=delay:2x1000");
    for round in 0..40 {
        bench.put(3);
        bench.writer().request_sync();
        if round % 8 == 7 {
            let open = lock(&bench.dir).create_incr().unwrap();
            lock(&bench.dir).add_incr(&open.part).unwrap();
            bench.writer().switch(open);
            for _ in 0..12 {
                bench.writer().request_sync();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    bench.wait_synced();
    failpoint::arm("");
    assert_eq!(bench.read(), 120);
    assert!(bench.end());
}
