//! IngressClass: which classes are ours (K1).

use std::sync::Arc;

/// The default controller name of Genkan's classes.
pub const CONTROLLER: &str = "genkan.io/ingress-controller";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressClass {
    pub name: Arc<str>,
    pub controller: Arc<str>,
    /// `ingressclass.kubernetes.io/is-default-class: "true"`.
    pub is_default: bool,
}
