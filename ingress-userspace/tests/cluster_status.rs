//! A real Kubernetes API server is told what is served: addresses in the status of Ingresses, by one
//! process of several, and never where somebody else writes.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::path::PathBuf;
use std::time::Instant;

use genkan::config::cluster::CacheConfig;
use genkan::testing::deadline::{DEADLINE, eventually, eventually_some};
use genkan::testing::lab::{EdgeLab, Process};
use genkan::testing::openmetrics;
use genkan::testing::require::require;
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, Story};

#[allow(dead_code, reason = "the other test that has it uses all of it")]
#[path = "cluster_source/control_plane.rs"]
mod control_plane;

use control_plane::{ControlPlane, GENKAN, program};

struct World {
    story: Story,
    cluster: ControlPlane,
}

const READER: &str = include_str!("../../deploy/rbac/cluster.yaml");
const WRITER: &str = include_str!("../../deploy/rbac/status.yaml");

const REPORTS: &str = include_str!("../../deploy/chart/crds/ingressreports.yaml");

const OBJECTS: &str = "\
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: genkan}
spec: {controller: genkan.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other}
spec: {controller: example.com/other}
---
apiVersion: v1
kind: Namespace
metadata: {name: genkan-system}
";

/// What the program says when it has the lease.
const LEADS: &str = "this process writes addresses and Events";

impl World {
    /// Nothing runs yet at the edge; there is a Service `pod-0`.
    fn new(roles: &[&str]) -> Option<Self> {
        if !require_root() {
            return None;
        }
        let program = program();
        let why = "needs the program that `cargo xtask cluster up` builds";
        if !require(program.is_some(), why) {
            return None;
        }
        let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), 1);
        let cluster = ControlPlane::start(story.edge(), &program.unwrap());
        story.configure(|config| {
            config.classes.serve_classless = false;
            config.cluster.cache = CacheConfig::Off;
        });
        story.with_arguments(&["--no-bpf"]).watch_cluster(&cluster.kubeconfig(GENKAN));
        story.with_environment("NODE_NAME", Some("edge-a"));
        let world = Self { story, cluster };
        world.apply(OBJECTS);
        for role in roles {
            world.apply(&for_user(role));
        }
        world.apply(&world.story.service_yaml("pod-0", &[0]));
        Some(world)
    }

    fn apply(&self, yaml: &str) {
        self.cluster.apply(self.story.edge(), yaml);
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(self.story.edge(), arguments, "")
    }

    /// One field of an object.
    fn field(&self, object: &str, path: &str) -> String {
        self.kubectl(&["get", object, "-o", &format!("jsonpath={{{path}}}")])
    }

    /// `status.loadBalancer.ingress`, as it stands there.
    fn addresses(&self, name: &str) -> String {
        let kind = format!("ingress/{name}");
        let (ips, hosts) = (".status.loadBalancer.ingress[*].ip", "[*].hostname");
        let hosts = self.field(&kind, &format!(".status.loadBalancer.ingress{hosts}"));
        [self.field(&kind, ips), hosts].join(" ").trim().to_owned()
    }

    fn wait_for_addresses(&self, name: &str, addresses: &str) {
        eventually(&format!("{name} has the addresses {addresses:?}"), || {
            self.addresses(name) == addresses
        });
    }

    /// Events about an Ingress of this name.
    fn events(&self, name: &str) -> usize {
        let of = format!("regarding.name={name}");
        let list = ["get", "events.events.k8s.io", "--field-selector", &of, "-o", "name"];
        self.kubectl(&list).lines().count()
    }

    /// As another controller would.
    fn write_status(&self, name: &str, entries: &str) {
        let patch = format!("{{\"status\":{{\"loadBalancer\":{{\"ingress\":{entries}}}}}}}");
        let arguments = ["patch", "ingress", name, "--subresource=status", "--type=merge"];
        let manager = ["--field-manager=other", "-p", &patch];
        self.kubectl(&[&arguments[..], &manager[..]].concat());
    }

    /// Another node with the same VIP, which is a process beside the first.
    fn start_second_node(&mut self) -> Process {
        let directory = self.story.runtime_directory();
        let socket: PathBuf = directory.with_file_name("second.sock");
        self.story.use_runtime_directory("second");
        self.story.with_environment("NODE_NAME", Some("edge-b"));
        self.story.with_environment("GENKAN_ADMIN__SOCKET", Some(socket.to_str().unwrap()));
        let process = self.story.spawn();
        process.wait_for_line(" genkan::app: ready ", DEADLINE);
        process
    }
}

/// For a user of this name instead of a service account.
fn for_user(role: &str) -> String {
    let account = "kind: ServiceAccount\n    name: genkan\n    namespace: genkan-system";
    assert!(role.contains(account));
    role.replace(account, &format!("kind: User\n    name: {GENKAN}"))
}

/// Of a class, with a host of its name.
fn ingress(name: &str, class: &str) -> String {
    let yaml = Ingress::new(name).rule(&format!("{name}.example"), "/", "pod-0").yaml();
    yaml.replacen("spec:\n", &format!("spec:\n  ingressClassName: {class}\n"), 1)
}

/// The same, with a Service that is not there and an annotation that no parser takes.
fn broken(name: &str, class: &str) -> String {
    let rule = Ingress::new(name).rule(&format!("{name}.example"), "/", "nowhere");
    let yaml = rule.annotation("genkan.io/proxy-body-size", "much").yaml();
    yaml.replacen("spec:\n", &format!("spec:\n  ingressClassName: {class}\n"), 1)
}

/// Both addresses of the VIP, in the order of the list.
fn vips() -> String {
    let [v4, v6] = EdgeLab::VIPS;
    format!("{v4} {v6}")
}

#[test]
fn s22_kubectl_shows_the_address_of_what_is_served() {
    let Some(mut world) = World::new(&[READER, WRITER]) else { return };
    // With kernel programs VIPs can be changed while it runs.
    world.story.with_arguments(&[]).start();
    world.apply(&ingress("shop", "genkan"));
    world.wait_for_addresses("shop", &vips());
    // The first request after that is right, without another try.
    assert_eq!(world.story.get(EdgeLab::VIP4, "shop.example", "/").status, 200);
    let shown = world.kubectl(&["get", "ingress", "shop"]);
    assert!(shown.contains(&EdgeLab::VIP4.to_string()), "{shown}");

    // U2: equal is not written.
    let version = world.field("ingress/shop", ".metadata.resourceVersion");
    world.apply(&ingress("late", "genkan"));
    world.wait_for_addresses("late", &vips());
    assert_eq!(world.field("ingress/shop", ".metadata.resourceVersion"), version);

    // U4, U5: another VIP takes the place of the first, also in what is there.
    let [v4, v6] = EdgeLab::VIPS;
    world.story.configure_vip(|vip| vip.addresses = vec![v4]);
    world.wait_for_addresses("shop", &v4.to_string());
    world.story.configure_vip(|vip| vip.addresses = vec![v4, v6]);
    world.wait_for_addresses("shop", &vips());
    // A process that starts later knows the addresses of the one before.
    assert_eq!(world.story.terminate().code(), Some(0));
    world.story.configure_vip(|vip| vip.addresses = vec![v6]).start();
    world.wait_for_addresses("shop", &v6.to_string());
}

#[test]
fn s30_entries_and_objects_of_others_stay() {
    let Some(mut world) = World::new(&[READER, WRITER]) else { return };
    world.apply(&ingress("theirs", "other"));
    let theirs = format!("[{{\"ip\":\"{}\"}},{{\"hostname\":\"lb.example\"}}]", EdgeLab::VIP4);
    world.write_status("theirs", &theirs);
    let version = world.field("ingress/theirs", ".metadata.resourceVersion");
    world.apply(&ingress("shop", "genkan"));
    world.write_status("shop", "[{\"hostname\":\"lb.example\"}]");
    world.story.start();
    let both = format!("{} lb.example", vips());
    world.wait_for_addresses("shop", &both);

    // K6: it leaves our class, and what is ours goes.
    let leave = "{\"spec\":{\"ingressClassName\":\"other\"}}";
    world.kubectl(&["patch", "ingress", "shop", "-p", leave]);
    world.wait_for_addresses("shop", "lb.example");
    // An Ingress that was never ours is not written, whatever stands there.
    assert_eq!(world.field("ingress/theirs", ".metadata.resourceVersion"), version);
    // K6: and it comes back.
    world.kubectl(&["patch", "ingress", "shop", "-p", &leave.replace("other", "genkan")]);
    world.wait_for_addresses("shop", &both);
}

#[test]
fn u3_a_node_that_does_not_serve_it_yet_holds_the_address_back() {
    let Some(mut world) = World::new(&[READER, WRITER]) else { return };
    let node = |serves: &str| {
        format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  name: genkan.slow\n  \
             namespace: genkan-system\n  labels: {{genkan.io/lease: genkan}}\n  \
             annotations: {{genkan.io/serves: '{serves}'}}\n\
             spec: {{holderIdentity: slow, leaseDurationSeconds: 3600}}\n"
        )
    };
    world.apply(&node("ingresses=1"));
    world.story.start();
    world.apply(&ingress("shop", "genkan"));
    world.story.wait_for_status("shop.example", "/", 200);
    let told = world.story.wait_for_log("Ingresses wait for their address");
    assert!(told.contains("genkan.slow"), "{told}");
    assert_eq!(world.addresses("shop"), "");
    world.apply(&node("ingresses=999999999,services=999999999,endpointslices=999999999"));
    world.wait_for_addresses("shop", &vips());
}

#[test]
fn u2_one_process_of_two_writes_and_the_other_takes_over() {
    let Some(mut world) = World::new(&[READER, WRITER]) else { return };
    world.story.start();
    world.story.wait_for_log(LEADS);
    let second = world.start_second_node();
    world.apply(&ingress("shop", "genkan"));
    world.wait_for_addresses("shop", &vips());
    assert!(!second.output().contains(LEADS), "{}", second.output());
    let nodes = eventually_some("both nodes say what they serve", || {
        let names = world.kubectl(&["get", "leases", "-n", "genkan-system", "-o", "name"]);
        (names.contains("genkan.edge-a") && names.contains("genkan.edge-b")).then_some(names)
    });
    assert_eq!(nodes.lines().count(), 3, "{nodes}");

    // Killed: the lease has to run out.
    let version = world.field("ingress/shop", ".metadata.resourceVersion");
    world.story.kill();
    second.wait_for_line(LEADS, DEADLINE);
    world.apply(&ingress("late", "genkan"));
    // The node that is gone is waited for as long as its own Lease says; an operator knows better.
    world.kubectl(&["delete", "lease", "genkan.edge-a", "-n", "genkan-system"]);
    world.wait_for_addresses("late", &vips());
    assert_eq!(world.field("ingress/shop", ".metadata.resourceVersion"), version, "written once");
}

#[test]
fn u2_a_successor_on_the_node_goes_on_where_its_predecessor_was() {
    let Some(mut world) = World::new(&[READER, WRITER]) else { return };
    world.story.start();
    world.apply(&ingress("shop", "genkan"));
    world.wait_for_addresses("shop", &vips());
    let version = world.field("ingress/shop", ".metadata.resourceVersion");
    let mut predecessor = world.story.start_successor();
    world.story.wait_for_log(LEADS);
    predecessor.wait(DEADLINE);
    world.apply(&ingress("late", "genkan"));
    world.wait_for_addresses("late", &vips());
    assert_eq!(world.field("ingress/shop", ".metadata.resourceVersion"), version);
    // The node did not go for a moment; when it does, its Lease goes too.
    let leases =
        |world: &World| world.kubectl(&["get", "leases", "-n", "genkan-system", "-o", "name"]);
    assert!(leases(&world).contains("genkan.edge-a"));
    assert_eq!(world.story.terminate().code(), Some(0));
    assert!(!leases(&world).contains("genkan.edge-a"), "{}", leases(&world));
    let lease = ["get", "lease", "genkan", "-n", "genkan-system", "-o"];
    let holder = [&lease[..], &["jsonpath={.spec.holderIdentity}"]].concat();
    assert_eq!(world.kubectl(&holder), "", "it is given up");
    // U5: what was published stays.
    assert_eq!(world.addresses("shop"), vips());
}

#[test]
fn u2_each_of_many_gets_its_address_by_one_write() {
    const MANY: usize = 300;
    let Some(mut world) = World::new(&[READER, WRITER]) else { return };
    world.story.start();
    world.story.wait_for_log(LEADS);
    let written = |world: &World| {
        let text = world.story.admin().get("/metrics?form=openmetrics").unwrap().text();
        let families = openmetrics::parse(&text).unwrap();
        families.sum("genkan_status_writes_total", &[("object", "address")])
    };
    let all: Vec<String> =
        (0..MANY).map(|index| ingress(&format!("shop-{index}"), "genkan")).collect();
    world.apply(&all.join("---\n"));
    let applied = Instant::now();
    let path = "jsonpath={range .items[*]}{.status.loadBalancer.ingress[*].ip};{end}";
    eventually("all have their addresses", || {
        let all = world.kubectl(&["get", "ingress", "-o", path]);
        all.split(';').filter(|addresses| *addresses == vips()).count() == MANY
    });
    println!("{MANY} Ingresses: the last address {:?} after kubectl", applied.elapsed());
    assert_eq!(written(&world), MANY as f64);
    world.kubectl(&["label", "ingress", "--all", "edited=yes"]);
    world.apply(&ingress("late", "genkan"));
    world.wait_for_addresses("late", &vips());
    eventually("one more is counted", || written(&world) == (MANY + 1) as f64);
}

#[test]
fn without_the_right_to_write_it_serves_and_says_so() {
    let Some(mut world) = World::new(&[READER]) else { return };
    world.story.start();
    world.apply(&ingress("shop", "genkan"));
    world.story.wait_for_status("shop.example", "/", 200);
    let told = world.story.wait_for_log("addresses and Events are not written");
    assert!(told.contains("403") && told.contains("leases"), "{told}");
    assert_eq!(world.addresses("shop"), "");
}

#[test]
fn u6_kubectl_describe_shows_why_something_does_not_work() {
    let Some(mut world) = World::new(&[READER, WRITER]) else { return };
    world.story.start();
    world.apply(&broken("shop", "genkan"));
    world.apply(&broken("theirs", "other"));
    let described = eventually_some("both problems are told", || {
        let described = world.kubectl(&["describe", "ingress", "shop"]);
        let all = ["ServiceNotFound", "InvalidAnnotation", "Synced"];
        all.iter().all(|reason| described.contains(reason)).then_some(described)
    });
    assert!(described.contains("nowhere") && described.contains("much"), "{described}");
    assert!(described.contains("genkan.io/ingress-controller"), "{described}");

    // It stands: an edit of something else tells nothing again.
    let before = world.events("shop");
    world.kubectl(&["label", "ingress", "shop", "edited=yes"]);
    world.apply(&ingress("late", "genkan"));
    world.wait_for_addresses("late", &vips());
    assert_eq!(world.events("shop"), before);
    // S30: the Ingress of another controller is its own affair.
    assert_eq!(world.events("theirs"), 0);

    // A process that starts later counts the same Events up.
    assert_eq!(world.story.terminate().code(), Some(0));
    world.story.start();
    world.story.wait_for_log(LEADS);
    let of = ["get", "events.events.k8s.io", "--field-selector", "reason=ServiceNotFound"];
    let count = ["-o", "jsonpath={.items[*].series.count}"];
    eventually("the Event is told a second time", || {
        world.kubectl(&[&of[..], &count[..]].concat()) == "2"
    });
    assert_eq!(world.events("shop"), before);
}

#[test]
fn u6_report_lists_what_does_not_work_as_long_as_it_does_not() {
    let Some(mut world) = World::new(&[READER, WRITER]) else { return };
    world.apply(REPORTS);
    eventually("the kind is served", || {
        let list = ["get", "--raw=/apis/genkan.io/v1alpha1/ingressreports"];
        world.cluster.try_kubectl(world.story.edge(), &list, "").is_some()
    });
    world.apply(&broken("shop", "genkan"));
    world.apply(&broken("theirs", "other"));
    world.story.start();
    let report = |world: &World| {
        let list = ["get", "ingressreports", "-o", "jsonpath={range .items[*]}"];
        let [problem, total] = [".problems[*]['field','reason','rule']", ".total"];
        let each = format!("{{.metadata.name}} {{{total}}} {{{problem}}}{{end}}");
        world.kubectl(&[&list[..3], &[&format!("{}{each}", list[3])]].concat())
    };
    let both = eventually_some("both problems are reported", || {
        let report = report(&world);
        report.contains("shop 2").then_some(report)
    });
    for expected in ["ServiceNotFound", "InvalidAnnotation", "spec.rules[0]", "C9"] {
        assert!(both.contains(expected), "{expected}: {both}");
    }
    assert!(!both.contains("theirs"), "{both}");
    let conditions = world.field("ingressreport/shop", ".conditions[*].status");
    assert_eq!(conditions, "False False");

    // Without the annotation one is left; without the other none, and no report.
    let annotation = "genkan.io/proxy-body-size-";
    world.kubectl(&["annotate", "ingress", "shop", annotation]);
    eventually("one problem is left", || report(&world).contains("shop 1"));
    world.apply(&world.story.service_yaml("nowhere", &[0]));
    eventually("there is no report", || report(&world).is_empty());
    assert_eq!(world.story.get(EdgeLab::VIP4, "shop.example", "/").status, 200);
}
