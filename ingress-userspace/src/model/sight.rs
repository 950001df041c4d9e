//! What the API server says of an object beside what it asks for: which one it is, and what stands in
//! its status; and how far the watches have come.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::ObjectRef;

/// One object as it was seen. Its text is not in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    pub object: ObjectRef,
    /// `metadata.uid`; empty when it has none.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub version: Arc<str>,
    pub generation: i64,
    /// `status.loadBalancer.ingress` of an Ingress, in its order.
    pub addresses: Vec<Address>,
}

/// One entry of `status.loadBalancer.ingress`.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// `ip` and nothing else.
    Ip(IpAddr),
    /// Anything else, as it is written.
    Other(Box<Value>),
}

/// Versions of collections: by plural name, with a namespace before it when only that one is
/// watched. Versions of one collection grow with each change (KEP-5504).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions(pub BTreeMap<Arc<str>, u64>);

/// How far the watches of a node have come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// All changes up to these versions are known; bookmarks count.
    pub heard: Versions,
    /// The newest object: whoever has heard this version knows all objects that we know.
    pub objects: Versions,
}

// === impl Address ===

impl Address {
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Other(value) => value.get("ip")?.as_str()?.parse().ok(),
        }
    }

    /// As the API has it.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Ip(ip) => serde_json::json!({ "ip": ip.to_string() }),
            Self::Other(value) => (**value).clone(),
        }
    }
}

impl From<&Value> for Address {
    fn from(value: &Value) -> Self {
        let only_ip = value.as_object().is_some_and(|fields| fields.len() == 1);
        let ip = value.get("ip").and_then(Value::as_str).and_then(|text| text.parse().ok());
        match ip {
            Some(ip) if only_ip => Self::Ip(ip),
            _ => Self::Other(Box::new(value.clone())),
        }
    }
}

// === impl Versions ===

impl Versions {
    /// Whether all that `needed` names is known. A collection that is not watched is not known.
    pub fn cover(&self, needed: &Self) -> bool {
        needed.0.iter().all(|(of, version)| self.0.get(of).is_some_and(|known| known >= version))
    }

    /// Of its text; what is not readable in it is left out.
    pub fn read(text: &str) -> Self {
        let pair = |pair: &str| {
            let (of, version) = pair.split_once('=')?;
            Some((of.into(), version.parse().ok()?))
        };
        Self(text.split(',').filter_map(pair).collect())
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (of, version)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{of}={version}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn versions(text: &str) -> Versions {
        Versions::read(text)
    }

    #[test]
    fn versions_survive_their_text() {
        let both = versions("ingresses=7,shop/services=12");
        assert_eq!(both.to_string(), "ingresses=7,shop/services=12");
        assert_eq!(versions(""), Versions::default());
        assert_eq!(versions("ingresses=7,what,services=x"), versions("ingresses=7"));
    }

    #[test]
    fn what_is_not_watched_is_not_known() {
        let needed = versions("ingresses=7,services=12");
        assert!(versions("ingresses=7,services=12").cover(&needed));
        assert!(versions("ingresses=9,services=99,other=1").cover(&needed));
        assert!(!versions("ingresses=6,services=12").cover(&needed));
        assert!(!versions("ingresses=7").cover(&needed));
        assert!(!versions("ingresses=7,shop/services=12").cover(&needed));
        assert!(versions("").cover(&Versions::default()));
    }

    #[test]
    fn entries_are_given_back_as_they_were_read() {
        let plain = json!({"ip": "192.0.2.1"});
        assert_eq!(Address::from(&plain), Address::Ip("192.0.2.1".parse().unwrap()));
        for value in [
            plain,
            json!({"ip": "2001:db8::1"}),
            json!({"hostname": "lb.example"}),
            json!({"ip": "192.0.2.1", "ports": [{"port": 80, "protocol": "TCP"}]}),
            json!({"ip": "no address"}),
        ] {
            assert_eq!(Address::from(&value).to_value(), value);
        }
        let with_ports = Address::from(&json!({"ip": "192.0.2.1", "ports": []}));
        assert_eq!(with_ports.ip(), Some("192.0.2.1".parse().unwrap()));
    }
}
