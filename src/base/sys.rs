//! The operating system calls that the standard library does not offer. One of the few modules that may use `unsafe`; its
//! contract: every function here is a thin, safe wrapper of one C call, with the reason why the call is sound beside it.
#![allow(unsafe_code)]

pub mod fault;

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// Local time, broken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    pub year: i32,
    /// 1..=12
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    /// East of Greenwich.
    pub offset_s: i64,
}

/// Seconds since 1970 in the zone of this machine; 1970 itself if the C library cannot tell.
pub fn local_time(unix_seconds: i64) -> LocalTime {
    let mut broken = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of the right type; `localtime_r` keeps neither.
    let done = unsafe { libc::localtime_r(&unix_seconds, broken.as_mut_ptr()) };
    if done.is_null() {
        return LocalTime {
            year: 1970,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            offset_s: 0,
        };
    }
    // SAFETY: it was zeroed, which is a valid `tm`, and then filled.
    let broken = unsafe { broken.assume_init() };
    LocalTime {
        year: broken.tm_year + 1900,
        month: broken.tm_mon as u32 + 1,
        day: broken.tm_mday as u32,
        hour: broken.tm_hour as u32,
        minute: broken.tm_min as u32,
        second: broken.tm_sec as u32,
        offset_s: broken.tm_gmtoff,
    }
}

/// The limit of open files: `(soft, hard)`.
pub fn open_files_limit() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`, which the call fills.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if failed != 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok((limit.rlim_cur, limit.rlim_max))
    }
}

/// Sets both limits of open files to `files`, or only the soft one if `files` is below the hard one.
pub fn set_open_files_limit(files: u64) -> io::Result<()> {
    let (_, hard) = open_files_limit()?;
    let limit = libc::rlimit {
        rlim_cur: files,
        rlim_max: hard.max(files),
    };
    // SAFETY: the pointer is to a live `rlimit`, which the call only reads.
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    if failed != 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sets the mask of modes for new files and returns the former one. It belongs to the whole process.
pub fn umask(mask: u32) -> u32 {
    // SAFETY: takes and returns a number and cannot fail.
    unsafe { libc::umask(mask as libc::mode_t) as u32 }
}

/// Sends a signal to a process; signal 0 only asks whether it exists.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    let failed = unsafe { libc::kill(pid, signal) };
    if failed != 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Ends the process at once, as `kill -9` from outside does: no handler runs, and no thread goes on.
pub fn kill_self() -> ! {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    // It cannot fail; should it, the end must come all the same.
    let _ = kill(pid, libc::SIGKILL);
    std::process::abort()
}

/// Whose processor time is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Process,
    Children,
    Thread,
}

/// Processor time so far in µs: `(in the kernel, of the user)`; zeros if the system cannot tell.
pub fn cpu_time_us(of: Usage) -> (i64, i64) {
    let who = match of {
        Usage::Process => libc::RUSAGE_SELF,
        Usage::Children => libc::RUSAGE_CHILDREN,
        Usage::Thread => libc::RUSAGE_THREAD,
    };
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a live `rusage`, which was zeroed (a valid value) and which the call fills.
    let usage = unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    };
    let us = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    (us(usage.ru_stime), us(usage.ru_utime))
}

/// Names of the system as `uname` has them: `(system, release, machine)`.
pub fn system_names() -> (String, String, String) {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is to a live `utsname`, which was zeroed (a valid value) and which the call fills with
    // terminated strings.
    let names = unsafe {
        libc::uname(names.as_mut_ptr());
        names.assume_init()
    };
    let text = |field: &[libc::c_char]| {
        let bytes: Vec<u8> = field
            .iter()
            .take_while(|c| **c != 0)
            .map(|c| *c as u8)
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    (
        text(&names.sysname),
        text(&names.release),
        text(&names.machine),
    )
}

/// Bytes of memory of this machine. The system is asked once: it takes longer than a script.
pub fn total_memory() -> u64 {
    static TOTAL: OnceLock<u64> = OnceLock::new();
    *TOTAL.get_or_init(|| {
        // SAFETY: both take a number only.
        let (pages, size) = unsafe {
            (
                libc::sysconf(libc::_SC_PHYS_PAGES),
                libc::sysconf(libc::_SC_PAGESIZE),
            )
        };
        u64::try_from(pages).unwrap_or(0) * u64::try_from(size).unwrap_or(0)
    })
}

/// Bytes of a memory page.
pub fn page_size() -> u64 {
    // SAFETY: takes a number only.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// The user that this process acts as.
pub fn effective_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this process may write to `path` (a file or a directory).
pub fn may_write(path: &CStr) -> bool {
    // SAFETY: the string is terminated and lives through the call.
    unsafe { libc::access(path.as_ptr(), libc::W_OK) == 0 }
}

/// Asks the kernel to give this process no transparent huge pages.
pub fn disable_huge_pages() -> io::Result<()> {
    let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: this option takes numbers only.
    let failed = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, on, none, none, none) };
    if failed != 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Leaves the terminal: the parent ends, the child goes on in its own session with `/dev/null` for its standard streams.
/// Must be called while the process has a single thread, which the kernel is asked for.
pub fn fork_to_background() -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other(
            "daemonize must come before the first thread",
        ));
    }
    // SAFETY: there is a single thread, so the child owns every lock and all memory in a consistent state.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        // SAFETY: `_exit` ends the parent at once, without the clean-up that now belongs to the child.
        _ => unsafe { libc::_exit(0) },
    }
    // SAFETY: takes nothing; fails only for a group leader, which a fresh child is not.
    unsafe { libc::setsid() };
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for stream in 0..=2 {
        // SAFETY: `null` is open and the standard streams may be replaced at any time.
        let failed = unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), stream) };
        if failed == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Opens the connection to syslog. The name lives as long as the process, because the C library keeps its address.
pub fn open_syslog(ident: &str, facility: i32) {
    let ident = CString::new(ident.replace('\0', "")).unwrap_or_default();
    let ident: &'static CStr = Box::leak(ident.into_boxed_c_str());
    // SAFETY: the string is terminated and is never freed.
    unsafe {
        libc::openlog(
            ident.as_ptr(),
            libc::LOG_PID | libc::LOG_NDELAY | libc::LOG_NOWAIT,
            facility,
        )
    };
}

/// One message to syslog.
pub fn syslog(priority: i32, message: &str) {
    let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
    // SAFETY: the format takes exactly one string, which is terminated and lives through the call.
    unsafe { libc::syslog(priority, c"%s".as_ptr(), message.as_ptr()) };
}

/// Stops this process until somebody continues it: how upstart is told that a service is ready.
pub fn stop_self() {
    // SAFETY: takes a number only.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Overwrites the words that the process was started with, which is what `ps` and `pgrep -f` show. The title is cut to
/// the room of those words: the environment behind them stays, because other code may hold pointers into it.
///
/// `std::env::args` must not be used after this.
pub fn overwrite_command_line(title: &[u8]) -> io::Result<()> {
    let (start, end) = command_line_range()?;
    let room = end - start;
    let mut bytes = title[..title.len().min(room.saturating_sub(1))].to_vec();
    bytes.resize(room, 0);
    // SAFETY: the kernel placed the words in `start..end` on this process' stack, writable, for its whole life; the range
    // comes from the kernel and exactly `room` bytes are written, the last one a terminator as before. Nothing in the
    // program keeps a reference to them.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start as *mut u8, room) };
    Ok(())
}

/// `arg_start` and `arg_end` of `/proc/self/stat`, fields 48 and 49.
fn command_line_range() -> io::Result<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses and may contain anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let field = |number: usize| {
        fields
            .split_ascii_whitespace()
            .nth(number - 3)?
            .parse::<usize>()
            .ok()
    };
    match (field(48), field(49)) {
        (Some(start), Some(end)) if 0 < start && start < end && end - start <= 1 << 21 => {
            Ok((start, end))
        }
        _ => Err(io::Error::other(
            "the kernel does not show where the command line is",
        )),
    }
}

/// A file as memory, read only. The pages are the system's and count for nobody.
pub struct MappedFile {
    at: std::ptr::NonNull<u8>,
    len: usize,
}

impl MappedFile {
    /// Maps all of a file. Whoever cuts the file off while it is read has the process end with SIGBUS: for tools that look at
    /// files which are only ever replaced as a whole.
    pub fn open(file: &std::fs::File) -> io::Result<MappedFile> {
        use std::os::fd::AsRawFd;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if len == 0 {
            return Ok(MappedFile {
                at: std::ptr::NonNull::dangling(),
                len: 0,
            });
        }
        let (protection, fd) = (libc::PROT_READ, file.as_raw_fd());
        // SAFETY: a new mapping at a place that the system chooses, of a file that is open.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                libc::MAP_PRIVATE,
                fd,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = std::ptr::NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(MappedFile { at, len })
    }
}

impl std::ops::Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes long, readable, and lives as long as this value; a dangling one is empty.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: what `open` mapped, once.
            unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_agrees_with_its_offset() {
        let time = local_time(1_700_000_000);
        // 2023-11-14 22:13:20 UTC; the date may differ by a day, seconds of a minute never do in today's zones.
        let minutes = i64::from(time.hour * 60 + time.minute);
        assert_eq!(
            (minutes - time.offset_s / 60 - (22 * 60 + 13)).rem_euclid(24 * 60),
            0
        );
        assert_eq!((time.year, time.month, time.second), (2023, 11, 20));
    }

    #[test]
    fn open_files_limit_can_be_set_to_itself() {
        let (soft, hard) = open_files_limit().unwrap();
        assert!(soft <= hard && soft > 0);
        set_open_files_limit(soft).unwrap();
        assert_eq!(open_files_limit().unwrap(), (soft, hard));
    }

    #[test]
    fn processes_and_rights() {
        assert!(kill(std::process::id() as i32, 0).is_ok());
        assert!(kill(i32::MAX, 0).is_err());
        assert!(may_write(c"/tmp"));
        assert!(!may_write(c"/nonexistent"));
        // Many threads run here, so going to the background must be refused.
        assert!(fork_to_background().is_err());
    }
}
