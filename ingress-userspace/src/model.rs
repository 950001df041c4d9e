//! The typed model: what the API objects say, checked.
//!
//! In: decoded API objects ([`object::Object`]) with their origin. Out: [`Ingress`], [`Service`],
//! [`EndpointSet`], [`Secret`], [`IngressClass`] values that hold only what was found
//! valid, and a [`Problem`] for each thing that was not. Never an error that stops the rest, never
//! I/O, never a clock.

mod annotations;
mod certificate;
pub mod class;
pub mod config_map;
pub mod convert;
pub mod decode;
pub mod endpoints;
mod field;
pub mod ingress;
mod names;
pub mod object;
pub mod options;
pub mod pattern;
pub mod problem;
pub mod rule;
pub mod secret;
pub mod service;
pub mod sight;

pub use class::IngressClass;
pub use config_map::ConfigMap;
pub use endpoints::{Endpoint, EndpointSet};
pub use ingress::{Backend, HostPattern, Ingress, IngressPath, PathKind, PortRef, Rule, TlsEntry};
pub use object::{Change, Kind, Object, ObjectRef, Origin};
pub use problem::{Problem, Reason};
pub use rule::RuleId;
pub use secret::{CertificateSecret, Secret, SecretCertificate, SecretData, ServerCertificate};
pub use service::{Service, ServicePort};
pub use sight::{Address, Marks, Sight, Versions};
