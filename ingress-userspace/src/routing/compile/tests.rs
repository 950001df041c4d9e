//! The rules of `deploy/docs/rules.md`, by their names.

use std::sync::Arc;

use crate::config::{Compat, Config};
use crate::model::{Change, Object, Origin, Problem, Reason, decode};
use crate::routing::fixture::upserts;
use crate::routing::{
    Action, CertificateChoice, Cluster, Compiled, Compiler, RequestHost, Route, Settings, host,
    path,
};

mod aliases;
mod canary;
mod classes;
mod conflicts;
mod custom_headers;
mod endpoints;
mod filters;
mod hosts;
mod passwords;
mod paths;
mod properties;
mod tallies;
mod tls;

/// A compiler with what it made so far.
struct World {
    compiler: Compiler,
    now: i64,
}

impl World {
    /// Native mode.
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn nginx() -> Self {
        Self::with(nginx())
    }

    fn with(settings: Settings) -> Self {
        Self { compiler: Compiler::new(settings), now: 1000 }
    }

    /// Native mode with these objects.
    fn of(objects: impl IntoIterator<Item = Object>) -> Self {
        Self::new().and(objects)
    }

    fn and(mut self, objects: impl IntoIterator<Item = Object>) -> Self {
        self.apply(upserts(objects));
        self
    }

    fn apply(&mut self, change: Change) -> Compiled {
        self.compiler.apply(change, self.now)
    }

    /// The route that a client's raw host and path reach.
    fn route(&self, raw_host: &str, raw_path: &str) -> Option<Arc<Route>> {
        let mut buffer = String::new();
        let host = match raw_host {
            "" => RequestHost::Absent,
            raw => host::normalise(raw, &mut buffer).expect("a host that is not refused"),
        };
        let path = match raw_path {
            "*" => "".into(),
            raw => path::normalise(raw).expect("a path that is not refused"),
        };
        self.compiler.snapshot().route(host, &path).cloned()
    }

    /// `ingress/rules[i].paths[j]` of that route, without its namespace where that is `default`;
    /// `404` when there is none.
    fn id(&self, raw_host: &str, raw_path: &str) -> String {
        let id = self.route(raw_host, raw_path).map(|route| route.id.to_string());
        let id = id.unwrap_or_else(|| "404".to_owned());
        id.strip_prefix("default/").map(str::to_owned).unwrap_or(id)
    }

    fn cluster(&self, raw_host: &str, raw_path: &str) -> Arc<Cluster> {
        let route = self.route(raw_host, raw_path).expect("a route");
        match route.action {
            Action::Forward(id) => self.compiler.snapshot().cluster(id).expect("a cluster").clone(),
            Action::Redirect(_) | Action::Refuse { .. } => panic!("{route:?} does not forward"),
        }
    }

    fn certificate(&self, sni: &str) -> CertificateChoice {
        let mut buffer = String::new();
        self.compiler.snapshot().certificate(host::server_name(sni, &mut buffer))
    }

    fn problems(&self) -> Vec<Problem> {
        self.compiler.problems()
    }

    /// `Reason object field` of each problem.
    fn told(&self) -> Vec<String> {
        self.problems().iter().map(brief).collect()
    }

    /// [`Self::told`] without those about Services, which most tests leave out.
    fn told_of_rules(&self) -> Vec<String> {
        let services = [Reason::ServiceNotFound, Reason::PortNotFound, Reason::NoEndpoints];
        let problems = self.problems();
        problems.iter().filter(|p| !services.contains(&p.reason)).map(brief).collect()
    }
}

fn nginx() -> Settings {
    Settings::from(&Config { compat: Compat::Nginx, ..Config::default() })
}

/// The objects of YAML documents without a problem.
fn yaml(text: &str) -> Vec<Object> {
    let (objects, problems) = decoded(text);
    assert_eq!(problems, []);
    objects
}

fn decoded(text: &str) -> (Vec<Object>, Vec<Problem>) {
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    for document in serde_saphyr::from_multiple::<serde_json::Value>(text).unwrap() {
        for decoded in decode::decode(&document, &Origin::Cluster, &decode::Settings::default()) {
            objects.extend(decoded.objects);
            problems.extend(decoded.problems);
        }
    }
    (objects, problems)
}

fn brief(problem: &Problem) -> String {
    let object = problem.object.as_ref().map_or("", |object| &object.name);
    format!("{} {object} {}", problem.reason.as_str(), problem.field)
}
