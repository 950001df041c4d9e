//! Server name to certificate, by the newest snapshot (T4, T5).

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::routing::{CertificateChoice, Snapshot, host};

#[derive(Debug)]
pub(super) struct Resolver {
    head: Arc<ArcSwap<Snapshot>>,
    /// Shown while the snapshot has no default certificate.
    self_signed: Arc<CertifiedKey>,
}

/// Whether a server name has a certificate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    No,
}

// === impl Resolver ===

impl Resolver {
    pub(super) fn new(head: Arc<ArcSwap<Snapshot>>, self_signed: Arc<CertifiedKey>) -> Self {
        Self { head, self_signed }
    }

    pub(super) fn knows(&self, sni: Option<&str>) -> Known {
        match self.choice(sni) {
            CertificateChoice::Host(_) => Known::Yes,
            CertificateChoice::Default(_) | CertificateChoice::Nothing => Known::No,
        }
    }

    fn choice(&self, sni: Option<&str>) -> CertificateChoice {
        let mut lower_case = String::new();
        let name = sni.and_then(|sni| host::server_name(sni, &mut lower_case));
        self.head.load().certificate(name)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self.choice(hello.server_name()) {
            CertificateChoice::Host(key) | CertificateChoice::Default(key) => Some(key),
            CertificateChoice::Nothing => Some(self.self_signed.clone()),
        }
    }
}
