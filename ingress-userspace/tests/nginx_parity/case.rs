//! One row of the table: an Ingress, the same in nginx's words, requests, and what is compared.

use std::collections::BTreeMap;

use genkan::testing::backend::{Answer, Backend};
use genkan::testing::story::Request;

use super::nginx::Nginx;
use super::side::{self, Heard, Side};

/// The host of every case.
pub(crate) const HOST: &str = "parity.example";

/// How often a case with a time limit is tried on a busy machine.
const TRIES: usize = 5;

pub(crate) struct Case {
    /// The annotation key that it is about.
    pub(crate) key: &'static str,
    /// What of it.
    pub(crate) what: &'static str,
    pub(crate) annotations: Vec<(&'static str, String)>,
    pub(crate) paths: Vec<(&'static str, &'static str)>,
    pub(crate) objects: String,
    pub(crate) http: String,
    pub(crate) server: String,
    pub(crate) instead: Vec<(&'static str, &'static str)>,
    pub(crate) files: Vec<(&'static str, String)>,
    pub(crate) scripts: Vec<(&'static str, Answer)>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) answer_fields: &'static [&'static str],
    pub(crate) seen_fields: &'static [&'static str],
    within: Option<std::time::Duration>,
    differs: Option<&'static str>,
}

/// One step of a case.
pub(crate) enum Ask {
    Send(Request),
    /// A GET that is under way from now to the end of the case; its pod must not finish the answer.
    Hold(&'static str),
}

/// What became of a case.
pub(crate) struct Outcome {
    /// Our answers by status, such as `200 x6, 503 x2`.
    pub(crate) statuses: String,
    pub(crate) verdict: Verdict,
}

pub(crate) enum Verdict {
    Equal,
    /// Differs as declared.
    Differs(&'static str),
    /// The text says what is wrong.
    Wrong(String),
}

/// A GET to the host of the case.
pub(crate) fn get(path: &str) -> Request {
    Request::get(HOST, path)
}

// === impl Case ===

impl Case {
    /// An Ingress with path `/`, of type Prefix, to a pod that echoes.
    pub(crate) fn new(key: &'static str, what: &'static str) -> Self {
        Self {
            key,
            what,
            annotations: Vec::new(),
            paths: vec![("/", "Prefix")],
            objects: String::new(),
            http: String::new(),
            server: "location / { PROXY }".to_owned(),
            instead: Vec::new(),
            files: Vec::new(),
            scripts: Vec::new(),
            asks: Vec::new(),
            answer_fields: &[],
            seen_fields: &[],
            within: None,
            differs: None,
        }
    }

    /// An annotation with nginx's prefix.
    /// The last one of a key counts.
    pub(crate) fn annotate(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.annotations.retain(|(given, _)| *given != key);
        self.annotations.push((key, value.into()));
        self
    }

    /// Path and type, in the place of `/`.
    pub(crate) fn paths(mut self, paths: &[(&'static str, &'static str)]) -> Self {
        self.paths = paths.to_vec();
        self
    }

    /// More Kubernetes objects: YAML documents.
    pub(crate) fn objects(mut self, yaml: &str) -> Self {
        self.objects = yaml.to_owned();
        self
    }

    /// Lines of nginx's `http` block.
    pub(crate) fn http(mut self, lines: &str) -> Self {
        self.http = lines.to_owned();
        self
    }

    /// The `server` block. `PROXY` stands for what ingress-nginx writes to forward a request, `DIR`
    /// for the directory of the files.
    pub(crate) fn server(mut self, body: &str) -> Self {
        self.server = body.to_owned();
        self
    }

    /// A server with one location: these lines and the forwarding.
    pub(crate) fn location(self, lines: &str) -> Self {
        self.server(&format!("location / {{ {lines} PROXY }}"))
    }

    /// Another line in what `PROXY` stands for.
    pub(crate) fn instead(mut self, line: &'static str, other: &'static str) -> Self {
        self.instead.push((line, other));
        self
    }

    /// A file beside nginx's configuration.
    pub(crate) fn file(mut self, name: &'static str, content: impl Into<String>) -> Self {
        self.files.push((name, content.into()));
        self
    }

    /// How the pod answers a path; the others are echoed.
    pub(crate) fn pod(mut self, path: &'static str, answer: Answer) -> Self {
        self.scripts.push((path, answer));
        self
    }

    pub(crate) fn ask(mut self, request: Request) -> Self {
        self.asks.push(Ask::Send(request));
        self
    }

    pub(crate) fn ask_all(mut self, requests: impl IntoIterator<Item = Request>) -> Self {
        self.asks.extend(requests.into_iter().map(Ask::Send));
        self
    }

    pub(crate) fn hold(mut self, path: &'static str) -> Self {
        self.asks.push(Ask::Hold(path));
        self
    }

    /// Fields of the answers that are compared, beside their status.
    pub(crate) fn answers_with(mut self, fields: &'static [&'static str]) -> Self {
        self.answer_fields = fields;
        self
    }

    /// Fields of the pod's requests that are compared, beside method, target and body.
    pub(crate) fn pod_sees(mut self, fields: &'static [&'static str]) -> Self {
        self.seen_fields = fields;
        self
    }

    /// The comparison means something only when each side took no longer; else it is done again.
    pub(crate) fn within(mut self, limit: std::time::Duration) -> Self {
        self.within = Some(limit);
        self
    }

    /// We differ on purpose, because of this.
    pub(crate) fn differs(mut self, reason: &'static str) -> Self {
        self.differs = Some(reason);
        self
    }

    pub(crate) fn run(&self) -> Outcome {
        let (theirs, ours) = self.hear_both();
        let different: Vec<String> = theirs
            .iter()
            .zip(&ours)
            .enumerate()
            .filter(|(_, (theirs, ours))| theirs != ours)
            .map(|(number, (theirs, ours))| {
                format!("  request {number}: nginx\n    {theirs}\n  genkan\n    {ours}")
            })
            .collect();
        let verdict = match (self.differs, different.is_empty()) {
            (None, true) => Verdict::Equal,
            (Some(reason), false) => Verdict::Differs(reason),
            (None, false) => self.wrong(&different.join("\n")),
            (Some(reason), true) => self.wrong(&format!("  is equal, but declared: {reason}")),
        };
        let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
        for heard in &ours {
            *statuses.entry(heard.status()).or_default() += 1;
        }
        let statuses: Vec<String> =
            statuses.iter().map(|(status, count)| format!("{status} x{count}")).collect();
        Outcome { statuses: statuses.join(", "), verdict }
    }

    fn wrong(&self, why: &str) -> Verdict {
        Verdict::Wrong(format!("{} ({}):\n{why}", self.key, self.what))
    }

    fn hear_both(&self) -> (Vec<Heard>, Vec<Heard>) {
        for _ in 0..TRIES {
            let pod = self.backend();
            let nginx = Nginx::start(self, pod.address());
            let (theirs, their_time) = side::hear(self, &Side::Nginx(&nginx), &pod);
            drop(nginx);
            let pod = self.backend();
            let edge = side::edge(self, &pod);
            let (ours, our_time) = side::hear(self, &Side::Genkan(&edge), &pod);
            if self.within.is_none_or(|limit| their_time.max(our_time) < limit) {
                return (theirs, ours);
            }
        }
        panic!("{} ({}): never within {:?}", self.key, self.what, self.within);
    }

    fn backend(&self) -> Backend {
        let pod = Backend::http1("pod");
        for (path, answer) in &self.scripts {
            pod.on(path, answer.clone());
        }
        pod
    }
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Equal => "equal".to_owned(),
            Self::Differs(reason) => format!("differs: {reason}"),
            Self::Wrong(_) => "WRONG".to_owned(),
        }
    }

    pub(crate) fn failure(&self) -> Option<String> {
        match self {
            Self::Equal | Self::Differs(_) => None,
            Self::Wrong(text) => Some(text.clone()),
        }
    }
}
