//! Service: ports, type and protocol hints.

use std::sync::Arc;

use super::object::ObjectRef;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub object: ObjectRef,
    pub ports: Vec<ServicePort>,
    /// `spec.type: ExternalName`; not served (E15, off).
    pub external_name: Option<Arc<str>>,
    pub publish_not_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty for the single unnamed port.
    pub name: Arc<str>,
    pub port: u16,
    /// Numeric `targetPort`; `None` when it is a name. Absent in the object = `port`.
    pub target_port: Option<u16>,
    pub app_protocol: Option<Arc<str>>,
}
