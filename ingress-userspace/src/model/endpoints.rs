//! Endpoints of a Service: the union of its EndpointSlices, or the legacy Endpoints object when it
//! has no slice (E1-E6, E8).

use std::net::IpAddr;
use std::sync::Arc;

use super::object::ObjectRef;

/// One EndpointSlice (or Endpoints subset) as read: per port name its number, per endpoint its
/// address and conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSet {
    /// The slice or Endpoints object.
    pub object: ObjectRef,
    /// Service name: label `kubernetes.io/service-name`, or the name of the Endpoints object.
    pub service: Arc<str>,
    pub ports: Vec<EndpointPort>,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPort {
    /// Empty for the unnamed port.
    pub name: Arc<str>,
    /// `None` = all ports: the Service's numeric port is used (E6).
    pub port: Option<u16>,
    pub app_protocol: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Position in its list, for messages.
    pub index: u32,
    /// Only the first address counts (E2).
    pub address: IpAddr,
    /// Conditions with their defaults applied (E3).
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    /// `targetRef.name` if it is a Pod.
    pub pod: Option<Arc<str>>,
}
