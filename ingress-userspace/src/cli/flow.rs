//! `genkan flow SRC:PORT DST:PORT`: what the kernel programs would do with a packet.
//!
//! The packet is built here and given to a second instance of the programs; the running ones and
//! their counters notice nothing.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::Args;

use super::{Output, USAGE};
use crate::dataplane::Pins;
use crate::dataplane::flow::{Answer, Dispatching, Probe, Trial};
use crate::net::packet::{ACK, FIN, Packet, RST, SYN};

const VLAN: u16 = 0x8100;
/// An echo request, by family.
const ECHO: u8 = 8;
const ECHO_V6: u8 = 128;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the packet comes from; the port may be left out.
    #[arg(value_name = "SRC:PORT", value_parser = endpoint)]
    source: SocketAddr,

    /// Where it goes to, usually a VIP.
    #[arg(value_name = "DST:PORT", value_parser = endpoint)]
    destination: SocketAddr,

    /// TCP with this flag; SYN when none is given.
    #[arg(long)]
    syn: bool,

    #[arg(long, help = "TCP with this flag")]
    ack: bool,

    #[arg(long, help = "TCP with this flag")]
    rst: bool,

    #[arg(long, help = "TCP with this flag")]
    fin: bool,

    /// The first fragment of a packet.
    #[arg(long)]
    frag: bool,

    /// A datagram instead of TCP.
    #[arg(long, conflicts_with_all = ["icmp", "syn", "ack", "rst", "fin"])]
    udp: bool,

    /// An echo request instead of TCP.
    #[arg(long, conflicts_with_all = ["syn", "ack", "rst", "fin"])]
    icmp: bool,

    /// A VLAN tag; a second one is the inner one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..4095))]
    vlan: Vec<u16>,

    /// TTL or hop limit on arrival.
    #[arg(long, value_name = "N", default_value = "64")]
    ttl: u8,

    /// Device that it comes in on; it has to have `steer` attached.
    #[arg(long, value_name = "DEV")]
    interface: Option<String>,

    /// Form of the answer.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

// === impl Arguments ===

impl Arguments {
    /// Exit code 1 when the packet would be dropped or its connection refused.
    ///
    /// # Errors
    ///
    /// When there are no programs to ask, or `out` does not take the answer.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let probe = match self.probe() {
            Ok(probe) => probe,
            Err(why) => {
                eprintln!("error: {why}");
                return Ok(ExitCode::from(USAGE));
            }
        };
        let answer = Trial::load(Pins::default())?.ask(&probe)?;
        match self.output {
            Output::Text => text(out, &answer)?,
            Output::Json => writeln!(out, "{:#}", serde_json::to_value(&answer)?)?,
        }
        Ok(if is_good(&answer) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn probe(&self) -> Result<Probe, String> {
        let (source, destination) = (self.source, self.destination);
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(format!("{source} and {destination} are not of one family"));
        }
        if self.vlan.len() > 2 {
            return Err("at most two VLAN tags are read".to_owned());
        }
        let interface = match &self.interface {
            None => None,
            Some(name) => match nix::net::if_::if_nametoindex(name.as_str()) {
                Ok(index) => Some(index),
                Err(error) => return Err(format!("{name}: {error}")),
            },
        };
        let is_tcp = !self.udp && !self.icmp;
        Ok(Probe { source, destination, frame: self.frame(), interface, is_tcp })
    }

    fn frame(&self) -> Vec<u8> {
        let (source, destination) = (self.source, self.destination);
        let mut packet = Packet::new(source.ip(), destination.ip()).ttl(self.ttl);
        for &id in &self.vlan {
            packet = packet.tag(VLAN, id);
        }
        if self.frag {
            packet = packet.fragment(0, true);
        }
        if self.icmp {
            let kind = if source.is_ipv4() { ECHO } else { ECHO_V6 };
            return packet.icmp(kind, 0, &[0, 1, 0, 1]);
        }
        if self.udp {
            return packet.udp(source.port(), destination.port(), &[]);
        }
        let given = [(self.syn, SYN), (self.ack, ACK), (self.rst, RST), (self.fin, FIN)];
        let flags = given.iter().filter(|(given, _)| *given).fold(0, |flags, (_, bit)| flags | bit);
        packet.tcp(source.port(), destination.port(), if flags == 0 { SYN } else { flags })
    }
}

fn is_good(answer: &Answer) -> bool {
    let passes = matches!(answer.steer.action, "pass" | "tx" | "redirect");
    passes && answer.dispatch.iter().all(|dispatch| dispatch.worker.is_some())
}

fn text(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let steer = &answer.steer;
    let verdict = steer.verdict.unwrap_or("none");
    writeln!(out, "steer: {} (verdict {verdict}{})", steer.action, counter(steer.counter))?;
    writeln!(out, "  {}", steer.description)?;
    if answer.spread > 0 && steer.action == "pass" {
        writeln!(out, "  then to one of {} CPUs (steering.cpumap)", answer.spread)?;
    }
    for dispatch in &answer.dispatch {
        let Dispatching { cpus, verdict, description, counter: at, worker } = dispatch;
        let worker = match worker {
            Some(worker) => format!("worker {worker}"),
            None => "nobody".to_owned(),
        };
        let counter = counter(Some(*at));
        writeln!(out, "dispatch on CPU {}: {worker} (verdict {verdict}{counter})", ranges(cpus))?;
        writeln!(out, "  {description}")?;
    }
    Ok(())
}

fn counter(at: Option<(u32, u32)>) -> String {
    at.map(|(vip, index)| format!(", counter {index} of VIP {vip}")).unwrap_or_default()
}

/// `0-3,8`.
fn ranges(numbers: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let part = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

/// An address with or without port.
fn endpoint(text: &str) -> Result<SocketAddr, String> {
    let alone = text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    text.parse().or(alone).map_err(|_| "ADDRESS:PORT or [IPV6]:PORT is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn probe(arguments: &[&str]) -> Result<Probe, String> {
        Alone::parse_from([&["flow"], arguments].concat()).arguments.probe()
    }

    #[test]
    fn the_packet_is_the_one_that_was_asked_for() {
        let syn = probe(&["198.51.100.7:40000", "203.0.113.80:443"]).unwrap();
        assert_eq!(syn.frame[14 + 20 + 13], SYN);
        assert!(syn.is_tcp);
        let ends = probe(&["[2001:db8::1]:4", "[2001:db8::2]:443", "--fin", "--ack"]).unwrap();
        assert_eq!(ends.frame[14 + 40 + 13], FIN | ACK);
        let tagged = probe(&["192.0.2.1", "203.0.113.80", "--icmp", "--vlan", "7"]).unwrap();
        assert_eq!(tagged.frame[12..16], [0x81, 0, 0, 7]);
        assert_eq!(tagged.frame[18 + 20], ECHO);
        let low = probe(&["192.0.2.1:1", "203.0.113.80:1", "--udp", "--ttl", "1"]).unwrap();
        assert_eq!((low.frame[14 + 8], low.frame[14 + 9]), (1, 17));
        let part = probe(&["192.0.2.1:1", "203.0.113.80:80", "--frag"]).unwrap();
        assert_eq!(part.frame[14 + 6] & 0x20, 0x20);
    }

    #[test]
    fn mixed_families_too_many_tags_and_unknown_devices_are_refused() {
        assert!(probe(&["192.0.2.1:1", "[2001:db8::1]:80"]).is_err());
        let tags = ["192.0.2.1:1", "203.0.113.80:80", "--vlan=1", "--vlan=2", "--vlan=3"];
        assert!(probe(&tags).is_err());
        assert!(probe(&["192.0.2.1:1", "203.0.113.80:80", "--interface", "none-such"]).is_err());
        assert!(endpoint("192.0.2.1:x").is_err());
    }

    #[test]
    fn cpus_are_told_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
    }
}
