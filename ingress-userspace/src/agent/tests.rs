use std::fs;
use std::sync::Arc;

use futures_util::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::config::{Compat, VipConfig};
use crate::model::Reason;
use crate::routing::{CertificateChoice, ClusterState, RequestHost, Route};
use crate::testing::ca::TestCa;
use crate::testing::deadline::DEADLINE;

/// An agent over a directory, and what it publishes.
struct World {
    directory: TempDir,
    publisher: Publisher,
    agent: Agent,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let publisher = Publisher::new(1);
        let node = Node::default();
        let origin = source::Origin::Manifests(directory.path().to_owned());
        let config = config();
        let agent = Agent::start(&origin, &config, node, publisher.clone(), None, |_| {});
        let agent = agent.now_or_never().expect("a directory is read at once").unwrap();
        Self { directory, publisher, agent }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// By a rename: whole at once.
    fn replace(&self, name: &str, text: &str) {
        self.write(".new", text);
        fs::rename(self.directory.path().join(".new"), self.directory.path().join(name)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.directory.path().join(name)).unwrap();
    }

    /// Steps until a problem with this reason is there.
    async fn told(&mut self, reason: Reason) {
        let all = |agent: &Agent| -> Vec<Problem> {
            agent.source_problems.values().cloned().chain(agent.compiler.problems()).collect()
        };
        let waited = tokio::time::timeout(DEADLINE, async {
            while !all(&self.agent).iter().any(|problem| problem.reason == reason) {
                self.agent.step().await;
            }
        });
        assert!(waited.await.is_ok(), "not told: {reason:?}");
    }

    fn route(&self, host: &str) -> Option<Arc<Route>> {
        self.publisher.current().route(RequestHost::Name(host), "/").cloned()
    }

    fn has_own_certificate(&self, host: &str) -> bool {
        matches!(
            self.publisher.current().certificate(Some(host)),
            CertificateChoice::Known(Some(_))
        )
    }

    fn state(&self, host: &str) -> ClusterState {
        let crate::routing::Action::Forward(id) = self.route(host).unwrap().action else {
            panic!("{host} is not forwarded");
        };
        self.publisher.current().cluster(id).unwrap().state
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.classes.serve_classless = true;
    config
}

fn with_vip(address: &str) -> Config {
    let vip = format!("{{\"name\": \"edge\", \"addresses\": [\"{address}\"]}}");
    let vip: VipConfig = serde_json::from_str(&vip).unwrap();
    Config { vips: vec![vip], ..config() }
}

fn ingress(host: &str, annotations: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {host}, annotations: \
         {{{annotations}}}}}\nspec:\n  tls: [{{hosts: [{host}], secretName: s}}]\n  rules:\n  - \
         host: {host}\n    http: {{paths: [{{path: /, pathType: ImplementationSpecific, backend: \
         {{service: {{name: pod, port: {{number: 80}}}}}}}}]}}\n"
    )
}

fn service(address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: pod}}\nspec: {{ports: [{{port: \
         80}}]}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: \
         pod-1, labels: {{kubernetes.io/service-name: pod}}}}\naddressType: IPv4\nports: [{{port: \
         8080}}]\nendpoints: [{{addresses: [{address}]}}]\n"
    )
}

#[tokio::test]
async fn t9_last_good_certificate_outlives_every_kind_of_rereading() {
    let ca = TestCa::new();
    let good = ca.issue(&["a.example"]).secret_yaml("default", "s");
    let mut world = World::new(&[("i.yaml", &ingress("a.example", "")), ("s.yaml", &good)]);
    assert!(world.has_own_certificate("a.example"));

    let broken = good.replace("tls.key: ", "tls.key: '!'\n  other: ");
    world.write("s.yaml", &broken);
    world.told(Reason::SecretInvalid).await;
    assert!(world.has_own_certificate("a.example"));
    world.agent.reread().await.unwrap();
    assert!(world.has_own_certificate("a.example"), "SIGHUP");
    world.agent.reconfigure(&with_vip("192.0.2.1")).await.unwrap();
    assert!(world.has_own_certificate("a.example"), "other VIPs");
    let nginx = Config { compat: Compat::Nginx, ..with_vip("192.0.2.1") };
    world.agent.reconfigure(&nginx).await.unwrap();
    assert!(world.has_own_certificate("a.example"), "documents decoded anew");

    // Deleted: the hour of grace that began goes on.
    world.replace("s.yaml", &good);
    world.agent.reread().await.unwrap();
    world.remove("s.yaml");
    world.told(Reason::SecretNotFound).await;
    let deadline = world.agent.compiler.next_deadline();
    assert!(deadline.is_some());
    world.agent.reconfigure(&config()).await.unwrap();
    assert!(world.has_own_certificate("a.example"), "deleted a moment ago");
    assert_eq!(world.agent.compiler.next_deadline(), deadline);
}

#[tokio::test]
async fn an_edit_of_the_vips_compiles_no_host() {
    let mut world =
        World::new(&[("i.yaml", &ingress("a.example", "")), ("p.yaml", &service("10.0.0.1"))]);
    let before = world.route("a.example").unwrap();
    world.agent.reconfigure(&with_vip("192.0.2.1")).await.unwrap();
    assert!(Arc::ptr_eq(&before, &world.route("a.example").unwrap()));
    assert_eq!(world.state("a.example"), ClusterState::Ready);
}

/// E9: what the VIPs and the node are decides about endpoints, live.
#[tokio::test]
async fn e9_endpoints_at_addresses_that_become_our_own_are_served_no_more() {
    let mut world =
        World::new(&[("i.yaml", &ingress("a.example", "")), ("p.yaml", &service("10.0.0.1"))]);
    assert_eq!(world.state("a.example"), ClusterState::Ready);
    world.agent.reconfigure(&with_vip("10.0.0.1")).await.unwrap();
    assert_eq!(world.state("a.example"), ClusterState::NoEndpoints);
    world.told(Reason::InvalidEndpoint).await;
    world.agent.reconfigure(&config()).await.unwrap();
    assert_eq!(world.state("a.example"), ClusterState::Ready);

    let own = Node { addresses: ["10.0.0.1".parse().unwrap()].into(), ..Node::default() };
    world.agent.set_node(own);
    assert_eq!(world.state("a.example"), ClusterState::NoEndpoints);
    let mut problems = world.agent.compiler.problems().into_iter();
    let told = problems.find(|p| p.reason == Reason::InvalidEndpoint).unwrap().to_string();
    assert!(
        told.contains("p.yaml:6: EndpointSlice default/pod-1: endpoints[0].addresses[0]: "),
        "{told}"
    );
    assert!(told.contains("10.0.0.1 is an address of this node"), "{told}");
    world.agent.set_node(Node::default());
    assert_eq!(world.state("a.example"), ClusterState::Ready);
}

#[tokio::test]
async fn another_way_to_read_objects_and_to_compile_them_comes_in_one_snapshot() {
    let rewrite = "nginx.ingress.kubernetes.io/rewrite-target: /x";
    let mut world = World::new(&[("i.yaml", &ingress("a.example", rewrite))]);
    assert!(world.route("a.example").unwrap().rewrite.is_none());
    let version = world.publisher.current().version;
    let nginx = Config { compat: Compat::Nginx, ..config() };
    world.agent.reconfigure(&nginx).await.unwrap();
    let route = world.route("a.example").unwrap();
    assert!(route.rewrite.is_some() && route.hsts.is_some());
    assert_eq!(world.publisher.current().version, version + 1);
    world.agent.reconfigure(&config()).await.unwrap();
    let route = world.route("a.example").unwrap();
    assert!(route.rewrite.is_none() && route.hsts.is_none());
}

#[tokio::test]
async fn a_class_that_becomes_ours_by_configuration_is_served() {
    let mut world = World::new(&[("i.yaml", &ingress("a.example", ""))]);
    let nobody = Config::default();
    world.agent.reconfigure(&nobody).await.unwrap();
    assert!(world.route("a.example").is_none());
    world.agent.reconfigure(&config()).await.unwrap();
    assert!(world.route("a.example").is_some());
}

/// Lines above shift those below: the same objects, no compilation, the right line in each problem.
#[tokio::test]
async fn shifted_lines_compile_nothing_and_stand_in_the_problems() {
    let both = format!("{}---\n{}", ingress("a.example", ""), ingress("b.example", ""));
    let mut world = World::new(&[("i.yaml", &both), ("p.yaml", &service("10.0.0.1"))]);
    let routes = ["a.example", "b.example"].map(|host| world.route(host).unwrap());
    let lines = |world: &World| -> Vec<String> {
        let problems = world.agent.compiler.problems();
        let origins = problems.iter().map(|problem| problem.origin.to_string());
        origins.map(|origin| origin.rsplit(':').next().unwrap_or_default().to_owned()).collect()
    };
    let before = lines(&world);
    world.replace("i.yaml", &format!("# one\n# two\n{both}"));
    world.agent.reread().await.unwrap();
    let after = lines(&world);
    assert_eq!(before.len(), 2, "the Secret is missing: {before:?}");
    for (before, after) in before.iter().zip(&after) {
        let line = |text: &str| text.parse::<u32>().unwrap();
        assert_eq!(line(after), line(before) + 2);
    }
    for (host, route) in ["a.example", "b.example"].iter().zip(&routes) {
        assert!(Arc::ptr_eq(route, &world.route(host).unwrap()), "{host}");
    }
}
