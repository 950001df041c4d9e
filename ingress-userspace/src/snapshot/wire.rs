//! The words between an agent and its proxy, and how both agree on what they mean.
//!
//! ```text
//! proxy                                  agent
//!   Hello                  ───────────►
//!            ◄───────────  Welcome (+ the array of loads), or Refused
//!            ◄───────────  Snapshot: the first one as a whole
//!   Served                 ───────────►
//!   Listeners (+ sockets)  ───────────►    into the socket map, copies closed
//!            ◄───────────  Snapshot, Settings: what changes
//!   Served, Following      ───────────►
//!   Leaving                ───────────►    out of the socket map
//!            ◄───────────  Left
//! ```
//!
//! The end of the connection changes nothing on either side: the proxy serves what it has and
//! comes again, its sockets stay where they are until it ends.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::routing::replica::Message;

/// Of these messages and of all that they hold. The first number goes with an encoding that nobody
/// reads any more.
pub const VERSIONS: Versions = Versions { oldest: 1, newest: 1 };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    pub oldest: u32,
    pub newest: u32,
}

/// From the proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum FromProxy {
    /// First. Its encoding never changes.
    Hello { versions: Versions, program: String },
    /// A snapshot is in force: no request that comes from now on is answered by an older one.
    Served { version: u64 },
    /// Settings are in force.
    Following { number: u64 },
    /// Listening sockets come along.
    Listeners(Listeners),
    /// No connection is to come any more.
    Leaving,
    /// What it was told makes no sense; it begins anew.
    Confused { why: String },
}

/// Which sockets come along, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listeners {
    /// The CPU of each worker.
    pub cpus: Vec<u32>,
    /// The worker of each socket.
    pub workers: Vec<u32>,
    pub lending: Lending,
}

/// Whether an agent has had the sockets before: a place in the socket map must not be filled again
/// with the socket that it holds. Kernels before 6.14 lose sight of it then, and it stays there when
/// it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lending {
    /// All that the proxy has, for the first time.
    First,
    /// All that it has, after an agent has had them.
    Again,
    /// Some that are new among others.
    More,
}

/// From the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum FromAgent {
    /// The answer to `Hello`. The array in which workers publish their load comes along, if there
    /// is one. Its encoding never changes.
    Welcome {
        version: u32,
        program: String,
        ports: Vec<u16>,
    },
    /// No version in common. Its encoding never changes.
    Refused {
        why: String,
    },
    Settings(Settings),
    Snapshot(Message),
    /// Another proxy has the place: drain.
    Superseded,
    /// The answer to `Leaving`.
    Left,
}

/// What a proxy needs of the configuration: that, as JSON, because it is made to be read by any
/// version that knows its fields.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub number: u64,
    /// In force beside those before, until the next: connections of new VIPs are about to come.
    pub widen: bool,
    config: String,
}

// === impl Versions ===

impl Versions {
    /// The newest that both speak.
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.oldest, self.newest)
    }
}

// === impl Settings ===

impl Settings {
    pub fn new(number: u64, widen: bool, config: &Config) -> Self {
        // Named one by one: what is not the proxy's business stays with the agent.
        let told = Config {
            vips: config.vips.clone(),
            compat: config.compat,
            workers: config.workers,
            timeouts: config.timeouts,
            limits: config.limits,
            tls: config.tls.clone(),
            access_log: config.access_log.clone(),
            ..Config::default()
        };
        let config = serde_json::to_string(&told).expect("a configuration is plain values");
        Self { number, widen, config }
    }

    /// # Errors
    ///
    /// When the agent's version has fields that this one does not know.
    pub fn config(&self) -> Result<Config, serde_json::Error> {
        serde_json::from_str(&self.config)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({}{})", self.number, if self.widen { ", widen" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        let of = |oldest, newest| Versions { oldest, newest };
        for (ours, theirs, common) in [
            (of(1, 1), of(1, 1), Some(1)),
            (of(1, 3), of(2, 5), Some(3)),
            (of(4, 5), of(1, 4), Some(4)),
            (of(1, 2), of(3, 4), None),
            (of(3, 4), of(1, 2), None),
        ] {
            assert_eq!(ours.common(theirs), common, "{ours} and {theirs}");
            assert_eq!(theirs.common(ours), common);
        }
    }

    /// These three are read by every version, or two of them could not tell why they do not meet.
    #[test]
    fn the_first_words_never_change() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let versions = Versions { oldest: 1, newest: 2 };
        let hello = FromProxy::Hello { versions, program: "0.1".into() };
        assert_eq!(hex(postcard::to_stdvec(&hello).unwrap()), "00010203302e31");
        let welcome = FromAgent::Welcome { version: 2, program: "0.1".into(), ports: vec![80] };
        assert_eq!(hex(postcard::to_stdvec(&welcome).unwrap()), "000203302e310150");
        let refused = FromAgent::Refused { why: "no".into() };
        assert_eq!(hex(postcard::to_stdvec(&refused).unwrap()), "01026e6f");
    }

    #[test]
    fn a_proxy_learns_what_it_needs_of_the_configuration_and_nothing_else() {
        let mut config = Config::default();
        config.timeouts.keep_alive = std::time::Duration::from_millis(1500);
        config.access_log = crate::config::AccessLogConfig::default();
        config.classes.names = vec!["internal".to_owned()];
        let told = Settings::new(3, true, &config);
        let read = told.config().unwrap();
        assert_eq!(read.timeouts, config.timeouts);
        assert_ne!(read.classes, config.classes);
        assert!(!format!("{told:?}").contains("keep_alive"));
    }
}
