//! The passwords of Ingresses that ask for one: from the data of a Secret to the filters of routes.
//!
//! A Secret is looked into when an Ingress names it, once for each version of it. Whatever keeps
//! anybody from coming in leaves the filters as they are: they refuse everybody (C13).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::htpasswd::{Fault, Users};
use crate::model::{Problem, Reason, RuleId, SecretData};
use crate::routing::access::{Auth, Basic};
use crate::routing::filters::Filters;

use super::record::Record;
use super::secrets::{SecretKey, Secrets};

/// The key of a password file.
const FILE: &str = "auth";
/// Faults of a Secret that one problem names.
const NAMED: usize = 3;

/// What a Secret holds besides a certificate, and what was read of it.
#[derive(Debug)]
pub(super) struct Data {
    values: SecretData,
    file: OnceLock<Read>,
    map: OnceLock<Read>,
}

#[derive(Debug, Clone, PartialEq)]
struct Read {
    users: Arc<Users>,
    faults: Vec<Fault>,
}

/// The filters of an Ingress with its users, made once for each version of these.
#[derive(Debug, Default)]
pub(super) struct Admitting(Mutex<Option<(Arc<Users>, Arc<Filters>)>>);

/// The Secret that the passwords of an Ingress come from.
pub(super) fn secret_of(record: &Record) -> Option<SecretKey> {
    let auth = &record.ingress.options.access.auth;
    let secret = auth.secret.as_ref().filter(|_| auth.basic)?;
    Some((record.order.object.namespace.clone(), secret.name.clone()))
}

/// The filters of the routes of an Ingress, with those who may come in: one value for all routes.
pub(super) fn filters(record: &Record, secrets: &Secrets) -> Option<Arc<Filters>> {
    let filters = record.filters()?;
    let auth = &record.ingress.options.access.auth;
    if !auth.basic {
        return Some(filters);
    }
    let users = users(record, secrets).ok().map(|read| &read.users);
    let with_users = |users: &Arc<Users>| {
        let basic = Basic::new(users.clone(), auth.realm.as_deref().unwrap_or_default())?;
        let mut filters = Filters::clone(&filters);
        filters.access.as_mut()?.auth = Auth::Basic(basic);
        Some(Arc::new(filters))
    };
    let admitting = record.admitting.get(users, with_users);
    Some(admitting.unwrap_or(filters))
}

/// What is wrong with the passwords of an Ingress, for the paths of one host.
pub(super) fn problem(record: &Record, host: &str, secrets: &Secrets) -> Option<Problem> {
    if !record.ingress.options.access.auth.basic {
        return None;
    }
    let (reason, message) = match users(record, secrets) {
        Err((reason, why)) => (reason, format!("{why}; the paths of {host} answer 503")),
        Ok(read) if read.faults.is_empty() => return None,
        Ok(read) => {
            let named: Vec<String> = read
                .faults
                .iter()
                .take(NAMED)
                .map(|fault| format!("{}: {}", fault.place, fault.why))
                .collect();
            let more = read.faults.len().saturating_sub(NAMED);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            let message = format!(
                "passwords of the Secret that are not taken, for {host}: {}{more}",
                named.join("; ")
            );
            (Reason::SecretInvalid, message)
        }
    };
    let field = "metadata.annotations[auth-secret]".to_owned();
    Some(record.problem(field, reason, message).by(RuleId::C13))
}

fn users<'a>(record: &Record, secrets: &'a Secrets) -> Result<&'a Read, (Reason, String)> {
    let auth = &record.ingress.options.access.auth;
    let own = &record.order.object.namespace;
    let Some(secret) = &auth.secret else {
        return Err((Reason::InvalidAnnotation, "no auth-secret is named".to_owned()));
    };
    if let Some(other) = secret.namespace.as_ref().filter(|namespace| *namespace != own) {
        let why = format!("Secret {other}/{} is in another namespace", secret.name);
        return Err((Reason::InvalidAnnotation, why));
    }
    let name = format!("Secret {own}/{}", secret.name);
    let Some(data) = secrets.data(&(own.clone(), secret.name.clone())) else {
        return Err((Reason::SecretNotFound, format!("{name} does not exist")));
    };
    let read = if auth.map { data.map() } else { data.file() };
    if read.users.is_empty() {
        let why = match read.faults.first() {
            Some(fault) => format!("{}: {}", fault.place, fault.why),
            None => "it names no user".to_owned(),
        };
        return Err((Reason::SecretInvalid, format!("{name} has no usable password: {why}")));
    }
    Ok(read)
}

// === impl Admitting ===

impl Admitting {
    /// `None`: nobody may come in, and nobody of before is remembered.
    fn get(
        &self,
        users: Option<&Arc<Users>>,
        make: impl FnOnce(&Arc<Users>) -> Option<Arc<Filters>>,
    ) -> Option<Arc<Filters>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &Arc<Users>| users.is_some_and(|users| Arc::ptr_eq(known, users));
        if !made.as_ref().is_some_and(|(known, _)| same(known)) {
            *made = users.and_then(|users| Some((users.clone(), make(users)?)));
        }
        made.as_ref().map(|(_, filters)| filters.clone())
    }
}

// === impl Data ===

impl Data {
    pub(super) fn new(values: SecretData) -> Self {
        Self { values, file: OnceLock::new(), map: OnceLock::new() }
    }

    pub(super) fn values(&self) -> &SecretData {
        &self.values
    }

    /// `auth-file`.
    fn file(&self) -> &Read {
        self.file.get_or_init(|| {
            let place = || format!("data[{FILE}]");
            match self.values.get(FILE) {
                None => Read::fault(place(), "missing"),
                Some(Err(_)) => Read::fault(place(), "not base64"),
                Some(Ok(file)) => Read::of(Users::read(&file)),
            }
        })
    }

    /// `auth-map`.
    fn map(&self) -> &Read {
        self.map.get_or_init(|| {
            // What is not base64 is no hash either.
            let entries: Vec<_> = self
                .values
                .entries()
                .map(|(user, hash)| (user, hash.unwrap_or_default()))
                .collect();
            Read::of(Users::of(entries.iter().map(|(user, hash)| (*user, &hash[..]))))
        })
    }
}

// === impl Read ===

impl Read {
    fn of((users, faults): (Users, Vec<Fault>)) -> Self {
        Self { users: Arc::new(users), faults }
    }

    fn fault(place: String, why: &'static str) -> Self {
        Self { users: Arc::default(), faults: vec![Fault { place, why }] }
    }
}
