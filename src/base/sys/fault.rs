//! Signals that end the process, and SIGALRM: caught to say where the process was struck.
//!
//! The handler does what one may do there: it notes the call stack in statics, wakes the reporter through a pipe and, if the
//! signal is the end, gives it some time. The reporter is an ordinary thread, which may allocate and lock.

use std::ffi::{CStr, c_int, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

const FRAMES_MAX: usize = 64;
/// How long the end waits for the report, in steps of [`STEP_NS`].
const STEPS_MAX: u32 = 300;
const STEP_NS: i64 = 10_000_000;

const ENDS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGABRT,
];

static PIPE: AtomicI32 = AtomicI32::new(-1);
/// One report is being made; the statics below are its own.
static TAKEN: AtomicBool = AtomicBool::new(false);
static DONE: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static FRAMES: [AtomicUsize; FRAMES_MAX] = [const { AtomicUsize::new(0) }; FRAMES_MAX];

/// Where a signal struck.
#[derive(Debug, Clone)]
pub struct Struck {
    pub signal: i32,
    /// `si_code`, and the address that could not be accessed.
    pub code: i32,
    pub address: usize,
    /// The call stack, as the C library writes it.
    pub stack: Vec<String>,
}

impl Struck {
    /// The process ends with it.
    pub fn is_end(&self) -> bool {
        self.signal != libc::SIGALRM
    }
}

/// From now on `report` is called, on a thread of its own, for every signal that strikes.
///
/// # Errors
/// If there is no pipe or no thread to be had.
pub fn watch(report: impl Fn(Struck) + Send + 'static) -> io::Result<()> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two live numbers, which the call fills.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the pipe was just made, and this end belongs to nobody else.
    let mut news = unsafe { File::from_raw_fd(ends[0]) };
    PIPE.store(ends[1], Ordering::Release);
    // The first call loads the unwinder, which a handler may not do.
    let mut warm = [std::ptr::null_mut(); 1];
    // SAFETY: the pointer is to room for one address.
    unsafe { libc::backtrace(warm.as_mut_ptr(), 1) };
    std::thread::Builder::new()
        .name("crash-report".into())
        .spawn(move || {
            let mut byte = [0];
            while news.read_exact(&mut byte).is_ok() {
                let struck = taken();
                let is_end = struck.is_end();
                report(struck);
                DONE.store(true, Ordering::Release);
                if !is_end {
                    TAKEN.store(false, Ordering::Release);
                }
            }
        })?;
    for signal in ENDS.into_iter().chain([libc::SIGALRM]) {
        install(signal)?;
    }
    Ok(())
}

/// The end comes by itself from now on: it was reported already.
pub fn ignore_end() {
    for signal in ENDS {
        // SAFETY: sets a default action; no pointers.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn install(signal: c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = struck as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the action is valid and lives through the call; the handler has the signature that SA_SIGINFO asks for.
    if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What the handler has noted.
fn taken() -> Struck {
    let count = COUNT.load(Ordering::Acquire).min(FRAMES_MAX);
    let frames: Vec<*mut c_void> = FRAMES[..count]
        .iter()
        .map(|frame| frame.load(Ordering::Acquire) as *mut c_void)
        .collect();
    // SAFETY: the pointer is to `count` addresses; the result is one allocation of as many strings, or null.
    let names = unsafe { libc::backtrace_symbols(frames.as_ptr(), count as c_int) };
    let mut stack = Vec::new();
    if !names.is_null() {
        for at in 0..count {
            // SAFETY: there are `count` terminated strings, which live until they are freed below.
            let name = unsafe { CStr::from_ptr(*names.add(at)) };
            stack.push(name.to_string_lossy().into_owned());
        }
        // SAFETY: it was allocated by `backtrace_symbols`, and nothing refers to it any more.
        unsafe { libc::free(names.cast()) };
    }
    Struck {
        signal: SIGNAL.load(Ordering::Acquire),
        code: CODE.load(Ordering::Acquire),
        address: ADDRESS.load(Ordering::Acquire),
        stack,
    }
}

/// The handler. It allocates nothing, takes no lock and calls only what is safe in one.
extern "C" fn struck(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let is_end = signal != libc::SIGALRM;
    if !TAKEN.swap(true, Ordering::AcqRel) {
        SIGNAL.store(signal, Ordering::Release);
        // SAFETY: the kernel gives a valid record that lives as long as the handler runs.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
        CODE.store(code, Ordering::Release);
        // Only faults have an address.
        let fault = code > 0 && is_end && signal != libc::SIGABRT;
        ADDRESS.store(if fault { address } else { 0 }, Ordering::Release);
        let mut frames = [std::ptr::null_mut::<c_void>(); FRAMES_MAX];
        // SAFETY: the pointer is to room for so many addresses; the unwinder is loaded already.
        let count = unsafe { libc::backtrace(frames.as_mut_ptr(), FRAMES_MAX as c_int) };
        for (to, from) in FRAMES.iter().zip(frames) {
            to.store(from as usize, Ordering::Release);
        }
        COUNT.store(usize::try_from(count).unwrap_or(0), Ordering::Release);
        DONE.store(false, Ordering::Release);
        // SAFETY: one byte of a live value; nothing is to be done if nobody listens.
        unsafe { libc::write(PIPE.load(Ordering::Acquire), [1u8].as_ptr().cast(), 1) };
    }
    if !is_end {
        return;
    }
    for _ in 0..STEPS_MAX {
        if DONE.load(Ordering::Acquire) {
            break;
        }
        let step = libc::timespec {
            tv_sec: 0,
            tv_nsec: STEP_NS,
        };
        // SAFETY: the first pointer is to a live value, and the other may be null.
        unsafe { libc::nanosleep(&step, std::ptr::null_mut()) };
    }
    // SAFETY: sets the default action and sends a signal, which ends the process when this handler returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
