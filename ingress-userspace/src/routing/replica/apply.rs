//! From messages to the snapshot that the workers of this process serve.

use std::sync::Arc;

use hashbrown::HashMap;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

use super::message::{Chain, Key, Message, RouteParts, Shared, Shown};
use crate::htpasswd::Users;
use crate::model::{HostPattern, ServerCertificate};
use crate::routing::access::Auth;
use crate::routing::cluster::Cluster;
use crate::routing::filters::Filters;
use crate::routing::matcher::{PathMatch, PathRule};
use crate::routing::route::Route;
use crate::routing::snapshot::{HostCertificate, HostRoutes, Snapshot};
use crate::routing::tallies::Tallies;

/// The side that is told. Whatever it refuses ends it; what it gave away before stays good.
#[derive(Debug, Default)]
pub struct Replica {
    building: Snapshot,
    /// Served before this replica began, for the tallies of routes that go on.
    before: Option<Arc<Snapshot>>,
    shared: HashMap<u64, Value>,
    /// Rules of the host that is to come.
    rules: Vec<(Arc<str>, PathMatch, RouteParts)>,
    /// The version that is being told.
    open: Option<u64>,
}

/// A message that does not follow from those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("a change of version {base}, but version {own} is here")]
    Base { base: u64, own: u64 },
    #[error("a change begins inside another")]
    Nested,
    #[error("a message outside of a change")]
    Outside,
    #[error("the end of version {version}, but another one has begun")]
    Version { version: u64 },
    #[error("number {0} is not known, or is something else")]
    Unknown(u64),
    #[error("number {0} is taken")]
    Taken(u64),
    #[error("endpoints of cluster {0}, which is not known")]
    NoCluster(u32),
    #[error("an alias of a host without routes")]
    NoHost,
    #[error("rules without their host")]
    Loose,
    #[error("a certificate whose key is not usable: {0}")]
    Certificate(String),
}

#[derive(Debug, Clone)]
enum Value {
    Filters(Arc<Filters>),
    Users(Arc<Users>),
    Certificate(Arc<ServerCertificate>),
}

// === impl Replica ===

impl Replica {
    /// A replica that is told everything anew while `before` is served.
    pub fn after(before: Arc<Snapshot>) -> Self {
        Self { before: Some(before), ..Self::default() }
    }

    /// The version that was given away last; 0 before the first.
    pub fn version(&self) -> u64 {
        self.building.version
    }

    /// Follows one message. A snapshot comes out when a change is complete.
    ///
    /// # Errors
    ///
    /// When the message does not follow from those before. This replica is of no use then.
    pub fn apply(&mut self, message: Message) -> Result<Option<Snapshot>, Refused> {
        if let Message::Begin { base, version } = message {
            return self.begin(base, version).map(|()| None);
        }
        let Some(open) = self.open else { return Err(Refused::Outside) };
        if let Message::Commit { version } = message {
            return self.commit(open, version).map(Some);
        }
        self.change(message).map(|()| None)
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> usize {
        self.shared.len()
    }

    fn begin(&mut self, base: u64, version: u64) -> Result<(), Refused> {
        if self.open.is_some() {
            return Err(Refused::Nested);
        }
        let own = self.building.version;
        if base != own {
            return Err(Refused::Base { base, own });
        }
        self.open = Some(version);
        Ok(())
    }

    fn commit(&mut self, open: u64, version: u64) -> Result<Snapshot, Refused> {
        if open != version {
            return Err(Refused::Version { version });
        }
        if !self.rules.is_empty() {
            return Err(Refused::Loose);
        }
        self.open = None;
        self.before = None;
        self.building.version = version;
        Ok(self.building.clone())
    }

    fn change(&mut self, message: Message) -> Result<(), Refused> {
        match message {
            // Taken before.
            Message::Begin { .. } | Message::Commit { .. } => return Err(Refused::Nested),
            Message::Share { number, value } => {
                let value = self.value(value)?;
                if self.shared.insert(number, value).is_some() {
                    return Err(Refused::Taken(number));
                }
            }
            Message::Release { number } => {
                self.shared.remove(&number).ok_or(Refused::Unknown(number))?;
            }
            Message::Cluster { id, cluster } => self.building.clusters.insert(id, cluster),
            Message::Endpoints { id, endpoints, state } => {
                let old = self.building.cluster(id).ok_or(Refused::NoCluster(id.0))?;
                let cluster = Cluster { endpoints, state, ..Cluster::clone(old) };
                self.building.clusters.insert(id, Arc::new(cluster));
            }
            Message::RemoveCluster { id } => self.building.clusters.remove(&id),
            Message::Rule { text, way, route } => self.rules.push((text, way, route)),
            Message::Host { host, default } => self.host(host, default)?,
            Message::RemoveHost { host } => put(&mut self.building, &host, None),
            Message::Alias { alias, host } => {
                let routes = self.building.hosts.of(&host).ok_or(Refused::NoHost)?.clone();
                self.building.aliases.set(&alias, Some(routes));
            }
            Message::RemoveAlias { alias } => self.building.aliases.set(&alias, None),
            Message::Fallback(parts) => {
                let old = self.building.fallback.clone();
                let old =
                    old.or_else(|| self.before.as_ref().and_then(|before| before.fallback.clone()));
                let route = parts.map(|parts| self.route(parts, &Tallies::of_one(old.as_ref())));
                self.building.fallback = route.transpose()?;
            }
            Message::Certificate { host, shown } => {
                let shown = match shown {
                    Shown::Own(number) => HostCertificate::Own(self.certificate(number)?),
                    Shown::Default => HostCertificate::Default,
                };
                self.building.certificates.set(&host, Some(shown));
            }
            Message::RemoveCertificate { host } => self.building.certificates.set(&host, None),
            Message::UnknownCertificate(number) => {
                let shown = number.map(|number| self.certificate(number)).transpose()?;
                self.building.unknown_certificate = shown;
            }
            Message::DefaultCertificate(number) => {
                let shown = number.map(|number| self.certificate(number)).transpose()?;
                self.building.default_certificate = shown;
            }
        }
        Ok(())
    }

    fn host(&mut self, host: HostPattern, default: Option<RouteParts>) -> Result<(), Refused> {
        let rules = std::mem::take(&mut self.rules);
        let routes = self.routes(&host, rules, default)?;
        put(&mut self.building, &host, Some(routes));
        Ok(())
    }

    fn routes(
        &self,
        host: &HostPattern,
        rules: Vec<(Arc<str>, PathMatch, RouteParts)>,
        default: Option<RouteParts>,
    ) -> Result<HostRoutes, Refused> {
        let before = self.before.as_ref().and_then(|before| before.routes_of(host));
        let tallies = Tallies::of(self.building.routes_of(host).or(before));
        let rules = rules.into_iter().map(|(text, way, parts)| {
            Ok(PathRule { text, way, route: self.route(parts, &tallies)? })
        });
        let rules = rules.collect::<Result<_, Refused>>()?;
        let default = default.map(|parts| self.route(parts, &tallies)).transpose()?;
        Ok(HostRoutes::new(host.clone(), rules, default))
    }

    fn route(&self, parts: RouteParts, tallies: &Tallies<'_>) -> Result<Arc<Route>, Refused> {
        let RouteParts {
            id,
            namespace,
            ingress,
            path,
            kind,
            action,
            rewrite,
            https_redirect,
            hsts,
            filters,
        } = parts;
        let filters = filters.map(|number| match self.shared.get(&number) {
            Some(Value::Filters(filters)) => Ok(filters.clone()),
            Some(_) | None => Err(Refused::Unknown(number)),
        });
        Ok(Arc::new(Route {
            tally: tallies.get(&id),
            id,
            namespace,
            ingress,
            path,
            kind,
            action,
            rewrite,
            https_redirect,
            hsts,
            filters: filters.transpose()?,
        }))
    }

    fn certificate(&self, number: u64) -> Result<Arc<ServerCertificate>, Refused> {
        match self.shared.get(&number) {
            Some(Value::Certificate(certificate)) => Ok(certificate.clone()),
            Some(_) | None => Err(Refused::Unknown(number)),
        }
    }

    fn value(&self, shared: Shared) -> Result<Value, Refused> {
        Ok(match shared {
            Shared::Users(users) => Value::Users(users),
            Shared::Filters { filters, users: None } => Value::Filters(filters),
            Shared::Filters { filters, users: Some(number) } => {
                let Some(Value::Users(users)) = self.shared.get(&number) else {
                    return Err(Refused::Unknown(number));
                };
                let mut filters = Arc::unwrap_or_clone(filters);
                if let Some(access) = &mut filters.access
                    && let Auth::Basic(basic) = &mut access.auth
                {
                    basic.users = users.clone();
                }
                Value::Filters(Arc::new(filters))
            }
            Shared::Certificate { chain: Chain(chain), key } => {
                let chain = chain.into_iter().map(CertificateDer::from).collect();
                let read = ServerCertificate::read(chain, key.into());
                let read = read.map_err(|error| Refused::Certificate(error.to_string()))?;
                Value::Certificate(Arc::new(read))
            }
        })
    }
}

fn put(snapshot: &mut Snapshot, host: &HostPattern, routes: Option<HostRoutes>) {
    match host {
        HostPattern::Any => snapshot.any = routes.map(Arc::new),
        HostPattern::Exact(_) | HostPattern::Wildcard(_) => snapshot.hosts.set(host, routes),
    }
}

// === impl Key ===

impl From<Key> for PrivateKeyDer<'static> {
    fn from(key: Key) -> Self {
        match key {
            Key::Pkcs1(der) => PrivatePkcs1KeyDer::from(der).into(),
            Key::Sec1(der) => PrivateSec1KeyDer::from(der).into(),
            Key::Pkcs8(der) => PrivatePkcs8KeyDer::from(der).into(),
        }
    }
}
