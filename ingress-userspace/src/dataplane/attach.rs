//! Attaching `steer` to devices and `dispatch` to the network namespace, without a gap.
//!
//! Links are pinned and no descriptor is kept: they live on without this process, and go with their
//! pins. An own link of an earlier process gets the new program in place; the new `dispatch` is
//! attached beside the old one before that goes. Another's XDP program is never replaced.

use std::fmt;
use std::fs::File;

use aya::Ebpf;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, SkLookup, Xdp, XdpMode as AyaMode, loaded_programs};
use ingress_common::map::{PROGRAM_DISPATCH, PROGRAM_STEER};

use super::error::chain;
use super::pins::{release_link, unpin};
use super::{DataplaneError, Pins};
use crate::net::interface::{Interface, XdpAttachment, XdpMode};

/// How packets of a device come to `steer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steer {
    Native,
    /// In the network stack: correct, but slower. `reason`: why not native.
    Generic {
        reason: String,
    },
    /// Not at all: the kernel and `dispatch` serve the VIPs, without flood defence.
    Not {
        reason: String,
    },
}

/// Loads that a signal may interrupt before the last try.
const VERIFIER_TRIES: usize = 4;

/// What `steer` finds on a device.
enum Occupant {
    Nobody,
    /// Our own link; the new program takes its place.
    Ours(PinnedLink, XdpMode),
    Foreign(XdpAttachment),
}

// === impl Steer ===

impl Steer {
    pub fn is_attached(&self) -> bool {
        !matches!(self, Self::Not { .. })
    }
}

impl fmt::Display for Steer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Generic { reason } => write!(f, "generic ({reason})"),
            Self::Not { reason } => write!(f, "not attached ({reason})"),
        }
    }
}

pub(super) fn load_programs(ebpf: &mut Ebpf) -> Result<(), DataplaneError> {
    let failed = |name: &'static str| {
        move |error: ProgramError| {
            DataplaneError::kernel(format!("load the kernel program {name}"), &error)
        }
    };
    let steer = steer_program(ebpf)?;
    verified(|| steer.load()).map_err(failed(PROGRAM_STEER))?;
    let dispatch = dispatch_program(ebpf)?;
    verified(|| dispatch.load()).map_err(failed(PROGRAM_DISPATCH))
}

/// The verifier gives up with EAGAIN when a signal is pending; it is asked again, as libbpf does.
fn verified(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    for _ in 0..VERIFIER_TRIES {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
    load()
}

/// Attaches `dispatch` to the network namespace of the calling thread; an older one goes after.
pub(super) fn dispatch(ebpf: &mut Ebpf, pins: &Pins) -> Result<(), DataplaneError> {
    let namespace = File::open("/proc/thread-self/ns/net")
        .map_err(|error| DataplaneError::io("open the network namespace", error))?;
    let failed = |error: ProgramError| {
        DataplaneError::kernel("attach dispatch to the network namespace", &error)
    };
    let program = dispatch_program(ebpf)?;
    let id = program.attach(namespace).map_err(failed)?;
    let link: FdLink = program.take_link(id).map_err(failed)?.into();
    // The pin is switched in one step, so that one of both is always pinned.
    let (pin, next) = (pins.dispatch(), pins.next_dispatch());
    let switched = unpin(&next).and_then(|()| {
        link.pin(&next).map_err(std::io::Error::other)?;
        std::fs::rename(&next, &pin)
    });
    switched.map_err(|error| DataplaneError::io(format!("pin {}", pin.display()), error))
}

/// Attaches `steer` to a device. What can't be attached is no error: the reason is in the answer.
pub(super) fn steer(
    ebpf: &mut Ebpf,
    pins: &Pins,
    interface: &Interface,
) -> Result<Steer, DataplaneError> {
    let program = steer_program(ebpf)?;
    match occupant(pins, interface) {
        Occupant::Foreign(foreign) => Ok(Steer::Not { reason: describe(foreign) }),
        Occupant::Ours(pinned, mode) => match take_over(program, pinned) {
            Ok(()) => Ok(kept(mode)),
            Err(error) => {
                tracing::warn!(
                    target: "genkan::dataplane",
                    interface = interface.name,
                    "the attached program can't be replaced in place ({}): attaching anew",
                    chain(&error)
                );
                release(pins, interface.index)?;
                attach(program, pins, interface)
            }
        },
        Occupant::Nobody => {
            // A pin of a device that had this index before.
            release(pins, interface.index)?;
            attach(program, pins, interface)
        }
    }
}

/// Detaches `steer` from a device.
pub(super) fn release(pins: &Pins, interface: u32) -> Result<(), DataplaneError> {
    let pin = pins.steer(interface);
    release_link(&pin)
        .map_err(|error| DataplaneError::io(format!("detach {}", pin.display()), error))
}

fn occupant(pins: &Pins, interface: &Interface) -> Occupant {
    let Some(attached) = interface.xdp else { return Occupant::Nobody };
    let own = PinnedLink::from_pin(pins.steer(interface.index)).ok();
    match own {
        Some(pinned) if program_of(pins, interface.index) == Some(attached.program) => {
            Occupant::Ours(pinned, attached.mode)
        }
        _ => Occupant::Foreign(attached),
    }
}

/// Id of the program behind our pinned link.
fn program_of(pins: &Pins, interface: u32) -> Option<u32> {
    let link: FdLink = PinnedLink::from_pin(pins.steer(interface)).ok()?.into();
    Some(link.info().ok()?.program_id())
}

fn take_over(program: &mut Xdp, pinned: PinnedLink) -> Result<(), ProgramError> {
    let link = XdpLink::try_from(FdLink::from(pinned))
        .map_err(|error| ProgramError::IOError(std::io::Error::other(error)))?;
    let id = program.attach_to_link(link)?;
    // The pin holds it from here on.
    drop(program.take_link(id)?);
    Ok(())
}

/// How a link that was kept is attached. Why an earlier process fell back is not known here.
fn kept(mode: XdpMode) -> Steer {
    match mode {
        XdpMode::Native | XdpMode::Other => Steer::Native,
        XdpMode::Generic => {
            Steer::Generic { reason: "kept from the last start; detach to try again".to_owned() }
        }
    }
}

fn attach(program: &mut Xdp, pins: &Pins, interface: &Interface) -> Result<Steer, DataplaneError> {
    let native = match attach_in(program, pins, interface, AyaMode::Driver) {
        Ok(()) => return Ok(Steer::Native),
        Err(error) => why_not_native(interface, &error),
    };
    Ok(match attach_in(program, pins, interface, AyaMode::Skb) {
        Ok(()) => Steer::Generic { reason: native },
        Err(error) => Steer::Not { reason: format!("{native}; generic: {}", chain(&error)) },
    })
}

fn attach_in(
    program: &mut Xdp,
    pins: &Pins,
    interface: &Interface,
    mode: AyaMode,
) -> Result<(), ProgramError> {
    let id = program.attach_to_if_index(interface.index, mode)?;
    let link = FdLink::try_from(program.take_link(id)?)
        .map_err(|error| ProgramError::IOError(std::io::Error::other(error)))?;
    link.pin(pins.steer(interface.index))
        .map_err(|error| ProgramError::IOError(std::io::Error::other(error)))?;
    Ok(())
}

fn why_not_native(interface: &Interface, error: &ProgramError) -> String {
    let driver = interface.driver.as_deref().unwrap_or("without a driver name");
    let cause = match super::error::errno(error) {
        Some(libc::EOPNOTSUPP) => "it has no native XDP".to_owned(),
        Some(libc::EINVAL | libc::ERANGE | libc::E2BIG) => format!(
            "it refused, often for its MTU (now {}), LRO or too few queues: {}",
            interface.mtu,
            chain(error)
        ),
        _ => chain(error),
    };
    format!("driver {driver}: {cause}")
}

fn describe(foreign: XdpAttachment) -> String {
    let id = foreign.program;
    let mut unreadable = false;
    let named = loaded_programs()
        .filter_map(|program| program.inspect_err(|_| unreadable = true).ok())
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned));
    let program = match named {
        Some(name) => format!("{name} (id {id})"),
        // The usual case: without CAP_SYS_ADMIN programs are not listed.
        None if unreadable => format!("with id {id} (its name needs CAP_SYS_ADMIN)"),
        None => format!("with id {id}, which has no name,"),
    };
    format!("the XDP program {program} of somebody else is attached")
}

fn steer_program(ebpf: &mut Ebpf) -> Result<&mut Xdp, DataplaneError> {
    let program = ebpf.program_mut(PROGRAM_STEER).ok_or(ProgramError::NotLoaded);
    program
        .and_then(TryInto::try_into)
        .map_err(|error| DataplaneError::kernel("find the kernel program steer", &error))
}

fn dispatch_program(ebpf: &mut Ebpf) -> Result<&mut SkLookup, DataplaneError> {
    let program = ebpf.program_mut(PROGRAM_DISPATCH).ok_or(ProgramError::NotLoaded);
    program
        .and_then(TryInto::try_into)
        .map_err(|error| DataplaneError::kernel("find the kernel program dispatch", &error))
}
