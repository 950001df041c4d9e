//! Which certificate a host is shown, and what is wrong with it (T2, T7-T10).

use crate::model::{CertificateSecret, HostPattern, ObjectRef, Problem, Reason, RuleId};
use crate::routing::snapshot::HostCertificate;

use super::record::{Record, host_name};
use super::secrets::{Known, SOON, SecretKey, Secrets};

/// The outcome for one host.
#[derive(Debug, Default)]
pub(super) struct HostTls {
    /// `None`: no `tls` entry knows the host.
    pub(super) certificate: Option<HostCertificate>,
    /// The Ingress that decided, and the position of the entry in its `tls`.
    pub(super) decided: Option<(ObjectRef, usize)>,
    /// Plain HTTP is to be redirected: the host has a usable certificate, or names no Secret. Not
    /// with a missing or wrong one, or the host would be cut off (T9, T12).
    pub(super) is_usable: bool,
    /// Every Secret that the outcome depends on.
    pub(super) secrets: Vec<SecretKey>,
}

/// `members` in C1 order. Where rules exist for the host, only Ingresses that have some decide:
/// nobody else puts a certificate, and with it a redirect, on a host that is not theirs.
pub(super) fn associate(
    host: &HostPattern,
    members: &[&Record],
    secrets: &Secrets,
    now: i64,
    problems: &mut Vec<Problem>,
) -> HostTls {
    let mut outcome = HostTls::default();
    let has_rules = members.iter().any(|record| record.has_rules_for(host));
    let mut first: Option<(&Record, usize)> = None;
    for &record in members {
        if has_rules && !record.has_rules_for(host) {
            continue;
        }
        let Some(at) = entry_for(record, host, secrets, &mut outcome.secrets) else { continue };
        match first {
            None => {
                first = Some((record, at));
                outcome.secrets.extend(secret_of(record, at));
            }
            Some((winner, won)) if secret_of(winner, won) != secret_of(record, at) => {
                let problem = record.problem(
                    format!("spec.tls[{}]", record.ingress.tls[at].index),
                    Reason::ConflictingHost,
                    format!(
                        "{} has its certificate from {}, which comes first; this entry is ignored",
                        host_name(host),
                        winner.order.object
                    ),
                );
                problems.push(problem.by(RuleId::T7));
            }
            Some(_) => {}
        }
    }
    let Some((record, at)) = first else { return outcome };
    outcome.decided = Some((record.order.object.clone(), at));
    match secret_of(record, at) {
        Some(key) => show(host, record, at, &key, secrets, now, &mut outcome, problems),
        None => {
            outcome.certificate = Some(HostCertificate::Default);
            outcome.is_usable = true;
        }
    }
    outcome
}

/// T7: the literal host, then a wildcard entry that covers it, then the names in certificates.
fn entry_for(
    record: &Record,
    host: &HostPattern,
    secrets: &Secrets,
    consulted: &mut Vec<SecretKey>,
) -> Option<usize> {
    let covering = match host {
        HostPattern::Exact(name) => name
            .split_once('.')
            .and_then(|(_, parent)| record.tls_entry(&HostPattern::Wildcard(parent.into()))),
        HostPattern::Any | HostPattern::Wildcard(_) => None,
    };
    if let Some(at) = record.tls_entry(host).or(covering) {
        return Some(at);
    }
    if *host == HostPattern::Any {
        return None;
    }
    (0..record.ingress.tls.len()).find(|&at| {
        let Some(key) = secret_of(record, at) else { return false };
        let covers = secrets.find(&key).is_some_and(|known| covers(&known.secret, host));
        consulted.push(key);
        covers
    })
}

#[expect(clippy::too_many_arguments, reason = "one step of `associate`, split for reading")]
fn show(
    host: &HostPattern,
    record: &Record,
    at: usize,
    key: &SecretKey,
    secrets: &Secrets,
    now: i64,
    outcome: &mut HostTls,
    problems: &mut Vec<Problem>,
) {
    let field = format!("spec.tls[{}].secretName", record.ingress.tls[at].index);
    let Some(known) = secrets.find(key) else {
        outcome.certificate = Some(HostCertificate::Default);
        problems.push(record.problem(
            field,
            Reason::SecretNotFound,
            format!(
                "Secret {}/{} is missing or holds no usable certificate; {} is shown the default \
                 certificate",
                key.0,
                key.1,
                host_name(host)
            ),
        ));
        return;
    };
    if !covers(&known.secret, host) {
        outcome.certificate = Some(HostCertificate::Default);
        problems.push(record.problem(
            field,
            Reason::CertificateMismatch,
            format!(
                "the certificate of Secret {}/{} is for {}; {} is shown the default certificate",
                key.0,
                key.1,
                known.secret.names.join(", "),
                host_name(host)
            ),
        ));
        return;
    }
    outcome.certificate = Some(HostCertificate::Own(known.secret.certified.clone()));
    outcome.is_usable = true;
    if let Some((reason, message)) = standing(known, key, now) {
        problems.push(record.problem(field, reason, message));
    }
}

/// T9, T10: what is to be said about a certificate that is shown all the same.
pub(super) fn standing(known: &Known, key: &SecretKey, now: i64) -> Option<(Reason, String)> {
    let secret = &known.secret;
    let name = format!("Secret {}/{}", key.0, key.1);
    if let Some(until) = known.until {
        let message = format!("{name} was deleted; its certificate is shown until {until} (epoch)");
        return Some((Reason::SecretNotFound, message));
    }
    let what = if now > secret.not_after {
        "has expired"
    } else if now < secret.not_before {
        "is not valid yet"
    } else if now >= secret.not_after.saturating_sub(SOON) {
        "expires within a week"
    } else {
        return None;
    };
    let message = format!(
        "the certificate of {name} {what} (valid from {} to {}, epoch seconds); it is shown \
         all the same",
        secret.not_before, secret.not_after
    );
    Some((Reason::CertificateExpired, message))
}

pub(super) fn secret_of(record: &Record, at: usize) -> Option<SecretKey> {
    let name = record.ingress.tls[at].secret.clone()?;
    Some((record.order.object.namespace.clone(), name))
}

/// RFC 6125: a wildcard in a certificate stands for one label; the empty host is covered by all.
pub(super) fn covers(secret: &CertificateSecret, host: &HostPattern) -> bool {
    let parent_of = |name: &str| name.strip_prefix("*.").map(str::to_owned);
    secret.names.iter().any(|name| match host {
        HostPattern::Any => true,
        HostPattern::Wildcard(parent) => parent_of(name).as_deref() == Some(parent),
        HostPattern::Exact(host) => {
            name == host
                || parent_of(name).is_some_and(|parent| {
                    host.split_once('.').is_some_and(|(_, rest)| rest == parent)
                })
        }
    }) || *host == HostPattern::Any
}
