//! System calls that no crate of ours wraps safely. The only `unsafe` code of userspace.
//!
//! In: file descriptors and plain values. Out: safe owned values that undo themselves on drop.
//! Nothing here decides anything.

use std::ffi::CString;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Most descriptors of one message; the kernel takes 253.
pub const DESCRIPTORS: usize = 64;

/// Memory shared with the kernel: the values of an array map created with `BPF_F_MMAPABLE`.
#[derive(Debug)]
pub struct SharedMemory {
    start: NonNull<u8>,
    length: usize,
}

/// Waits for a descriptor to become readable, on the runtime of the caller.
pub fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open and the same as long as the value that is registered.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

/// Takes the program of a pinned BPF link away at once. The pin stays, its link does nothing more.
///
/// Removing the pin alone lets the program run until the kernel has freed the link.
pub fn detach_pinned_link(pin: &Path) -> io::Result<()> {
    const OBJECT_GET: libc::c_long = 7;
    const LINK_DETACH: libc::c_long = 34;
    /// The part of `union bpf_attr` that both commands read.
    #[repr(C)]
    struct ObjectGet {
        path: u64,
        descriptor: u32,
        flags: u32,
    }

    let path = CString::new(pin.as_os_str().as_bytes())?;
    let get = ObjectGet { path: path.as_ptr().expose_provenance() as u64, descriptor: 0, flags: 0 };
    // SAFETY: the kernel reads `get` and the path in it, which ends with a zero; both outlive the
    // call, and the size is that of `get`.
    let opened =
        unsafe { libc::syscall(libc::SYS_bpf, OBJECT_GET, &raw const get, size_of::<ObjectGet>()) };
    let opened = i32::try_from(opened).ok().filter(|&descriptor| descriptor >= 0);
    let opened = opened.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: a new descriptor that nobody else has.
    let link = unsafe { OwnedFd::from_raw_fd(opened) };
    let descriptor = link.as_raw_fd();
    // SAFETY: the kernel reads the four bytes of the descriptor, which outlive the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, LINK_DETACH, &raw const descriptor, size_of::<i32>())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives one message of a Unix socket, with the descriptors that came along. No bytes: the other
/// side is gone.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut room = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut room), flags)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just made these for us; nobody else has them.
            let owned = received.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) });
            descriptors.extend(owned);
        }
    }
    if message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::other("a message that is longer than agreed"));
    }
    Ok((message.bytes, descriptors))
}

/// Runs a loaded sk_lookup program once on a context, which is written back.
///
/// aya has test runs for packets only.
pub fn test_run_lookup(program: BorrowedFd<'_>, context: &mut [u8]) -> io::Result<()> {
    const PROG_TEST_RUN: libc::c_long = 10;
    /// The part of `union bpf_attr` that the command reads.
    #[repr(C)]
    #[derive(Default)]
    struct TestRun {
        program: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        context_size_in: u32,
        context_size_out: u32,
        context_in: u64,
        context_out: u64,
        flags: u32,
        cpu: u32,
        batch_size: u32,
        padding: u32,
    }

    let size = u32::try_from(context.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let pointer = context.as_mut_ptr().expose_provenance() as u64;
    let mut attributes = TestRun {
        program: program.as_raw_fd().cast_unsigned(),
        context_size_in: size,
        context_size_out: size,
        context_in: pointer,
        context_out: pointer,
        ..TestRun::default()
    };
    // SAFETY: the kernel reads and writes `attributes` within the size given, and at most `size`
    // bytes of the context, which is borrowed for the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, PROG_TEST_RUN, &raw mut attributes, size_of::<TestRun>())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Name of the driver of a network device.
pub fn driver(interface: &str) -> io::Result<String> {
    const DRIVER_INFO: u32 = 3;
    /// `struct ethtool_drvinfo`.
    #[repr(C)]
    struct DriverInfo {
        command: u32,
        driver: [u8; 32],
        rest: [u8; 160],
    }
    const { assert!(size_of::<DriverInfo>() == 196) };

    if interface.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    let mut info = DriverInfo { command: DRIVER_INFO, driver: [0; 32], rest: [0; 160] };
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut info).cast() },
    };
    // SAFETY: the kernel reads the name, which ends with a zero, and writes one `ethtool_drvinfo`
    // to `info`, which has its size and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let end = info.driver.iter().position(|&byte| byte == 0).unwrap_or(info.driver.len());
    Ok(String::from_utf8_lossy(&info.driver[..end]).into_owned())
}

// === impl SharedMemory ===

impl SharedMemory {
    /// Maps the first `length` bytes of the map's values for reading and writing.
    pub fn map(map: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses; no existing memory is
        // touched, and a bad descriptor or length is refused.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at null"))?;
        Ok(Self { start, length })
    }

    /// The word at a byte offset. Panics when the offset is unaligned or outside the mapping.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        let size = size_of::<AtomicU32>();
        assert!(
            offset.is_multiple_of(size) && offset + size <= self.length,
            "word {offset} is outside a mapping of {} bytes",
            self.length
        );
        // SAFETY: inside the mapping and aligned (mappings start at a page), alive as long as
        // `self`, and only ever used as an atomic on this side.
        unsafe { self.start.add(offset).cast::<AtomicU32>().as_ref() }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made; no reference outlives `self`.
        let _ = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

// SAFETY: the memory is only reachable as atomics, and unmapping is not tied to a thread.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}
