//! Facts about this process, read from the kernel when somebody asks.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

/// A zero means that the kernel did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    pub resident_bytes: u64,
    pub threads: u64,
    pub open_files: u64,
    pub file_limit: u64,
    /// User and system time of all threads.
    pub cpu: Duration,
}

static START: LazyLock<(Instant, SystemTime)> =
    LazyLock::new(|| (Instant::now(), SystemTime::now()));

/// Since the first call in this process, which `main` makes. Never goes back.
pub fn uptime() -> Duration {
    START.0.elapsed()
}

/// When the process began to run.
pub fn started() -> SystemTime {
    START.1
}

// === impl Process ===

impl Process {
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = getrusage(UsageWho::RUSAGE_SELF)
            .map(|usage| usage.user_time() + usage.system_time())
            .map_or(0, |time| time.num_microseconds());
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            resident_bytes: field(&status, "VmRSS:") << 10,
            threads: field(&status, "Threads:"),
            // Without the one that lists them.
            open_files: (open as u64).saturating_sub(1),
            file_limit: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft),
            cpu: Duration::from_micros(cpu.try_into().unwrap_or(0)),
        }
    }
}

/// The number of a line of proc_pid_status(5).
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_memory_threads_and_files() {
        let process = Process::read();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(process.threads >= 1 && process.open_files >= 3, "{process:?}");
        assert!(process.file_limit >= process.open_files, "{process:?}");
    }

    #[test]
    fn fields_are_found_by_name() {
        let status = "Name:\tgenkan\nVmRSS:\t  2048 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), 2048);
        assert_eq!(field(status, "Threads:"), 7);
        assert_eq!(field(status, "VmHWM:"), 0);
    }
}
