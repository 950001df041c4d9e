//! A ConfigMap, as far as annotations name it: the texts of `data`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::object::ObjectRef;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMap {
    pub object: ObjectRef,
    pub data: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}
