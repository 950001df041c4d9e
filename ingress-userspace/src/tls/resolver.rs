//! Server name to certificate, by the newest snapshot (T4, T5).

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::routing::{CertificateChoice, Snapshot, host};

#[derive(Debug)]
pub(super) struct Resolver {
    head: Arc<ArcSwap<Snapshot>>,
    /// Shown where the snapshot names no certificate.
    self_signed: Arc<CertifiedKey>,
}

// === impl Resolver ===

impl Resolver {
    pub(super) fn new(head: Arc<ArcSwap<Snapshot>>, self_signed: Arc<CertifiedKey>) -> Self {
        Self { head, self_signed }
    }

    /// Whether a `tls` entry names the server name, with a usable certificate or without.
    pub(super) fn knows(&self, sni: Option<&str>) -> bool {
        matches!(self.choice(sni), CertificateChoice::Known(_))
    }

    fn choice(&self, sni: Option<&str>) -> CertificateChoice {
        let mut lower_case = String::new();
        let name = sni.and_then(|sni| host::server_name(sni, &mut lower_case));
        self.head.load().certificate(name)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (CertificateChoice::Known(shown) | CertificateChoice::Unknown(shown)) =
            self.choice(hello.server_name());
        Some(shown.unwrap_or_else(|| self.self_signed.clone()))
    }
}
