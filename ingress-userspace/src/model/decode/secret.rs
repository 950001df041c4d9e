//! Secret v1: a certificate with its key (T3), and whatever else an Ingress may name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::certificate;
use super::super::field::{Fields, Path, Refused, Report, present};
use super::super::problem::Reason;
use super::super::secret::{CertificateSecret, Entry, Secret, SecretCertificate, SecretData};
use super::Metadata;
use crate::model::object::ObjectRef;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// `None` for a Secret of a type that is not for us, and for one that holds a certificate that is
/// not readable and nothing else.
pub(super) fn decode(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
    metadata: Metadata,
) -> Result<Option<Secret>, Refused> {
    let tls = match report.nonempty_text(at, fields, "type")? {
        Some("kubernetes.io/tls") => true,
        Some("Opaque") | None => false,
        Some(_) => return Ok(None),
    };
    let data = report.optional_fields(at, fields, "data")?;
    let text = report.optional_fields(at, fields, "stringData")?;
    let holds = |key| {
        data.is_some_and(|d| d.contains_key(key)) || text.is_some_and(|t| t.contains_key(key))
    };
    let other = other(report, at, data, text);
    let object = metadata.object;
    if !tls && !holds(CERTIFICATE) && !holds(KEY) {
        return Ok(Some(Secret { object, certificate: SecretCertificate::Absent, data: other }));
    }
    let certificate = match certificate(report, at, data, text, object.clone()) {
        Ok(certificate) => SecretCertificate::Usable(certificate),
        Err(Refused) if other.0.is_empty() => return Err(Refused),
        Err(Refused) => SecretCertificate::Unreadable,
    };
    Ok(Some(Secret { object, certificate, data: other }))
}

/// Everything but the certificate; `stringData` wins over `data`, as in the API server.
fn other(
    report: &mut Report<'_>,
    at: &Path<'_>,
    data: Option<&Fields>,
    text: Option<&Fields>,
) -> SecretData {
    let mut entries = std::collections::BTreeMap::new();
    for (name, fields) in [("data", data), ("stringData", text)] {
        let at = at.field(name);
        for (key, value) in fields.into_iter().flatten() {
            if value.is_null() || [CERTIFICATE, KEY, AUTHORITY].contains(&key.as_str()) {
                continue;
            }
            let Ok(value) = report.text(&at.entry(key), value) else { continue };
            let entry = match name {
                "data" => Entry::Base64(value.into()),
                _ => Entry::Text(value.into()),
            };
            entries.insert(key.as_str().into(), entry);
        }
    }
    SecretData(entries)
}

fn certificate(
    report: &mut Report<'_>,
    at: &Path<'_>,
    data: Option<&Fields>,
    text: Option<&Fields>,
    object: ObjectRef,
) -> Result<CertificateSecret, Refused> {
    // Both are read before either decides, so that one look shows all faults.
    let chain = bytes(report, at, data, text, CERTIFICATE);
    let key = bytes(report, at, data, text, KEY);
    let (chain, key) = (chain?, key?);

    let data_at = at.field("data");
    match certificate::read_pair(&chain, &key) {
        Ok(pair) => Ok(CertificateSecret {
            object,
            certified: pair.certified,
            names: pair.names,
            not_before: pair.not_before,
            not_after: pair.not_after,
            fingerprint: pair.fingerprint,
        }),
        Err(fault) => {
            let key = if fault.in_key { KEY } else { CERTIFICATE };
            report.add(&data_at.entry(key), Reason::SecretInvalid, fault.message);
            Err(Refused)
        }
    }
}

/// `stringData` wins over `data`, as in the API server.
fn bytes(
    report: &mut Report<'_>,
    at: &Path<'_>,
    data: Option<&Fields>,
    text: Option<&Fields>,
    key: &str,
) -> Result<Vec<u8>, Refused> {
    let text_at = at.field("stringData");
    if let Some(value) = text.and_then(|fields| present(fields, key)) {
        return Ok(report.text(&text_at.entry(key), value)?.as_bytes().to_vec());
    }
    let data_at = at.field("data");
    let at = data_at.entry(key);
    let Some(value) = data.and_then(|fields| present(fields, key)) else {
        report.add(&at, Reason::SecretInvalid, "missing");
        return Err(Refused);
    };
    // Line breaks are skipped and nothing else, as in the API server.
    let encoded = report.text(&at, value)?.replace(['\r', '\n'], "");
    STANDARD.decode(&encoded).map_err(|error| {
        report.add(&at, Reason::SecretInvalid, format!("not base64: {error}"));
        Refused
    })
}
