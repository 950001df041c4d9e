//! T3.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::model::{CertificateSecret, SecretCertificate};
use crate::testing::ca::TestCa;

/// A self-signed certificate and its key in the traditional form (PKCS#1 or SEC1), which is what
/// PKCS#8 wraps.
fn traditional(algorithm: &'static rcgen::SignatureAlgorithm, label: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let pkcs8 = key.serialize_der();
    let (info, _) = element(&pkcs8);
    let (_version, rest) = element(info);
    let (_algorithm, rest) = element(rest);
    let (inner, _) = element(rest);
    let encoded = STANDARD.encode(inner);
    (certificate, format!("-----BEGIN {label}-----\n{encoded}\n-----END {label}-----\n"))
}

/// Content of the first DER element, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            let digits = &der[2..2 + count];
            (digits.iter().fold(0, |n, digit| n << 8 | usize::from(*digit)), 2 + count)
        }
    };
    der[start..].split_at(length)
}

fn secret(kind: &str, chain: &str, key: &str) -> (Option<CertificateSecret>, Vec<Problem>) {
    let yaml = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ntype: {kind}\ndata:\n  tls.crt: \
         '{}'\n  tls.key: '{}'\n",
        STANDARD.encode(chain),
        STANDARD.encode(key)
    );
    read(&yaml)
}

fn read(yaml: &str) -> (Option<CertificateSecret>, Vec<Problem>) {
    let (objects, problems) = decoded(yaml);
    let secret = objects.into_iter().find_map(|object| match object {
        Object::Secret(secret) => Some(secret.certificate),
        _ => None,
    });
    let secret = secret.and_then(|certificate| match certificate {
        SecretCertificate::Usable(certificate) => Some(certificate),
        SecretCertificate::Absent | SecretCertificate::Unreadable => None,
    });
    (secret, problems)
}

#[test]
fn t3_reads_pairs_of_both_types() {
    let leaf = TestCa::new().issue(&["a.example", "*.B.example", "192.0.2.1"]);
    for kind in ["kubernetes.io/tls", "Opaque", "null"] {
        let (secret, problems) = secret(kind, &leaf.certificate_pem, &leaf.key_pem);
        assert_eq!(problems, [], "{kind}");
        let secret = secret.unwrap();
        let names: Vec<_> = secret.names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["a.example", "*.b.example"]);
        assert!(secret.not_before < secret.not_after);
        assert_eq!(secret.fingerprint.len(), 64);
        assert!(!format!("{secret:?}").contains("PRIVATE"));
    }
}

#[test]
fn t3_takes_pkcs1_pkcs8_and_sec1_keys() {
    let leaf = TestCa::new().issue(&["a.example"]);
    let pkcs8 = (leaf.certificate_pem, leaf.key_pem);
    assert!(pkcs8.1.contains("BEGIN PRIVATE KEY"));
    let pkcs1 = traditional(&rcgen::PKCS_RSA_SHA256, "RSA PRIVATE KEY");
    let sec1 = traditional(&rcgen::PKCS_ECDSA_P256_SHA256, "EC PRIVATE KEY");
    for (chain, key) in [pkcs8, pkcs1, sec1] {
        let (secret, problems) = secret("kubernetes.io/tls", &chain, &key);
        assert_eq!(problems, []);
        assert!(secret.is_some());
    }
}

#[test]
fn t3_the_leaf_comes_first() {
    let ca = TestCa::new();
    let leaf = ca.issue(&["a.example"]);
    let right = format!("{}{}", leaf.certificate_pem, ca.pem());
    let (read, problems) = secret("kubernetes.io/tls", &right, &leaf.key_pem);
    assert_eq!(problems, []);
    assert_eq!(read.unwrap().certified.chain().len(), 2);

    let wrong = format!("{}{}", ca.pem(), leaf.certificate_pem);
    let (read, problems) = secret("kubernetes.io/tls", &wrong, &leaf.key_pem);
    assert_eq!(read, None);
    assert_eq!(told(&problems), ["data[tls.key]: SecretInvalid"]);
    assert!(problems[0].message.contains("certificate 2 of the chain"), "{problems:?}");
}

#[test]
fn t3_key_and_leaf_belong_together() {
    let ca = TestCa::new();
    let (one, two) = (ca.issue(&["a.example"]), ca.issue(&["a.example"]));
    let (secret, problems) = secret("kubernetes.io/tls", &one.certificate_pem, &two.key_pem);
    assert_eq!(secret, None);
    assert_eq!(told(&problems), ["data[tls.key]: SecretInvalid"]);
}

#[test]
fn t3_broken_content_names_the_key_and_says_why() {
    let leaf = TestCa::new().issue(&["a.example"]);
    let (crt, key) = (&leaf.certificate_pem, &leaf.key_pem);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE \
                     KEY-----\n";
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (crt, key, field, says) in [
        ("", &**key, "data[tls.crt]", "no PEM block CERTIFICATE"),
        ("text", key, "data[tls.crt]", "no PEM block CERTIFICATE"),
        (key, key, "data[tls.crt]", "no PEM block CERTIFICATE"),
        (nonsense, key, "data[tls.crt]", "not readable"),
        (crt, "", "data[tls.key]", "no PEM key"),
        (crt, crt, "data[tls.key]", "no PEM key"),
        (crt, encrypted, "data[tls.key]", "encrypted"),
    ] {
        let (read, problems) = secret("kubernetes.io/tls", crt, key);
        assert_eq!(read, None);
        assert_eq!(told(&problems), [format!("{field}: SecretInvalid")]);
        assert!(problems[0].message.contains(says), "{problems:?}");
        assert!(!problems[0].message.contains("PRIVATE KEY-----"), "{problems:?}");
    }
}

#[test]
fn t3_data_is_base64() {
    let yaml = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {tls.crt: base64 encoded \
                cert, tls.key: base64 encoded key}\n";
    let (secret, problems) = read(yaml);
    assert_eq!(secret, None);
    assert_eq!(told(&problems), ["data[tls.crt]: SecretInvalid", "data[tls.key]: SecretInvalid"]);
}

#[test]
fn string_data_is_taken_as_it_is_and_wins() {
    let leaf = TestCa::new().issue(&["a.example"]);
    let yaml = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"tls.crt": leaf.certificate_base64(), "tls.key": "!"},
        "stringData": {"tls.key": leaf.key_pem},
    });
    let (secret, problems) = read(&yaml.to_string());
    assert_eq!(problems, []);
    assert!(secret.is_some());
}

#[test]
fn secrets_that_hold_no_certificate_are_left_alone() {
    for rest in [
        "type: Opaque\ndata: {password: x}",
        "type: kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson: '!'}",
        "type: kubernetes.io/service-account-token\ndata: {tls.crt: '!'}",
        "stringData: {a: b}",
    ] {
        let yaml = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{rest}\n");
        assert_eq!(read(&yaml), (None, vec![]), "{rest}");
    }
}

#[test]
fn a_tls_secret_without_its_keys_is_reported() {
    let yaml = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/tls\n";
    let (_, problems) = read(yaml);
    assert_eq!(told(&problems), ["data[tls.crt]: SecretInvalid", "data[tls.key]: SecretInvalid"]);
}

#[test]
fn t10_an_expired_certificate_is_read_with_its_dates() {
    let leaf = TestCa::new().issue_expired(&["a.example"]);
    let (secret, problems) = secret("kubernetes.io/tls", &leaf.certificate_pem, &leaf.key_pem);
    assert_eq!(problems, []);
    let secret = secret.unwrap();
    assert_eq!((secret.not_before, secret.not_after), (946_684_800, 978_307_200));
}

/// The whole Secret of a document.
fn whole(body: &str) -> (Option<crate::model::Secret>, Vec<String>) {
    let yaml = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{body}");
    let (objects, problems) = decoded(&yaml);
    let secret = objects.into_iter().find_map(|object| match object {
        Object::Secret(secret) => Some(secret),
        _ => None,
    });
    (secret, told(&problems))
}

#[test]
fn other_data_is_kept_as_it_is_until_an_ingress_names_it() {
    let body =
        "data: {auth: 'YTpi', broken: '%', 'null': null}\nstringData: {plain: 'c:d', auth: x}\n";
    for kind in ["", "type: Opaque\n", "type: kubernetes.io/tls\n"] {
        let (secret, _) = whole(&format!("{kind}{body}"));
        let secret = secret.expect("a Secret");
        let get = |key: &str| secret.data.get(key).map(|bytes| bytes.map_err(|_| ()));
        assert_eq!(get("auth"), Some(Ok(b"x".to_vec())), "stringData wins");
        assert_eq!(get("plain"), Some(Ok(b"c:d".to_vec())));
        assert_eq!(get("broken"), Some(Err(())));
        assert_eq!(get("null"), None);
        assert_eq!(secret.data.entries().count(), 3);
        assert_eq!(format!("{:?}", secret.data), "SecretData(3)");
    }
    for kind in ["kubernetes.io/service-account-token", "helm.sh/release.v1"] {
        assert_eq!(whole(&format!("type: {kind}\n{body}")), (None, Vec::new()));
    }
}

#[test]
fn a_secret_may_hold_a_certificate_and_other_data() {
    let leaf = TestCa::new().issue(&["a.example"]);
    let body = |key: &str| {
        format!(
            "stringData: {{auth: x, tls.crt: {:?}, tls.key: {key:?}, ca.crt: y}}\n",
            leaf.certificate_pem
        )
    };
    let (secret, problems) = whole(&body(&leaf.key_pem));
    let secret = secret.expect("a Secret");
    assert_eq!(problems, [""; 0]);
    assert!(matches!(secret.certificate, SecretCertificate::Usable(_)));
    assert_eq!(secret.data.entries().map(|(key, _)| key.to_owned()).collect::<Vec<_>>(), ["auth"]);
    let (secret, problems) = whole(&body("broken"));
    assert_eq!(problems, ["data[tls.key]: SecretInvalid"]);
    let secret = secret.expect("the other data is served all the same");
    assert_eq!(secret.certificate, SecretCertificate::Unreadable);
}
