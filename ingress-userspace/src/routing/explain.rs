//! What becomes of one request, and why: the question, and the answer as plain values.
//!
//! In: a [`Question`]. Out: an [`Explanation`], made by
//! [`Compiler::explain`](super::Compiler::explain) with the matcher and the rules that serve
//! requests; nothing is decided here. Answers travel between processes as JSON.

use serde::{Deserialize, Serialize};

mod access;
mod canary;
mod steps;

pub use canary::CanaryAnswer;
pub(super) use canary::answer as canary;
pub use steps::Step;
pub(super) use steps::steps;

/// A request that is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub https: bool,
    pub method: String,
    /// As the client would send it, with a port or not; `None`: HTTP/1.0 without Host.
    pub host: Option<String>,
    /// Path and query of the request target.
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Server name of the handshake.
    pub sni: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub question: Question,
    /// The forms in which host and path are compared.
    pub host: Option<String>,
    pub path: Option<String>,
    pub outcome: Outcome,
    /// Host patterns that could take the request, the most precise first.
    pub hosts: Vec<HostAnswer>,
    pub winner: Option<Candidate>,
    /// All other paths that could have been meant, those that match the path first.
    pub losers: Vec<Candidate>,
    /// Paths that are not listed because they do not match.
    pub unlisted: usize,
    /// What the winner does with the request, in order.
    pub steps: Vec<Step>,
    /// Another Service that may get the request instead.
    #[serde(default)]
    pub canary: Option<CanaryAnswer>,
    /// Of the Service that gets it; of the route's own where a weight decides.
    pub cluster: Option<ClusterAnswer>,
    pub certificate: Option<CertificateAnswer>,
    /// Of an HTTPS request.
    #[serde(default)]
    pub strict_sni: Option<StrictSni>,
    /// Problems of the winner's Ingress and its Service.
    pub problems: Vec<String>,
}

/// How it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// Sent to one of the endpoints.
    Forward,
    /// Answered with a redirect to HTTPS, where the VIP has a port that speaks it; a forced one
    /// always.
    Redirect { status: u16, drop_trailing_slash: bool, forced: bool },
    /// Answered with a redirect to a URL, or to a path of the same host.
    Moved { status: u16, to: String },
    /// Answered by us.
    Answer { status: u16, reason: String },
    /// The TLS handshake ends with an alert: there is no request.
    NoHandshake { reason: String },
    /// Also one that a newer version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What `tls.strict_sni` makes of the server name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrictSni {
    Off,
    /// A `tls` entry names it, and the request's host goes with it.
    Served,
    /// No `tls` entry names it, or there is none: the handshake ends (T5).
    Unknown,
    /// The request's host is shown another certificate: 421 (T6).
    Misdirected,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAnswer {
    /// `shop.example`, `*.example`, or empty for rules without host.
    pub pattern: String,
    /// Ingresses with rules for it.
    pub ingresses: usize,
    pub chosen: bool,
    pub rule: String,
    pub why: String,
}

/// A path of a rule, or a default backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub namespace: String,
    pub ingress: String,
    /// File and line where the object was read, when it was a file.
    pub file: Option<String>,
    pub line: Option<u32>,
    /// `spec.rules[0].http.paths[1]` or `spec.defaultBackend`.
    pub field: String,
    pub host: String,
    pub path: String,
    /// `None`: a default backend.
    pub path_type: Option<String>,
    /// `service:port`, or what else it leads to.
    pub backend: String,
    pub matches_path: bool,
    /// The rule that decided.
    pub rule: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAnswer {
    pub name: String,
    pub state: String,
    pub protocol: String,
    pub balance: String,
    pub endpoints: Vec<EndpointAnswer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointAnswer {
    pub address: String,
    pub pod: Option<String>,
    /// The slice or Endpoints object.
    pub object: String,
    pub used: bool,
    pub rule: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAnswer {
    /// As it is looked up; `None`: no usable server name.
    pub server_name: Option<String>,
    /// `namespace/name`; `None`: the self-signed one.
    pub secret: Option<String>,
    pub names: Vec<String>,
    pub rule: String,
    pub why: String,
}

// === impl Question ===

impl Question {
    /// The path of the target.
    pub fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }
}

// === impl Candidate ===

impl Candidate {
    /// `namespace/name field`.
    pub fn title(&self) -> String {
        format!("{}/{} {}", self.namespace, self.ingress, self.field)
    }
}
