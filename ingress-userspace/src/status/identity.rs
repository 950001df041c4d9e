//! Who this process is among those of its cluster.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// Names of this process and of its Leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where the Leases are.
    pub namespace: String,
    /// The Lease whose holder writes.
    pub lease: String,
    /// The name of the node; two processes of one node are one node.
    pub node: String,
    /// This process and no other.
    pub holder: String,
    /// The controller as which it speaks, as in `spec.controller` of an IngressClass.
    pub controller: String,
    /// Whose Ingresses it reads; empty = all.
    pub namespaces: Vec<String>,
}

/// On what is written for one installation, which is known by its lease.
const WRITER: &str = "genkan.io/writer";

/// Of a name of an object.
const LONGEST: usize = 253;

// === impl Identity ===

impl Identity {
    /// `salt`: what no other process of the node has.
    pub fn new(controller: &str, (namespace, lease): (&str, &str), node: &str, salt: u64) -> Self {
        Self {
            namespace: namespace.to_owned(),
            lease: lease.to_owned(),
            node: node.to_owned(),
            holder: format!("{node}_{salt:016x}"),
            controller: controller.to_owned(),
            namespaces: Vec::new(),
        }
    }

    /// Label, and its value, of objects that processes of this installation write.
    pub(super) fn writer(&self) -> (&'static str, String) {
        let digest = digest(&SHA256, format!("{}/{}", self.namespace, self.lease).as_bytes());
        let mut writer = String::new();
        for byte in digest.as_ref().iter().take(8) {
            let _ = write!(writer, "{byte:02x}");
        }
        (WRITER, writer)
    }

    /// The name of the Lease of this node.
    pub(super) fn node_lease(&self) -> String {
        let is_plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        let node = self.node.to_ascii_lowercase();
        let node: String = node.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        let node = match node.trim_matches(['.', '-']) {
            "" => "node",
            node => node,
        };
        let mut name = format!("{}.{node}", self.lease);
        name.truncate(LONGEST);
        name.trim_end_matches(['.', '-']).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_of_a_node_has_a_name_that_the_api_server_takes() {
        let name = |node: &str| {
            Identity::new("genkan.io/x", ("genkan-system", "genkan"), node, 1).node_lease()
        };
        assert_eq!(name("edge-0.example"), "genkan.edge-0.example");
        assert_eq!(name("Edge_0"), "genkan.edge-0");
        assert_eq!(name("-"), "genkan.node");
        assert_eq!(name(&"n".repeat(300)).len(), 253);
    }
}
