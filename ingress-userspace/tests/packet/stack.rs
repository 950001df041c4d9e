//! How deep the programs' stacks are, in the verifier's own words.
//!
//! The verifier says so in its statistics, and aya hands its words on only when a program is
//! refused. The last thing that the kernel needs for a program is a descriptor: where there is none
//! left, a program that has been verified is refused.

use std::fs::File;
use std::thread;

use aya::programs::{ProgramError, SkLookup, Xdp};
use aya::{EbpfLoader, VerifierLogLevel};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::kernel::OBJECT;

/// More descriptors than this are not worth using up.
const DESCRIPTORS: u64 = 16_384;
/// Bytes that a program and the functions that it calls may use together.
pub(crate) const LIMIT: u64 = 512;

/// Bytes of each function of `steer` and of `dispatch`, their entry first.
pub(crate) fn frames() -> [Vec<u64>; 2] {
    // The descriptors of a thread of its own are used up, not those of the process.
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_FILES).expect("descriptors of the thread's own");
        let mut ebpf = EbpfLoader::new()
            .verifier_log_level(VerifierLogLevel::STATS)
            .load(OBJECT)
            .expect("the object loads");
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of descriptors");
        setrlimit(Resource::RLIMIT_NOFILE, soft.min(DESCRIPTORS), hard).expect("a lower limit");
        let rest: Vec<File> =
            (0..DESCRIPTORS).map_while(|_| File::open("/dev/null").ok()).collect();
        let steer: &mut Xdp = ebpf.program_mut("steer").unwrap().try_into().unwrap();
        let steer = said(|| steer.load());
        let dispatch: &mut SkLookup = ebpf.program_mut("dispatch").unwrap().try_into().unwrap();
        let dispatch = said(|| dispatch.load());
        drop(rest);
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("the limit as it was");
        [read(&steer), read(&dispatch)]
    })
    .join()
    .expect("the verifier has spoken")
}

/// The verifier's words about a program that it accepts.
fn said(mut load: impl FnMut() -> Result<(), ProgramError>) -> String {
    for _ in 0..20 {
        match load() {
            Err(ProgramError::LoadError { io_error, verifier_log }) => {
                match io_error.raw_os_error() {
                    Some(libc::EMFILE) => return verifier_log.to_string(),
                    // A signal has interrupted the verifier.
                    Some(libc::EAGAIN) => {}
                    _ => panic!("the verifier refuses: {io_error}: {verifier_log}"),
                }
            }
            other => panic!("no descriptor was left, and yet: {other:?}"),
        }
    }
    panic!("the verifier was interrupted each time");
}

/// `stack depth 224+0+64`
fn read(log: &str) -> Vec<u64> {
    let line = log.lines().find_map(|line| line.strip_prefix("stack depth "));
    let line = line.unwrap_or_else(|| panic!("no stack depth in {log:?}"));
    line.split('+').map(|frame| frame.trim().parse().expect("a number of bytes")).collect()
}
