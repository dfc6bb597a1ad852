//! Disks that fail or are full, without the kernel's help: strace says that a call failed, a small file system fills up.

use std::process::Command;

use crate::ledger::Ledger;
use crate::machine::{Machine, rounds};

/// Whether strace is here and may trace.
fn can_trace() -> bool {
    let output = Command::new("strace")
        .args(["-e", "trace=none", "true"])
        .output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn any_sync_or_write_may_fail() {
    if !can_trace() {
        println!("skipped: strace cannot be used here");
        return;
    }
    let every = (50 / rounds(4).clamp(1, 50)).max(1);
    for inject in ["fdatasync:error=EIO", "write:error=ENOSPC"] {
        let call = inject.split(':').next().unwrap_or_default();
        for n in (1..=50).step_by(every as usize) {
            let mut machine = Machine::new(&["--appendonly", "yes", "--appendfsync", "always"]);
            machine.start();
            machine.call("SET warm 1");
            let pid = machine.process_id().to_string();
            // Only writes to the increment count: others are the log and the sockets.
            let path = machine.last_incr();
            let mut tracer = Command::new("strace")
                .args(["-f", "-q", "-p", &pid, "-P"])
                .arg(&path)
                .args([
                    "-e",
                    &format!("trace={call}"),
                    "-e",
                    &format!("inject={inject}:when={n}"),
                    "-o",
                    "/dev/null",
                ])
                .spawn()
                .expect("start strace");
            std::thread::sleep(std::time::Duration::from_millis(100));
            let mut ledger = Ledger::new(4);
            ledger.write(&machine);
            ledger.wait_acknowledged(60);
            machine.kill();
            ledger.rest();
            let _ = tracer.wait();
            machine.start();
            assert_eq!(
                ledger.check(&machine),
                0,
                "{inject}, n = {n}\n{}",
                machine.log()
            );
        }
    }
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A full disk: writes are refused in Redis' words, reads go on, what was acknowledged is there, and it resumes.
#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    for policy in ["always", "everysec"] {
        let mut machine = Machine::new(&["--appendonly", "yes", "--appendfsync", policy]);
        let place = machine.path("appendonlydir");
        std::fs::create_dir(&place).expect("make a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(&place)
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("skipped: no file system can be mounted here");
            return;
        }
        let _mounted = Mounted(place.clone());
        machine.start();
        let mut ledger = Ledger::new(4);
        ledger.write(&machine);
        ledger.wait_acknowledged(50);
        // The rest of the disk goes to somebody else.
        let ballast = place.join("ballast");
        let mut fill = std::fs::File::create(&ballast).expect("a file");
        while std::io::Write::write_all(&mut fill, &[1; 1024]).is_ok() {}
        machine.wait_until("the error", |m| m.info("aof_last_write_status") == "err");
        let refused = machine.call("SET big value").text();
        assert_eq!(
            refused,
            "MISCONF Errors writing to the AOF file: No space left on device"
        );
        assert!(machine.call("LLEN ledger:0").int() > 0, "reads go on");
        // The space is free when nobody has the file open.
        drop(fill);
        std::fs::remove_file(&ballast).expect("remove it");
        machine.wait_until("health", |m| m.info("aof_last_write_status") == "ok");
        ledger.wait_acknowledged(20);
        machine.kill();
        ledger.rest();
        machine.start();
        assert_eq!(ledger.check(&machine), 0, "{policy}\n{}", machine.log());
        machine.kill();
    }
}
