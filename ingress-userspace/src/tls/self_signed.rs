//! The certificate of last resort, made anew at each start. No client trusts it; it lets the
//! handshake end, so that the client sees a certificate error instead of a broken connection.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::SetupError;

/// ECDSA P-256, for a name that cannot exist (RFC 6761 6.4).
pub(super) fn certificate() -> Result<Arc<CertifiedKey>, SetupError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["default.genkan.invalid".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "Genkan default certificate");
    let certificate = params.self_signed(&key)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = any_ecdsa_type(&private)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing)))
}
