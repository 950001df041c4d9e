//! The signals that `genkan run` answers to.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    #[cfg(feature = "testing")]
    user: tokio::signal::unix::Signal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reread,
    /// SIGUSR2 in test builds: a worker ends by a panic.
    #[cfg(feature = "testing")]
    PanicWorker,
}

// === impl Signals ===

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            #[cfg(feature = "testing")]
            user: signal(SignalKind::user_defined2())?,
        })
    }

    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        #[cfg(feature = "testing")]
        let user = self.user.recv();
        #[cfg(not(feature = "testing"))]
        let user = std::future::pending::<Option<()>>();
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reread,
            _ = user => {
                #[cfg(feature = "testing")]
                let signal = Signal::PanicWorker;
                #[cfg(not(feature = "testing"))]
                let signal = Signal::Reread;
                signal
            }
        }
    }
}
