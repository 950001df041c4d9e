//! Names and origins of API objects.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::{ConfigMap, EndpointSet, Ingress, IngressClass, Secret, Service};

/// The kinds that Genkan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Ingress,
    IngressClass,
    Service,
    EndpointSlice,
    Endpoints,
    Secret,
    ConfigMap,
}

/// Identity of one API object. `namespace` is empty for cluster-scoped kinds (IngressClass).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    pub kind: Kind,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

/// Where an object was read: a document of a file, or the API server; or that the configuration
/// names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// `line` is 1-based: where the document starts, in a problem where the field stands if known,
    /// 0 for a file or directory as a whole.
    File {
        path: Arc<PathBuf>,
        line: u32,
    },
    Cluster,
    Configuration,
}

/// One checked object, as the compiler takes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    Ingress(Ingress),
    IngressClass(IngressClass),
    Service(Service),
    Endpoints(EndpointSet),
    Secret(Secret),
    ConfigMap(ConfigMap),
}

/// What changed since the last one: applied as a whole.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub upserts: Vec<Object>,
    pub removals: Vec<ObjectRef>,
    /// Where objects stand from now on, also those that only moved: lines shift without a change
    /// of what they hold. An object that was never named here stands in the cluster.
    pub origins: HashMap<ObjectRef, Origin>,
}

// === impl Object ===

impl Object {
    pub fn reference(&self) -> ObjectRef {
        match self {
            Self::Ingress(ingress) => ingress.object.clone(),
            Self::IngressClass(class) => ObjectRef::new(Kind::IngressClass, "", &class.name),
            Self::Service(service) => service.object.clone(),
            Self::Endpoints(set) => set.object.clone(),
            Self::Secret(secret) => secret.object.clone(),
            Self::ConfigMap(map) => map.object.clone(),
        }
    }
}

// === impl Change ===

impl Change {
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removals.is_empty() && self.origins.is_empty()
    }

    /// This change and then `later`, as one: for each object the latest state counts.
    pub fn merge(&mut self, later: Self) {
        let touched: HashSet<ObjectRef> =
            later.upserts.iter().map(Object::reference).chain(later.removals.clone()).collect();
        self.upserts.retain(|object| !touched.contains(&object.reference()));
        self.removals.retain(|object| !touched.contains(object));
        for object in &later.removals {
            self.origins.remove(object);
        }
        self.upserts.extend(later.upserts);
        self.removals.extend(later.removals);
        self.origins.extend(later.origins);
    }
}

// === impl Kind ===

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl ObjectRef ===

impl ObjectRef {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Cluster => f.write_str("cluster"),
            Self::Configuration => f.write_str("configuration"),
        }
    }
}
