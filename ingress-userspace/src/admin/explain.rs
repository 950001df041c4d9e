//! What becomes of a request, for `genkan explain` here and in a running process.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::{Config, PortProtocol, VipConfig};
use crate::dataplane::plan::admission::{Admission, admission};
use crate::routing::Compiler;
use crate::routing::explain::{Explanation, Outcome, Question};

/// POST /explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub question: Question,
    /// For the source rules of the VIPs.
    pub client: Option<IpAddr>,
    pub port: u16,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    #[serde(flatten)]
    pub explanation: Explanation,
    pub vips: Vec<Admission>,
}

// === impl Answer ===

impl Answer {
    pub fn new(compiler: &Compiler, config: &Config, request: &Request) -> Self {
        let Request { question, client, port } = request;
        let protocol = if question.https { PortProtocol::Https } else { PortProtocol::Http };
        let explanation = compiler.explain(question, config.tls.strict_sni);
        let unforced = matches!(explanation.outcome, Outcome::Redirect { forced: false, .. });
        let admission = |vip: &VipConfig| {
            let mut admission = admission(vip, *client, *port, protocol);
            match vip.https_port().filter(|_| unforced) {
                None if unforced => admission.why.push_str("; no https port: not redirected there"),
                None | Some(443) => {}
                Some(port) => admission.why.push_str(&format!("; https is on port {port}")),
            }
            admission
        };
        let vips = config.vips.iter().map(admission).collect();
        Self { explanation, vips }
    }

    /// The request reaches an endpoint, or is redirected, by one VIP at least.
    pub fn is_good(&self) -> bool {
        let served = match self.explanation.outcome {
            Outcome::Forward | Outcome::Redirect { .. } | Outcome::Moved { .. } => true,
            Outcome::Answer { .. } | Outcome::NoHandshake { .. } | Outcome::Unknown => false,
        };
        let admitted = self.vips.iter().any(|vip| vip.admitted && vip.serves_port);
        served && (admitted || self.vips.is_empty())
    }
}
