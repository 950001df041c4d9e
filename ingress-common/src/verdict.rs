//! What became of a packet or of a lookup: one enum, one counter per value.
//!
//! `steer` ends every packet to a VIP in exactly one of its verdicts, `dispatch` every lookup for a
//! VIP in one of its own; a new connection is therefore counted once by each. Packets to other hosts
//! have no verdict and are not counted. The value is the index into [`Counters`].

use bytemuck::{Pod, Zeroable};

/// Slots of a counter block; more than there are verdicts, so that the layout can grow.
pub const COUNTER_SLOTS: usize = 32;

/// The per-CPU counters of one VIP, indexed by [`Verdict`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Pod, Zeroable)]
pub struct Counters {
    pub packets: [u64; COUNTER_SLOTS],
}

/// What the verdict makes of its packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// On to the kernel's network stack.
    Pass,
    /// Gone.
    Drop,
    /// Rewritten into an answer and sent back.
    Answer,
    /// A lookup that was given a listener.
    Assign,
    /// A lookup that was refused: the kernel answers RST or port unreachable.
    Refuse,
}

macro_rules! verdicts {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal, $action:ident, $text:literal;)+) => {
        /// The reason why a packet went where it went.
        #[repr(u32)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Verdict {
            $($(#[doc = $doc])+ $name = $value,)+
        }

        impl Verdict {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The label of metrics and events.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            #[inline(always)]
            pub const fn action(self) -> Action {
                match self { $(Self::$name => Action::$action,)+ }
            }

            /// One sentence for people: what happened and why.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }

        impl TryFrom<u32> for Verdict {
            type Error = u32;

            /// The number itself when no verdict has it.
            fn try_from(value: u32) -> Result<Self, u32> {
                match value { $($value => Ok(Self::$name),)+ other => Err(other) }
            }
        }
    };
}

verdicts! {
    // steer: to the stack
    /// TCP of a flow that has a socket here.
    TcpKnown = 0, Pass, "tcp_known";
    /// A SYN that may open a connection.
    TcpSyn = 1, Pass, "tcp_syn";
    /// TCP without SYN and without a socket: a cookie ACK, or the kernel answers RST.
    TcpUnknown = 2, Pass, "tcp_unknown";
    /// A SYN to a served port that has had no listener for longer than the grace time: the kernel refuses it.
    TcpNoListener = 3, Pass, "tcp_no_listener";
    /// UDP to a served port.
    Udp = 4, Pass, "udp";
    /// An ICMP error about a connection of the VIP.
    IcmpError = 5, Pass, "icmp_error";
    /// An echo request that only the stack can answer (options, extension headers).
    IcmpEchoLocal = 6, Pass, "icmp_echo_local";
    /// IPv6 neighbour discovery with the VIP.
    Neighbour = 7, Pass, "neighbour";
    /// A fragment: the stack puts it together and dispatch decides.
    Fragment = 8, Pass, "fragment";
    // steer: answered
    /// An echo request, answered on the spot.
    IcmpEcho = 9, Answer, "icmp_echo";
    // steer: dropped
    /// The source may not reach this VIP.
    Denied = 10, Drop, "denied";
    /// The source has opened more connections than its budget allows.
    OverBudget = 11, Drop, "over_budget";
    /// TCP to a port that the VIP does not serve.
    PortUnserved = 12, Drop, "port_unserved";
    /// A SYN while no worker listens, within the grace time: the client sends it again.
    ListenerAway = 13, Drop, "listener_away";
    /// UDP to a port that the VIP does not serve.
    UdpUnserved = 14, Drop, "udp_unserved";
    /// ICMP that is neither an echo request nor an error about a connection of the VIP.
    IcmpUnserved = 15, Drop, "icmp_unserved";
    /// Another IP protocol.
    ProtocolUnserved = 16, Drop, "protocol_unserved";
    /// The frame ends before its headers do.
    Truncated = 17, Drop, "truncated";
    /// Lengths or header fields contradict each other.
    Malformed = 18, Drop, "malformed";
    /// A combination of TCP flags that no connection uses.
    BadFlags = 19, Drop, "bad_flags";
    /// A source address that nobody can have.
    BadSource = 20, Drop, "bad_source";
    /// TTL or hop limit 0 on arrival.
    TtlExpired = 21, Drop, "ttl_expired";
    /// More IPv6 extension headers than are walked.
    HeaderChain = 22, Drop, "header_chain";
    // dispatch
    /// To the worker of the CPU that the packet came in on.
    DispatchCpu = 23, Assign, "dispatch_cpu";
    /// To the least loaded worker: that of the CPU is overloaded, absent or none.
    DispatchLeastLoaded = 24, Assign, "dispatch_least_loaded";
    /// The source may not reach this VIP.
    DispatchDenied = 25, Refuse, "dispatch_denied";
    /// A port that the VIP does not serve.
    DispatchUnserved = 26, Refuse, "dispatch_unserved";
    /// A served port, but no worker listens.
    DispatchNoListener = 27, Refuse, "dispatch_no_listener";
}

// === impl Verdict ===

impl Verdict {
    /// The program that gives this verdict.
    pub const fn program(self) -> &'static str {
        match self.action() {
            Action::Pass | Action::Drop | Action::Answer => crate::map::PROGRAM_STEER,
            Action::Assign | Action::Refuse => crate::map::PROGRAM_DISPATCH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;

    #[test]
    fn values_are_dense_and_names_unique() {
        let mut names = std::collections::HashSet::new();
        for (index, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, index);
            assert_eq!(Verdict::try_from(index as u32), Ok(*verdict));
            assert!(names.insert(verdict.name()));
            assert!(!verdict.description().is_empty());
        }
        assert!(Verdict::ALL.len() <= COUNTER_SLOTS);
        assert_eq!(Verdict::try_from(COUNTER_SLOTS as u32), Err(COUNTER_SLOTS as u32));
    }
}
