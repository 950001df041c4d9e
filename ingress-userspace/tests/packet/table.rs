//! The packet table: what becomes of each awkward packet, in both families.
//!
//! Runs against the decision code on the host and against the loaded program in the kernel.

use ingress_common::Verdict;

use super::builder::{ACK, FIN, PSH, Packet, RST, SYN, tcp, udp};
use super::world::{CLOSED, GUARDED, KNOWN_PORT, OPEN, SIDES, Side, ip};

pub(crate) struct Fixture {
    pub(crate) description: String,
    pub(crate) packet: Vec<u8>,
    /// The VIP whose counter moves and the verdict that is counted; `None` for other hosts' packets.
    pub(crate) verdict: Option<(u32, Verdict)>,
    /// The frame afterwards, where it is not the one that came in.
    pub(crate) answer: Option<Vec<u8>>,
}

struct Table {
    side: Side,
    fixtures: Vec<Fixture>,
}

pub(crate) fn table() -> Vec<Fixture> {
    let mut all = Vec::new();
    for side in SIDES {
        let mut table = Table { side, fixtures: Vec::new() };
        table.other_hosts();
        table.tcp();
        table.rules();
        table.layers();
        table.udp_and_others();
        table.icmp();
        if side.name == "v4" {
            table.only_v4();
        } else {
            table.only_v6();
        }
        all.append(&mut table.fixtures);
    }
    all
}

impl Table {
    fn add(&mut self, description: &str, packet: Vec<u8>, verdict: Verdict) {
        self.add_for(OPEN, description, packet, verdict);
    }

    fn add_for(&mut self, vip: u32, description: &str, packet: Vec<u8>, verdict: Verdict) {
        self.push(description, packet, Some((vip, verdict)), None);
    }

    fn pass(&mut self, description: &str, packet: Vec<u8>) {
        self.push(description, packet, None, None);
    }

    fn push(
        &mut self,
        description: &str,
        packet: Vec<u8>,
        verdict: Option<(u32, Verdict)>,
        answer: Option<Vec<u8>>,
    ) {
        let description = format!("{}: {description}", self.side.name);
        self.fixtures.push(Fixture { description, packet, verdict, answer });
    }

    /// From the known client to the open VIP.
    fn to_vip(&self) -> Packet {
        Packet::new(ip(self.side.client), ip(self.side.open))
    }

    fn is_v4(&self) -> bool {
        self.side.name == "v4"
    }

    fn other_hosts(&mut self) {
        let other = Packet::new(ip(self.side.client), ip(self.side.other));
        self.pass("tcp to another host", other.clone().tcp(40_000, 80, SYN));
        self.pass(
            "fragment to another host",
            other.clone().fragment(100, true).payload(17, &[0; 32]),
        );
        self.pass("no flags to another host", other.clone().tcp(40_000, 80, 0));
        self.pass("hop limit 0 to another host", other.clone().ttl(0).tcp(40_000, 80, SYN));
        self.pass("ping of another host", other.clone().icmp(8, 0, &[0, 1, 0, 1]));
        self.pass("tagged tcp to another host", other.clone().tag(0x8100, 7).tcp(1, 80, SYN));
        self.pass("frame that ends in the IP header", other.clone().tcp(1, 80, SYN)[..30].to_vec());
        self.pass("GRE to another host", other.payload(47, &[0; 16]));
        let mut arp = self.to_vip().tcp(1, 80, SYN);
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        self.pass("ARP", arp);
        let back = Packet::new(ip(self.side.open), ip(self.side.other));
        self.pass("from the VIP to another host", back.tcp(80, 40_000, ACK));
    }

    fn tcp(&mut self) {
        let vip = self.to_vip();
        let flags = |flags| vip.clone().tcp(40_000, 80, flags);
        self.add("SYN", flags(SYN), Verdict::TcpSyn);
        self.add("SYN with ECE and CWR", flags(SYN | 0xc0), Verdict::TcpSyn);
        self.add("SYN to the second port", vip.clone().tcp(40_000, 443, SYN), Verdict::TcpSyn);
        self.add("ACK of no flow", flags(ACK), Verdict::TcpUnknown);
        self.add("RST of no flow", flags(RST), Verdict::TcpUnknown);
        self.add("FIN and ACK of no flow", flags(FIN | ACK), Verdict::TcpUnknown);
        let known = |flags| vip.clone().tcp(KNOWN_PORT, 80, flags);
        self.add("ACK of a known flow", known(ACK), Verdict::TcpKnown);
        self.add("RST of a known flow", known(RST), Verdict::TcpKnown);
        self.add("data of a known flow", known(PSH | ACK), Verdict::TcpKnown);
        self.add("SYN of a known flow", known(SYN), Verdict::TcpSyn);
        let port = vip.clone().tcp(KNOWN_PORT, 443, ACK);
        self.add("known client, other port", port, Verdict::TcpUnknown);
        for port in [22, 81, 8080, 0] {
            let packet = vip.clone().tcp(40_000, port, SYN);
            self.add(&format!("SYN to unserved port {port}"), packet, Verdict::PortUnserved);
        }
        self.add("ACK to an unserved port", vip.clone().tcp(1, 22, ACK), Verdict::PortUnserved);
        for (name, bits) in [
            ("no flags", 0),
            ("FIN alone", FIN),
            ("FIN, PSH, URG", FIN | PSH | 32),
            ("SYN and FIN", SYN | FIN),
            ("SYN and RST", SYN | RST),
            ("SYN and ACK", SYN | ACK),
            ("RST and FIN", RST | FIN),
            ("all flags", 0xff),
        ] {
            self.add(name, flags(bits), Verdict::BadFlags);
        }
        self.add("source port 0", vip.clone().tcp(0, 80, SYN), Verdict::Malformed);
        let mut header = tcp(40_000, 80, SYN);
        header[12] = 4 << 4;
        self.add("TCP header of 16 bytes", vip.clone().payload(6, &header), Verdict::Malformed);
        header[12] = 15 << 4;
        self.add(
            "TCP header beyond the packet",
            vip.clone().payload(6, &header),
            Verdict::Malformed,
        );
        self.add("TCP header cut short", vip.payload(6, &header[..16]), Verdict::Truncated);
    }

    fn rules(&mut self) {
        let Side { client, denied, stranger, guarded, closed, .. } = self.side;
        for (vip, address, source, admitted, name) in [
            (GUARDED, guarded, client, true, "unlisted source, deny list"),
            (GUARDED, guarded, denied, false, "denied source, deny list"),
            (CLOSED, closed, client, true, "listed source, allow list"),
            (CLOSED, closed, denied, false, "denied hole of an allow list"),
            (CLOSED, closed, stranger, false, "unlisted source, allow list"),
        ] {
            let packet = Packet::new(ip(source), ip(address));
            let verdict = |passed| if admitted { passed } else { Verdict::Denied };
            let syn = packet.clone().tcp(40_000, 80, SYN);
            self.add_for(vip, &format!("SYN, {name}"), syn, verdict(Verdict::TcpSyn));
            let ack = packet.tcp(40_000, 80, ACK);
            self.add_for(vip, &format!("ACK, {name}"), ack, verdict(Verdict::TcpUnknown));
        }
        let ping = Packet::new(ip(denied), ip(guarded));
        let kind = if self.is_v4() { 8 } else { 128 };
        let ping = ping.icmp(kind, 0, &[0, 1, 0, 1]);
        self.add_for(GUARDED, "ping of a denied source", ping, Verdict::Denied);
    }

    fn layers(&mut self) {
        let vip = self.to_vip();
        let syn = |packet: Packet| packet.tcp(40_000, 80, SYN);
        self.add("one VLAN tag", syn(vip.clone().tag(0x8100, 5)), Verdict::TcpSyn);
        let two = vip.clone().tag(0x88a8, 5).tag(0x8100, 6);
        self.add("two VLAN tags", syn(two.clone()), Verdict::TcpSyn);
        let unserved = two.clone().tcp(1, 22, SYN);
        self.add("unserved port behind two tags", unserved, Verdict::PortUnserved);
        self.pass("three VLAN tags", syn(two.tag(0x8100, 7)));
        self.add("padded frame", syn(vip.clone().padding(6)), Verdict::TcpSyn);
        self.add("hop limit 0", syn(vip.clone().ttl(0)), Verdict::TtlExpired);
        self.add("hop limit 1", syn(vip.clone().ttl(1)), Verdict::TcpSyn);
        let longer = syn(vip.clone().claimed_length(200));
        self.add("claims more than the frame has", longer, Verdict::Truncated);
        let wrong = if self.is_v4() { 0x55 } else { 0x50 };
        self.add("wrong version", syn(vip.first_byte(wrong)), Verdict::Malformed);
        let open = ip(self.side.open);
        self.add("from the VIP itself", syn(Packet::new(open, open)), Verdict::BadSource);
        let bad: &[&str] = if self.is_v4() {
            &["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"]
        } else {
            &["::", "::1", "ff02::1"]
        };
        for source in bad {
            let packet = syn(Packet::new(ip(source), open));
            self.add(&format!("from {source}"), packet, Verdict::BadSource);
        }
    }

    fn udp_and_others(&mut self) {
        let vip = self.to_vip();
        self.add("UDP", vip.clone().udp(5000, 443, &[1, 2, 3]), Verdict::UdpUnserved);
        let mut short = udp(5000, 443, &[]);
        short[5] = 4;
        self.add("UDP that claims 4 bytes", vip.clone().payload(17, &short), Verdict::Malformed);
        self.add("UDP cut short", vip.clone().payload(17, &short[..6]), Verdict::Truncated);
        self.add("GRE", vip.clone().payload(47, &[0; 16]), Verdict::ProtocolUnserved);
        self.add("SCTP", vip.clone().payload(132, &[0; 16]), Verdict::ProtocolUnserved);
        let header = tcp(40_000, 80, SYN);
        let first = vip.clone().fragment(0, true).payload(6, &header);
        self.add("first fragment of TCP", first, Verdict::Fragment);
        let later = vip.clone().fragment(185, true).payload(6, &[0; 64]);
        self.add("later fragment of TCP", later, Verdict::Fragment);
        let last = vip.clone().fragment(370, false).payload(6, &[0; 8]);
        self.add("last fragment of TCP", last, Verdict::Fragment);
        let datagram = vip.clone().fragment(185, false).payload(17, &[0; 64]);
        self.add("fragment of UDP", datagram, Verdict::UdpUnserved);
        let gre = vip.clone().fragment(185, false).payload(47, &[0; 64]);
        self.add("fragment of GRE", gre, Verdict::ProtocolUnserved);
        let icmp = if self.is_v4() { 1 } else { 58 };
        for (name, offset, more) in [("first", 0, true), ("later", 185, false)] {
            let ping = vip.clone().fragment(offset, more).payload(icmp, &[8, 0, 0, 0, 0, 1, 0, 1]);
            self.add(&format!("{name} fragment of ICMP"), ping, Verdict::IcmpUnserved);
            let denied = Packet::new(ip(self.side.denied), ip(self.side.guarded));
            let denied = denied.fragment(offset, more).payload(6, &header);
            self.add_for(GUARDED, &format!("denied {name} fragment"), denied, Verdict::Denied);
        }
    }

    fn icmp(&mut self) {
        let vip = self.to_vip();
        let (echo, reply) = if self.is_v4() { (8, 0) } else { (128, 129) };
        let data = [&[0x12, 0x34, 0, 1][..], b"the payload stays"].concat();
        for (name, packet) in [
            ("ping", vip.clone()),
            ("ping, hop limit 1", vip.clone().ttl(1)),
            ("ping, hop limit 255", vip.clone().ttl(255)),
            ("tagged ping", vip.clone().tag(0x8100, 9)),
        ] {
            let answer = packet.clone().reversed().ttl(64).icmp(reply, 0, &data);
            let verdict = Some((OPEN, Verdict::IcmpEcho));
            self.push(name, packet.icmp(echo, 0, &data), verdict, Some(answer));
        }
        self.add("echo with code 1", vip.clone().icmp(echo, 1, &data), Verdict::IcmpUnserved);
        self.add("echo reply", vip.clone().icmp(reply, 0, &data), Verdict::IcmpUnserved);
        let redirect = if self.is_v4() { 5 } else { 137 };
        self.add("redirect", vip.clone().icmp(redirect, 0, &[0; 36]), Verdict::IcmpUnserved);
        self.add("ICMP cut short", vip.clone().icmp(echo, 0, &[0]), Verdict::Truncated);

        let (too_big, exceeded) = if self.is_v4() { ((3, 4), (11, 0)) } else { ((2, 0), (3, 0)) };
        let sent = vip.clone().reversed();
        let quote = |packet: &Packet, port| {
            [&[0, 0, 5, 0xdc][..], &packet.ip(6, &tcp(port, 40_000, ACK))].concat()
        };
        for (name, (kind, code)) in [("too big", too_big), ("time exceeded", exceeded)] {
            let error = vip.clone().icmp(kind, code, &quote(&sent, 80));
            self.add(&format!("{name} about our connection"), error, Verdict::IcmpError);
            let error = vip.clone().icmp(kind, code, &quote(&sent, 22));
            self.add(&format!("{name} about an unserved port"), error, Verdict::IcmpUnserved);
        }
        let strange = Packet::new(ip(self.side.other), ip(self.side.client));
        let error = vip.clone().icmp(too_big.0, too_big.1, &quote(&strange, 80));
        self.add("too big about another host's packet", error, Verdict::IcmpUnserved);
        let cut = quote(&sent, 80);
        let error = vip.icmp(too_big.0, too_big.1, &cut[..20]);
        self.add("error with a quote cut short", error, Verdict::Truncated);
    }

    fn only_v4(&mut self) {
        let vip = self.to_vip();
        let options = vip.clone().options(&[1, 1, 1, 1, 1, 1, 1, 0]);
        self.add("SYN behind IP options", options.clone().tcp(1, 80, SYN), Verdict::TcpSyn);
        let full = vip.clone().options(&[1; 40]);
        self.add("unserved behind 40 bytes", full.tcp(1, 22, SYN), Verdict::PortUnserved);
        let ping = options.icmp(8, 0, &[0, 1, 0, 1]);
        self.add("ping with options", ping, Verdict::IcmpEchoLocal);
        let syn = tcp(1, 80, SYN);
        let short = vip.clone().first_byte(0x44).payload(6, &syn);
        self.add("header length 16", short, Verdict::Malformed);
        let less = vip.clone().claimed_length(12).payload(6, &syn);
        self.add("total length below the header", less, Verdict::Malformed);
        let cut = vip.clone().claimed_length(30).payload(6, &syn);
        self.add("total length ends in the TCP header", cut, Verdict::Truncated);
        self.add("timestamp request", vip.icmp(13, 0, &[0; 16]), Verdict::IcmpUnserved);
    }

    fn only_v6(&mut self) {
        let vip = self.to_vip();
        let pad = [0, 1, 4, 0, 0, 0, 0];
        let destination = vip.clone().extension(60, &pad);
        self.add("SYN behind options", destination.clone().tcp(1, 80, SYN), Verdict::TcpSyn);
        let hops = vip.clone().extension(0, &pad).extension(60, &pad);
        self.add("unserved behind options", hops.clone().tcp(1, 22, SYN), Verdict::PortUnserved);
        let known = hops.tcp(KNOWN_PORT, 80, ACK);
        self.add("known flow behind options", known, Verdict::TcpKnown);
        let ping = destination.icmp(128, 0, &[0, 1, 0, 1]);
        self.add("ping behind options", ping, Verdict::IcmpEchoLocal);
        let authentication = vip
            .clone()
            .extension(51, &[4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let authentication = authentication.tcp(1, 80, SYN);
        self.add("SYN behind authentication", authentication, Verdict::TcpSyn);
        let atomic = vip.clone().fragment(0, false).tcp(1, 80, SYN);
        self.add("atomic fragment", atomic, Verdict::TcpSyn);
        let behind = [&[6][..], &pad, &tcp(40_000, 80, SYN)].concat();
        let first = vip.clone().fragment(0, true).payload(60, &behind);
        self.add("first fragment with options before the SYN", first, Verdict::Fragment);
        let whole = vip.clone().fragment(0, false).payload(60, &behind);
        self.add("atomic fragment with options before the SYN", whole, Verdict::TcpSyn);
        let mut routed = [0; 23];
        routed[..3].copy_from_slice(&[2, 0, 0]);
        let done = vip.clone().extension(43, &routed).tcp(1, 80, SYN);
        self.add("routing header at its end", done, Verdict::TcpSyn);
        routed[2] = 1;
        let more = vip.clone().extension(43, &routed).tcp(1, 80, SYN);
        self.add("routing header with segments left", more, Verdict::Malformed);
        let chain = |count| (0..count).fold(vip.clone(), |packet, _| packet.extension(60, &pad));
        self.add("six extension headers", chain(6).tcp(1, 80, SYN), Verdict::TcpSyn);
        self.add("seven extension headers", chain(7).tcp(1, 80, SYN), Verdict::HeaderChain);
        let mut long = vec![63];
        long.resize(511, 0);
        let far = vip.clone().extension(60, &long).extension(60, &pad).tcp(1, 80, SYN);
        self.add("extension headers of 520 bytes", far, Verdict::HeaderChain);
        let beyond = vip.clone().extension(60, &[200, 0, 0, 0, 0, 0, 0]).tcp(1, 80, SYN);
        self.add("extension header beyond the packet", beyond, Verdict::Truncated);
        self.add("no next header", vip.clone().payload(59, &[]), Verdict::ProtocolUnserved);
        let target = [&[0; 4][..], &vip_octets(self.side.open)].concat();
        let solicit = vip.clone().ttl(255).icmp(135, 0, &target);
        self.add("neighbour solicitation", solicit, Verdict::Neighbour);
        let advertise = vip.clone().ttl(255).icmp(136, 0, &target);
        self.add("neighbour advertisement", advertise, Verdict::Neighbour);
        let routed = vip.clone().ttl(64).icmp(135, 0, &target);
        self.add("neighbour solicitation from afar", routed, Verdict::IcmpUnserved);
        self.add(
            "router advertisement",
            vip.ttl(255).icmp(134, 0, &[0; 12]),
            Verdict::IcmpUnserved,
        );
    }
}

fn vip_octets(address: &str) -> Vec<u8> {
    match ip(address) {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
