//! A real Kubernetes API server as the source of objects: created with its API, answered on the
//! wire, with a token that may read what it has to and nothing else.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use genkan::config::cluster::CacheConfig;
use genkan::testing::ca::TestCa;
use genkan::testing::lab::EdgeLab;
use genkan::testing::require::require;
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, Request, Story};
use tempfile::TempDir;

#[path = "cluster_source/control_plane.rs"]
mod control_plane;

use control_plane::{ControlPlane, GENKAN, program};

/// A node that watches a cluster, which has one Service for each pod.
struct World {
    story: Story,
    cluster: ControlPlane,
    ca: TestCa,
    _memory: TempDir,
}

/// What a token for the whole cluster needs beside the Secrets.
const CLUSTER_ROLE: &str = include_str!("../../deploy/rbac/cluster.yaml");
/// The same for one namespace.
const NAMESPACED_ROLE: &str = include_str!("../../deploy/rbac/namespace.yaml");
/// One Secret of that namespace.
const SECRETS_ROLE: &str = include_str!("../../deploy/rbac/secrets.yaml");

/// For a user of this name instead of a service account.
fn bound_to_user(role: &str) -> String {
    let account = "kind: ServiceAccount\n    name: genkan\n    namespace: genkan-system";
    assert!(role.contains(account));
    role.replace(account, &format!("kind: User\n    name: {GENKAN}"))
}

impl World {
    fn new(pods: usize, roles: &str) -> Option<Self> {
        if !require_root() {
            return None;
        }
        let program = program();
        let why = "needs the program that `cargo xtask cluster up` builds";
        if !require(program.is_some(), why) {
            return None;
        }
        let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), pods);
        let cluster = ControlPlane::start(story.edge(), &program.unwrap());
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let cache = CacheConfig::At(memory.path().join("cache"));
        story.configure(|config| {
            config.classes.serve_classless = false;
            config.cluster.cache = cache;
        });
        story.with_arguments(&["--no-bpf"]).watch_cluster(&cluster.kubeconfig(GENKAN));
        let world = Self { story, cluster, ca: TestCa::new(), _memory: memory };
        world.apply(&bound_to_user(roles));
        world.apply(CLASS);
        for pod in 0..pods {
            world.apply(&world.story.service_yaml(&format!("pod-{pod}"), &[pod]));
        }
        Some(world)
    }

    fn apply(&self, yaml: &str) {
        self.cluster.apply(self.story.edge(), yaml);
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(self.story.edge(), arguments, "")
    }

    /// A Secret for a host, and an Ingress that names it.
    fn encrypted(&self, name: &str) -> String {
        let (host, named) = (format!("{name}.example"), format!("{name}-tls"));
        let secret = self.ca.issue(&[&host]).secret_yaml("default", &named);
        let ingress = Ingress::new(name).rule(&host, "/", "pod-0").tls(&named, &[&host]);
        format!("{secret}---\n{}", ours(&ingress.yaml()))
    }

    /// The status of a GET over TLS whose certificate is that of the test's CA.
    fn trusted_status(&self, host: &str) -> Option<u16> {
        let request = Request::get(host, "/").tls(&self.ca.client_config(&[]));
        self.story.send(EdgeLab::VIP4, &request).ok().map(|answer| answer.status)
    }

    fn wait_for_trusted(&self, host: &str) {
        genkan::testing::deadline::eventually(&format!("{host} has its certificate"), || {
            self.trusted_status(host) == Some(200)
        });
    }
}

const CLASS: &str = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\n\
    metadata: {name: genkan}\nspec: {controller: genkan.io/ingress-controller}\n";

/// Of the class `genkan`.
fn ours(ingress: &str) -> String {
    ingress.replacen("spec:\n", "spec:\n  ingressClassName: genkan\n", 1)
}

fn shop(pod: usize) -> String {
    ours(&Ingress::new("shop").rule("shop.example", "/", &format!("pod-{pod}")).yaml())
}

#[test]
fn what_is_created_with_the_api_is_served() {
    let Some(mut world) = World::new(2, CLUSTER_ROLE) else { return };
    world.story.start();
    assert_eq!(world.story.get(EdgeLab::VIP4, "shop.example", "/").status, 404);
    world.apply(&shop(0));
    world.story.get_until("it is served", "shop.example", "/", |answer| {
        answer.status == 200 && answer.pod() == "pod-0"
    });
    world.apply(&shop(1));
    world.story.get_until("the change is served", "shop.example", "/", |answer| {
        answer.status == 200 && answer.pod() == "pod-1"
    });
    world.kubectl(&["delete", "ingress", "shop"]);
    world.story.wait_for_status("shop.example", "/", 404);
    assert_eq!(world.story.terminate().code(), Some(0));
}

/// G9, R11: a Role may name the Secrets; what it does not name costs only itself.
#[test]
fn secrets_are_read_by_name() {
    let role = format!("{CLUSTER_ROLE}---\n{SECRETS_ROLE}");
    let Some(mut world) = World::new(1, &role) else { return };
    world.apply(&world.encrypted("shop"));
    world.apply(&world.encrypted("other"));
    let may = |verb: &str, what: &str| {
        let question = ["auth", "can-i", verb, what, &format!("--as={GENKAN}")];
        world.cluster.try_kubectl(world.story.edge(), &question, "").is_some()
    };
    assert!(may("get", "secrets/shop-tls") && !may("get", "secrets/other-tls"));
    assert!(!may("list", "secrets"), "nothing can be listed by this token");
    world.story.start();
    assert_eq!(world.trusted_status("shop.example"), Some(200));
    assert_eq!(world.trusted_status("other.example"), None, "the default certificate");
    let problem = world.story.wait_for_log("Secret default/other-tls");
    assert!(problem.contains("403"), "{problem}");
    // A renewed certificate comes by a watch on that name.
    let renewed = TestCa::new();
    world.apply(&renewed.issue(&["shop.example"]).secret_yaml("default", "shop-tls"));
    world.ca = renewed;
    world.wait_for_trusted("shop.example");
}

/// R7.
#[test]
fn api_server_that_is_away_changes_nothing() {
    let role = format!("{CLUSTER_ROLE}---\n{SECRETS_ROLE}");
    let Some(mut world) = World::new(2, &role) else { return };
    world.apply(&world.encrypted("shop"));
    world.story.start();
    assert_eq!(world.trusted_status("shop.example"), Some(200));
    world.cluster.kill();
    world.story.wait_for_log("the API server is not reached");
    assert_eq!(world.trusted_status("shop.example"), Some(200));

    // A new process serves what the last one knew.
    assert_eq!(world.story.terminate().code(), Some(0));
    world.story.start();
    world.story.wait_for_log("serving from the cache");
    assert_eq!(world.trusted_status("shop.example"), Some(200));
    let ready = world.story.admin().get("/readyz").unwrap().text();
    assert!(ready.contains("served from a cache"), "{ready}");

    world.cluster.resume(world.story.edge());
    world.apply(&shop(1));
    world.story.get_until("what is new is served", "shop.example", "/", |answer| {
        answer.status != 404 && answer.pod() == "pod-1"
    });
}

#[test]
fn role_of_one_namespace_is_enough() {
    let Some(mut world) = World::new(1, NAMESPACED_ROLE) else { return };
    world.kubectl(&["create", "namespace", "other"]);
    let elsewhere = Ingress::new("other").rule("other.example", "/", "pod-0").yaml();
    world
        .apply(&ours(&elsewhere).replace("  name: other\n", "  name: other\n  namespace: other\n"));
    world.apply(&shop(0));
    world.story.configure(|config| config.cluster.namespaces = vec!["default".to_owned()]);
    world.story.start();
    assert_eq!(world.story.get(EdgeLab::VIP4, "shop.example", "/").status, 200);
    assert_eq!(world.story.get(EdgeLab::VIP4, "other.example", "/").status, 404);
}

/// The API server knows the token no more: the kubeconfig is read again.
#[test]
fn token_that_was_replaced_is_read_again() {
    let Some(mut world) = World::new(2, CLUSTER_ROLE) else { return };
    world.apply(&shop(0));
    world.story.start();
    assert_eq!(world.story.get(EdgeLab::VIP4, "shop.example", "/").pod(), "pod-0");
    world.cluster.kill();
    world.cluster.know_token("another");
    world.cluster.resume(world.story.edge());
    world.story.wait_for_log("the API server answers 401");
    world.apply(&shop(1));
    assert_eq!(world.story.get(EdgeLab::VIP4, "shop.example", "/").pod(), "pod-0");
    world.cluster.hand_out(GENKAN, "another");
    world.story.get_until("what is new is served", "shop.example", "/", |answer| {
        answer.status == 200 && answer.pod() == "pod-1"
    });
}
