//! What the service manager is told (`sd_notify`): one datagram each to the socket in
//! `NOTIFY_SOCKET`. Without that variable nothing is said.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

#[derive(Debug)]
pub(super) struct ServiceManager {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that this process is alive.
    watchdog: Option<Duration>,
}

// === impl ServiceManager ===

impl ServiceManager {
    pub(super) fn of_environment() -> Self {
        let to = env::var("NOTIFY_SOCKET").ok().and_then(|name| match open(&name) {
            Ok(to) => Some(to),
            Err(error) => {
                tracing::warn!("the service manager is not told anything: {name}: {error}");
                None
            }
        });
        let watchdog = watchdog(
            env::var("WATCHDOG_USEC").ok().as_deref(),
            env::var("WATCHDOG_PID").ok().as_deref(),
        );
        Self { to, watchdog }
    }

    /// This process serves; it is the main one of the service, whoever was before.
    pub(super) fn ready(&self) {
        self.tell(&format!("MAINPID={}\nREADY=1\nSTATUS=serving", std::process::id()));
    }

    pub(super) fn reloading(&self) {
        let micros = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
            now.tv_sec().unsigned_abs() * 1_000_000 + now.tv_nsec().unsigned_abs() / 1000
        });
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The end of [`Self::reloading`].
    pub(super) fn reloaded(&self) {
        self.tell("READY=1");
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    pub(super) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// The pause between two [`Self::alive`]; `None`: nobody wants to hear it.
    pub(super) fn pulse(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    fn tell(&self, text: &str) {
        if let Some((socket, to)) = &self.to
            && let Err(error) = socket.send_to_addr(text.as_bytes(), to)
        {
            tracing::warn!("the service manager was not told {text:?}: {error}");
        }
    }
}

fn open(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    Ok((UnixDatagram::unbound()?, to))
}

/// `WATCHDOG_PID` is that of the process before, when that one has started us.
fn watchdog(limit: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    let ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
    let micros = limit?.parse().ok().filter(|&micros: &u64| micros > 0 && ours)?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_service_manager_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let told = || {
            let mut buffer = [0; 256];
            let length = manager.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let to = open(path.to_str().unwrap()).unwrap();
        let process = ServiceManager { to: Some(to), watchdog: None };
        process.ready();
        assert_eq!(told(), format!("MAINPID={}\nREADY=1\nSTATUS=serving", std::process::id()));
        process.reloading();
        let text = told();
        let micros = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(micros.parse::<u64>().unwrap() > 0, "{text}");
        process.stopping();
        assert_eq!(told(), "STOPPING=1\nSTATUS=draining");
        process.alive();
        assert_eq!(told(), "WATCHDOG=1");
    }

    #[test]
    fn abstract_sockets_are_known() {
        let name = format!("genkan-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let to = open(&format!("@{name}")).unwrap();
        ServiceManager { to: Some(to), watchdog: None }.alive();
        assert_eq!(manager.recv(&mut [0; 64]).unwrap(), "WATCHDOG=1".len());
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let own = std::process::id().to_string();
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), Some(&own)), second);
        assert_eq!(watchdog(Some("1000000"), None), second);
        assert_eq!(watchdog(Some("1000000"), Some("1")), None);
        assert_eq!(watchdog(Some("0"), None), None);
        assert_eq!(watchdog(Some("soon"), None), None);
        assert_eq!(watchdog(None, None), None);
    }
}
