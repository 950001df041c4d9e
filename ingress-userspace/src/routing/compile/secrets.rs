//! Secrets, who looks at them, and the moments at which a certificate changes its standing without
//! an edit (T9, T10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use crate::model::{CertificateSecret, HostPattern, ObjectRef, Secret, SecretCertificate};
use crate::routing::listing::CertificateFacts;

use super::passwords::Data;

/// A certificate that ends within this many seconds is reported (T10).
pub(super) const SOON: i64 = 7 * 24 * 3600;

/// Namespace and name.
pub(super) type SecretKey = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Those with a certificate.
    known: BTreeMap<SecretKey, Known>,
    /// What the others and these hold besides; gone at once when the Secret is.
    data: BTreeMap<SecretKey, Data>,
    /// Hosts that were compiled with a look at the Secret, whether it was there or not.
    watchers: BTreeMap<SecretKey, BTreeSet<HostPattern>>,
    /// The next moment of each known Secret.
    moments: BTreeSet<(i64, SecretKey)>,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) secret: CertificateSecret,
    /// Deleted: shown until then (T9). Seconds since the epoch.
    pub(super) until: Option<i64>,
    moment: Option<i64>,
}

// === impl Secrets ===

impl Secrets {
    pub(super) fn find(&self, key: &SecretKey) -> Option<&Known> {
        self.known.get(key)
    }

    /// The Secret of a certificate that is shown.
    pub(super) fn showing(&self, shown: &Arc<CertifiedKey>) -> Option<&CertificateSecret> {
        let mut secrets = self.known.values().map(|known| &known.secret);
        secrets.find(|secret| Arc::ptr_eq(secret.certified.pair(), shown))
    }

    pub(super) fn data(&self, key: &SecretKey) -> Option<&Data> {
        self.data.get(key)
    }

    /// Whether anything changed. A certificate that the Secret held before and holds no more is
    /// kept for `grace` seconds, as if it was deleted.
    pub(super) fn upsert(&mut self, secret: Secret, now: i64, grace: i64) -> bool {
        let Secret { object, certificate, data } = secret;
        let key = key_of(&object);
        let same = self.data.get(&key).is_some_and(|known| *known.values() == data);
        if !same {
            self.data.insert(key.clone(), Data::new(data));
        }
        let changed = match certificate {
            SecretCertificate::Usable(certificate) => self.upsert_certificate(certificate, now),
            SecretCertificate::Unreadable => false,
            SecretCertificate::Absent => {
                let held = self.known.get(&key).is_some_and(|known| known.until.is_none());
                if held {
                    self.remove_certificate(&key, now, grace);
                }
                held
            }
        };
        changed || !same
    }

    fn upsert_certificate(&mut self, secret: CertificateSecret, now: i64) -> bool {
        let key = key_of(&secret.object);
        let old = self.known.get(&key);
        if old.is_some_and(|old| old.until.is_none() && old.secret == secret) {
            return false;
        }
        self.drop_moment(&key);
        self.known.insert(key.clone(), Known { secret, until: None, moment: None });
        self.plan_moment(&key, now);
        true
    }

    /// Keeps the certificate for `grace` seconds, and nothing else.
    pub(super) fn remove(&mut self, object: &ObjectRef, now: i64, grace: i64) {
        let key = key_of(object);
        self.data.remove(&key);
        self.remove_certificate(&key, now, grace);
    }

    fn remove_certificate(&mut self, key: &SecretKey, now: i64, grace: i64) {
        self.drop_moment(key);
        let until = now.saturating_add(grace);
        if let Some(known) = self.known.get_mut(key) {
            known.until.get_or_insert(until);
            self.plan_moment(key, now);
        }
    }

    /// Passes the moments up to `now` and returns the Secrets concerned.
    pub(super) fn advance(&mut self, now: i64) -> Vec<SecretKey> {
        let mut due = Vec::new();
        while let Some((moment, key)) = self.moments.first().cloned() {
            if moment > now {
                break;
            }
            self.drop_moment(&key);
            if self.known[&key].until.is_some_and(|until| until <= now) {
                self.known.remove(&key);
            } else {
                self.plan_moment(&key, now);
            }
            due.push(key);
        }
        due
    }

    pub(super) fn next_moment(&self) -> Option<i64> {
        self.moments.first().map(|(moment, _)| *moment)
    }

    pub(super) fn watchers(&self, key: &SecretKey) -> impl Iterator<Item = &HostPattern> {
        self.watchers.get(key).into_iter().flatten()
    }

    pub(super) fn watch(&mut self, key: &SecretKey, host: &HostPattern) {
        match self.watchers.get_mut(key) {
            Some(hosts) => {
                hosts.insert(host.clone());
            }
            None => {
                self.watchers.insert(key.clone(), BTreeSet::from([host.clone()]));
            }
        }
    }

    pub(super) fn unwatch(&mut self, key: &SecretKey, host: &HostPattern) {
        if let Some(hosts) = self.watchers.get_mut(key) {
            hosts.remove(host);
            if hosts.is_empty() {
                self.watchers.remove(key);
            }
        }
    }

    fn plan_moment(&mut self, key: &SecretKey, now: i64) {
        let Some(known) = self.known.get_mut(key) else { return };
        let secret = &known.secret;
        let ends = secret.not_after;
        let moments = [secret.not_before, ends.saturating_sub(SOON), ends.saturating_add(1)];
        let next = moments.into_iter().chain(known.until).filter(|&moment| moment > now).min();
        // A certificate deleted without grace is due at once.
        known.moment = next.or(known.until);
        self.moments.extend(known.moment.map(|moment| (moment, key.clone())));
    }

    fn drop_moment(&mut self, key: &SecretKey) {
        if let Some(moment) = self.known.get_mut(key).and_then(|known| known.moment.take()) {
            self.moments.remove(&(moment, key.clone()));
        }
    }
}

// === impl Known ===

impl Known {
    pub(super) fn facts(&self) -> CertificateFacts {
        let secret = &self.secret;
        CertificateFacts {
            namespace: secret.object.namespace.clone(),
            secret: secret.object.name.clone(),
            names: secret.names.clone(),
            not_before: secret.not_before,
            not_after: secret.not_after,
            fingerprint: secret.fingerprint.clone(),
        }
    }
}

fn key_of(object: &ObjectRef) -> SecretKey {
    (object.namespace.clone(), object.name.clone())
}
