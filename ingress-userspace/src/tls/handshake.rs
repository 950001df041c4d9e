//! What a handshake has come to, for counters and the access log.

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use super::Protocol;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    pub version: Version,
    pub protocol: Protocol,
    /// By a ticket or a kept session.
    pub resumed: bool,
    /// As registered, such as `TLS13_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
}

/// Others are not agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

// === impl Handshake ===

impl Handshake {
    pub const COUNT: usize = 8;

    pub(super) fn of(session: &ServerConnection, protocol: Protocol) -> Self {
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
            Some(_) | None => Version::Tls13,
        };
        let suite = session.negotiated_cipher_suite();
        Self {
            version,
            protocol,
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            cipher: suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown"),
        }
    }

    /// One for each index.
    pub fn all() -> impl Iterator<Item = Self> {
        let versions = [Version::Tls12, Version::Tls13];
        versions.into_iter().flat_map(|version| {
            [Protocol::Http1, Protocol::Http2].into_iter().flat_map(move |protocol| {
                [false, true].map(|resumed| Self { version, protocol, resumed, cipher: "" })
            })
        })
    }

    /// Dense, for counters; the cipher is not told apart.
    pub fn index(self) -> usize {
        let (version, protocol) = (self.version as usize, self.protocol as usize);
        version << 2 | protocol << 1 | usize::from(self.resumed)
    }

    pub fn version_label(self) -> &'static str {
        match self.version {
            Version::Tls12 => "TLSv1.2",
            Version::Tls13 => "TLSv1.3",
        }
    }

    pub fn alpn_label(self) -> &'static str {
        match self.protocol {
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_dense() {
        let indices: Vec<usize> = Handshake::all().map(Handshake::index).collect();
        assert_eq!(indices, (0..Handshake::COUNT).collect::<Vec<_>>());
    }
}
