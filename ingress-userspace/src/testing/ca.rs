//! A certificate authority for tests: ECDSA leaves for any names, as PEM, as the base64 of a
//! Secret, and as ready rustls configurations of both ends.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A self-signed root. Two of them never trust each other.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// A leaf with its private key, issued by a [`TestCa`].
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The leaf certificate alone: the root needs no intermediate.
    pub certificate_pem: String,
    pub key_pem: String,
}

// === impl TestCa ===

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}

impl TestCa {
    pub fn new() -> Self {
        Self::named("Genkan test CA")
    }

    pub fn named(common_name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Self { issuer: Issuer::new(params, key), der, pem }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A leaf for DNS names (wildcards too) and IP addresses, valid now.
    pub fn issue(&self, names: &[&str]) -> Leaf {
        self.issue_with(names, |_| {})
    }

    /// A leaf whose validity ended in 2001.
    pub fn issue_expired(&self, names: &[&str]) -> Leaf {
        self.issue_with(names, |params| {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        })
    }

    pub fn issue_with(&self, names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        if let Some(first) = names.into_iter().next() {
            params.distinguished_name.push(DnType::CommonName, first);
        }
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// The trust store that holds this root alone.
    pub fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }

    /// A client that trusts this root alone; `alpn` in order of preference.
    pub fn client_config(&self, alpn: &[&str]) -> Arc<rustls::ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = protocols(alpn);
        Arc::new(config)
    }
}

// === impl Leaf ===

impl Leaf {
    /// `data["tls.crt"]` of a Secret.
    pub fn certificate_base64(&self) -> String {
        STANDARD.encode(&self.certificate_pem)
    }

    /// `data["tls.key"]` of a Secret.
    pub fn key_base64(&self) -> String {
        STANDARD.encode(&self.key_pem)
    }

    /// A `kubernetes.io/tls` Secret as one YAML document.
    pub fn secret_yaml(&self, namespace: &str, name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  namespace: {namespace}\n  name: {name}\n\
             type: kubernetes.io/tls\ndata:\n  tls.crt: {}\n  tls.key: {}\n",
            self.certificate_base64(),
            self.key_base64()
        )
    }

    pub fn certificate_der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).unwrap()
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).unwrap()
    }

    /// A server that shows this leaf to everybody; `alpn` in order of preference.
    pub fn server_config(&self, alpn: &[&str]) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate_der()], self.key_der())
            .unwrap();
        config.alpn_protocols = protocols(alpn);
        Arc::new(config)
    }
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaf_is_trusted_by_its_own_root_alone() {
        let (ca, other) = (TestCa::new(), TestCa::new());
        let leaf = ca.issue(&["a.example", "*.b.example", "192.0.2.1"]);
        let der = leaf.certificate_der();
        let certificate = webpki::EndEntityCert::try_from(&der).unwrap();
        let verify = |roots: rustls::RootCertStore| {
            certificate
                .verify_for_usage(
                    webpki::ALL_VERIFICATION_ALGS,
                    &roots.roots,
                    &[],
                    rustls::pki_types::UnixTime::now(),
                    webpki::KeyUsage::server_auth(),
                    None,
                    None,
                )
                .is_ok()
        };
        assert!(verify(ca.roots()));
        assert!(!verify(other.roots()));
        leaf.server_config(&["h2", "http/1.1"]);
    }
}
