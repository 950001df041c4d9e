//! The kinds that are watched, and where the API server has them.

use std::fmt;

use crate::model::Kind;

/// One kind of the Kubernetes API, in the version that is read.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    pub(super) api_version: &'static str,
    /// As in paths and roles.
    pub(super) plural: &'static str,
    pub(super) namespaced: bool,
}

pub(super) const INGRESSES: Resource =
    Resource::new(Kind::Ingress, "networking.k8s.io/v1", "ingresses");
pub(super) const CLASSES: Resource = Resource {
    namespaced: false,
    ..Resource::new(Kind::IngressClass, "networking.k8s.io/v1", "ingressclasses")
};
pub(super) const SERVICES: Resource = Resource::new(Kind::Service, "v1", "services");
pub(super) const SLICES: Resource =
    Resource::new(Kind::EndpointSlice, "discovery.k8s.io/v1", "endpointslices");
pub(super) const SECRETS: Resource = Resource::new(Kind::Secret, "v1", "secrets");
pub(super) const CONFIG_MAPS: Resource = Resource::new(Kind::ConfigMap, "v1", "configmaps");

/// What is watched whatever it says; Secrets and ConfigMaps only as they are named.
pub(super) const BASE: [&Resource; 4] = [&CLASSES, &INGRESSES, &SERVICES, &SLICES];

/// By the name of the kind.
pub(super) fn of(kind: &str) -> Option<&'static Resource> {
    let all = BASE.into_iter().chain([&SECRETS, &CONFIG_MAPS]);
    all.into_iter().find(|resource| resource.kind.as_str() == kind)
}

// === impl Resource ===

impl Resource {
    const fn new(kind: Kind, api_version: &'static str, plural: &'static str) -> Self {
        Self { kind, api_version, plural, namespaced: true }
    }

    /// Of the collection: of one namespace, or of all.
    pub(super) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        let (version, plural) = (self.api_version, self.plural);
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{version}/{plural}"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api_server() {
        assert_eq!(SERVICES.path(None), "/api/v1/services");
        assert_eq!(SECRETS.path(Some("shop")), "/api/v1/namespaces/shop/secrets");
        assert_eq!(
            SLICES.path(Some("shop")),
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
        );
        assert_eq!(CLASSES.path(Some("shop")), "/apis/networking.k8s.io/v1/ingressclasses");
    }
}
