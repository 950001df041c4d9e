//! Mozilla's root certificates, by which HTTPS endpoints are verified; a PEM bundle.

use pem::{EncodeConfig, LineEnding, Pem, encode_many_config};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Where programs look for it.
pub(super) const PATH: &str = "etc/ssl/certs/ca-certificates.crt";

pub(super) fn bundle() -> String {
    let certificates: Vec<Pem> = TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_has_every_root_and_reads_as_it_was_written() {
        let read = pem::parse_many(bundle()).unwrap();
        assert!(read.len() > 100, "{}", read.len());
        assert!(read.iter().zip(TLS_SERVER_ROOT_CERTS).all(|(pem, der)| pem.contents() == &**der));
    }
}
