//! The two test runs.

use std::net::SocketAddr;

use aya::programs::{ProgramError, SkLookup, Xdp};
use aya::{Ebpf, TestRun, TestRunOptions};
use ingress_common::map::{PROGRAM_DISPATCH, PROGRAM_STEER};

use super::Probe;
use crate::dataplane::DataplaneError;
use crate::net::sys;

/// `struct bpf_sk_lookup` as user space gives it to a test run, and where its fields are.
const LOOKUP_SIZE: usize = 72;
const COOKIE: std::ops::Range<usize> = 0..8;
const FAMILY: usize = 8;
const PROTOCOL: usize = 12;
const REMOTE_V4: usize = 16;
const REMOTE_V6: usize = 20;
const REMOTE_PORT: usize = 36;
const LOCAL_V4: usize = 40;
const LOCAL_V6: usize = 44;
const LOCAL_PORT: usize = 60;

/// `steer` on the frame: its XDP action.
pub(super) fn steer(ebpf: &mut Ebpf, probe: &Probe) -> Result<&'static str, DataplaneError> {
    let failed = |error: ProgramError| {
        let attempt = match probe.interface {
            Some(index) => format!("run steer on a packet of the device {index}"),
            None => "run steer on a packet".to_owned(),
        };
        DataplaneError::kernel(attempt, &error)
    };
    // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let end = u32::try_from(probe.frame.len()).unwrap_or(u32::MAX);
    let device = probe.interface.unwrap_or(0);
    let words = [0, end, 0, device, 0, 0];
    let context: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    let mut out = vec![0; probe.frame.len() + 64];
    let options = TestRunOptions {
        data_in: Some(&probe.frame),
        data_out: Some(&mut out),
        ctx_in: probe.interface.map(|_| context.as_slice()),
        ..TestRunOptions::default()
    };
    let program = ebpf.program_mut(PROGRAM_STEER).ok_or(ProgramError::NotLoaded).map_err(failed)?;
    let program: &mut Xdp = program.try_into().map_err(failed)?;
    let result = program.test_run(options).map_err(failed)?;
    Ok(match result.return_value {
        1 => "drop",
        2 => "pass",
        3 => "tx",
        4 => "redirect",
        _ => "aborted",
    })
}

/// `dispatch` on a lookup for the packet: the cookie of the socket that it chose, 0 for none.
pub(super) fn dispatch(ebpf: &mut Ebpf, probe: &Probe) -> Result<u64, DataplaneError> {
    let failed =
        |error: ProgramError| DataplaneError::kernel("ask dispatch about a packet", &error);
    let program =
        ebpf.program_mut(PROGRAM_DISPATCH).ok_or(ProgramError::NotLoaded).map_err(failed)?;
    let program: &mut SkLookup = program.try_into().map_err(failed)?;
    let descriptor = program.fd().map_err(failed)?;
    let mut context = lookup(probe.source, probe.destination);
    sys::test_run_lookup(std::os::fd::AsFd::as_fd(descriptor), &mut context)
        .map_err(|error| DataplaneError::io("ask dispatch about a packet", error))?;
    let mut cookie = [0; 8];
    cookie.copy_from_slice(&context[COOKIE]);
    Ok(u64::from_ne_bytes(cookie))
}

/// The lookup that the kernel makes for a TCP packet.
fn lookup(source: SocketAddr, destination: SocketAddr) -> [u8; LOOKUP_SIZE] {
    let mut context = [0; LOOKUP_SIZE];
    let mut put = |at: usize, bytes: &[u8]| context[at..at + bytes.len()].copy_from_slice(bytes);
    let family = if source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    put(FAMILY, &family.to_ne_bytes());
    put(PROTOCOL, &libc::IPPROTO_TCP.to_ne_bytes());
    for (address, v4, v6) in [(source, REMOTE_V4, REMOTE_V6), (destination, LOCAL_V4, LOCAL_V6)] {
        match address {
            SocketAddr::V4(address) => put(v4, &address.ip().octets()),
            SocketAddr::V6(address) => put(v6, &address.ip().octets()),
        }
    }
    put(REMOTE_PORT, &source.port().to_be_bytes());
    put(LOCAL_PORT, &u32::from(destination.port()).to_ne_bytes());
    context
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_is_laid_out_as_the_kernel_reads_it() {
        let context =
            lookup("198.51.100.7:40000".parse().unwrap(), "203.0.113.80:443".parse().unwrap());
        assert_eq!(context[REMOTE_V4..REMOTE_V4 + 4], [198, 51, 100, 7]);
        assert_eq!(context[LOCAL_V4..LOCAL_V4 + 4], [203, 0, 113, 80]);
        assert_eq!(context[REMOTE_PORT..REMOTE_PORT + 2], 40000u16.to_be_bytes());
        assert_eq!(context[LOCAL_PORT..LOCAL_PORT + 4], 443u32.to_ne_bytes());
        assert!(context[LOCAL_PORT + 4..].iter().all(|byte| *byte == 0), "the kernel insists");
    }
}
