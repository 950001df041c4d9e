//! Changes at a running edge: nothing that is edited drops a connection, and what is wrong disables
//! itself only. `GENKAN_STORY_SECONDS` says how long the stories under load last.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use genkan::testing::ca::TestCa;
use genkan::testing::deadline::{eventually, eventually_some};
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_root;
use genkan::testing::story::{Connect, Ingress, Request, Story, any_certificate, connect};
use genkan::testing::traffic::{Mix, Traffic};
use ipnet::IpNet;

/// Five edits a second.
const EDIT_INTERVAL: Duration = Duration::from_millis(200);

/// Less than the second after which a dropped SYN is sent again.
const PATIENCE: Duration = Duration::from_millis(800);

fn story(pods: usize) -> Option<Story> {
    if !require_root() {
        return None;
    }
    let story = Story::new(env!("CARGO_BIN_EXE_genkan"), pods);
    story.write_services();
    Some(story)
}

fn story_seconds() -> u64 {
    std::env::var("GENKAN_STORY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// A story under load: `shop.example` with TLS, and clients of all kinds.
struct UnderLoad {
    ca: TestCa,
    story: Story,
    traffic: Option<Traffic>,
}

impl UnderLoad {
    const TLS: [&str; 1] = ["shop.example"];

    fn start(pods: usize) -> Option<Self> {
        let mut story = story(pods)?;
        let ca = TestCa::new();
        story.manifests.write("shop.yaml", &shop().yaml());
        let leaf = ca.issue(&Self::TLS);
        story.manifests.write("secret.yaml", &leaf.secret_yaml("default", "shop"));
        story.configure(|config| {
            config.tls.https_redirect = Some(false);
            // A client that is counted must not end by the number of its requests.
            config.limits.keep_alive_requests = u64::from(u32::MAX);
        });
        story.start();
        let mix = Mix {
            http: SocketAddr::new(EdgeLab::VIP4, 80),
            https: Some((SocketAddr::new(EdgeLab::VIP6, 443), ca.client_config(&["h2"]))),
            host: "shop.example".to_owned(),
            path: "/cart".to_owned(),
            websocket_path: Some("/chat".to_owned()),
            http1_clients: 4,
            http2_clients: 2,
            websockets: 4,
            pause: Duration::from_millis(5),
        };
        let client = story.lab.client.clone();
        let traffic = Traffic::start(mix, move || client.enter());
        traffic.wait_for_requests(50);
        Some(Self { ca, story, traffic: Some(traffic) })
    }

    /// Calls `edit` five times a second with the number of the edit; each must meet traffic.
    fn edit(&self, mut edit: impl FnMut(u64)) -> u64 {
        let end = Instant::now() + Duration::from_secs(story_seconds());
        let mut count = 0;
        while Instant::now() < end {
            let next = Instant::now() + EDIT_INTERVAL;
            edit(count);
            count += 1;
            self.traffic.as_ref().unwrap().wait_for_requests(1);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        println!("{count} edits in {} s", story_seconds());
        count
    }

    fn assert_untouched(&mut self) {
        self.traffic.take().unwrap().finish().assert_untouched();
    }
}

/// What the clients ask for.
fn shop() -> Ingress {
    Ingress::new("shop").tls("shop", &UnderLoad::TLS).rule("shop.example", "/", "pods")
}

#[test]
fn manifest_edited_under_load() {
    let Some(mut load) = UnderLoad::start(2) else { return };
    let last = load.edit(|edit| {
        // A path of the very host that serves the load, and another host, come and go.
        let edited = shop().rule("shop.example", &format!("/edit-{edit}"), "pod-0").rule(
            &format!("edit-{edit}.example"),
            "/",
            "pod-1",
        );
        load.story.manifests.write("shop.yaml", &edited.yaml());
    });
    let host = format!("edit-{}.example", last - 1);
    load.story.wait_for_status(&host, "/", 200);
    load.assert_untouched();
    assert_eq!(load.story.get(EdgeLab::VIP4, &host, "/").pod(), "pod-1");
    let path = format!("/edit-{}", last - 1);
    assert_eq!(load.story.get(EdgeLab::VIP4, "shop.example", &path).pod(), "pod-0");
}

#[test]
fn certificate_swapped_under_load() {
    let Some(mut load) = UnderLoad::start(1) else { return };
    let mut newest = None;
    load.edit(|_| {
        let leaf = load.ca.issue(&UnderLoad::TLS);
        load.story.manifests.write("secret.yaml", &leaf.secret_yaml("default", "shop"));
        newest = Some(leaf.certificate_der());
    });
    let curious = any_certificate(&["h2"]);
    let shown = |vip| {
        let answer = load.story.send(vip, &Request::get("shop.example", "/").tls(&curious));
        answer.unwrap().certificate
    };
    for vip in EdgeLab::VIPS {
        eventually("the newest certificate is shown", || shown(vip) == newest);
    }
    // A Secret that can't be used does not take the certificate away.
    let broken = load.ca.issue(&UnderLoad::TLS).secret_yaml("default", "shop");
    let broken = broken.replace("tls.key: ", "tls.key: !!");
    load.story.manifests.write("secret.yaml", &broken);
    load.story.wait_for_log("tls.key");
    for vip in EdgeLab::VIPS {
        assert_eq!(shown(vip), newest);
    }
    load.assert_untouched();
}

#[test]
fn endpoints_changed_under_load() {
    let Some(mut load) = UnderLoad::start(3) else { return };
    let write = |load: &UnderLoad, pods: &[usize]| {
        load.story.manifests.write("pods.yaml", &load.story.service_yaml("pods", pods));
    };
    load.edit(|edit| {
        // One of three pods is out, each in its turn; its running requests and sessions go on.
        let out = usize::try_from(edit % 3).unwrap();
        let rest: Vec<usize> = (0..3).filter(|&pod| pod != out).collect();
        write(&load, &rest);
    });
    write(&load, &[1]);
    eventually("one pod alone is left", || {
        (0..8).all(|_| load.story.get(EdgeLab::VIP4, "shop.example", "/").pod() == "pod-1")
    });
    load.assert_untouched();
    write(&load, &[]);
    load.story.wait_for_status("shop.example", "/", 503);
}

#[test]
fn rules_of_the_vip_edited_under_load() {
    let Some(mut load) = UnderLoad::start(1) else { return };
    let outsiders = ["198.51.100.66", "2001:db8:66::66"].map(|text| text.parse().unwrap());
    for outsider in outsiders {
        load.story.lab.client_source(outsider);
    }
    let connects = |story: &Story, vip: IpAddr, source: IpAddr| {
        connect(&story.lab.client, Some(source), SocketAddr::new(vip, 80), PATIENCE)
    };
    let stop = AtomicBool::new(false);
    let client = load.story.lab.client.clone();
    let opened = std::thread::scope(|scope| {
        // What is edited concerns others: each new connection of the clients opens at once.
        let newcomers = scope.spawn(|| {
            let mut opened = 0;
            while !stop.load(Ordering::Relaxed) {
                for (vip, source) in EdgeLab::VIPS.into_iter().zip(EdgeLab::CLIENT) {
                    let to = SocketAddr::new(vip, 80);
                    assert_eq!(connect(&client, Some(source), to, PATIENCE), Connect::Open);
                    opened += 1;
                }
            }
            opened
        });
        let end = Instant::now() + Duration::from_secs(story_seconds());
        let mut edits = 0;
        while Instant::now() < end || edits % 2 == 0 {
            let next = Instant::now() + EDIT_INTERVAL;
            edits += 1;
            load.story.configure_vip(|vip| {
                // Allow everybody but the outsiders, by one list or by the other.
                let (deny, allow) = (outsiders.map(IpNet::from), EdgeLab::CLIENT.map(IpNet::from));
                (vip.deny, vip.allow) =
                    if edits % 2 == 1 { (deny.to_vec(), vec![]) } else { (vec![], allow.to_vec()) };
            });
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        stop.store(true, Ordering::Relaxed);
        newcomers.join().unwrap()
    });
    println!("{opened} connections opened meanwhile");
    for (vip, outsider) in EdgeLab::VIPS.into_iter().zip(outsiders) {
        assert_eq!(connects(&load.story, vip, outsider), Connect::TimedOut);
    }
    load.story.configure_vip(|vip| (vip.deny, vip.allow) = (vec![], vec![]));
    for (vip, outsider) in EdgeLab::VIPS.into_iter().zip(outsiders) {
        eventually("nobody is refused any more", || {
            connects(&load.story, vip, outsider) == Connect::Open
        });
    }
    load.assert_untouched();
}

#[test]
fn bad_document_disables_only_itself() {
    let Some(mut story) = story(1) else { return };
    let good = Ingress::new("good").rule("good.example", "/", "pods").yaml();
    let late = Ingress::new("late").rule("late.example", "/", "pods").yaml();
    let bad = Ingress::new("bad").path(Some("bad.example"), "/", "Sometimes", "pods").yaml();
    story.manifests.write("shops.yaml", &format!("{good}---\n{bad}---\n{late}"));
    story.manifests.write("broken.yaml", "apiVersion: v1\nkind: [unfinished\n");
    story.start();
    for host in ["good.example", "late.example"] {
        assert_eq!(story.get(EdgeLab::VIP4, host, "/").status, 200);
    }
    assert_eq!(story.get(EdgeLab::VIP4, "bad.example", "/").status, 404);
    // File, object, field and reason.
    let problem = story.wait_for_log("Sometimes");
    for part in ["shops.yaml", "bad", "pathType"] {
        assert!(problem.contains(part), "no {part} in: {problem}");
    }
    story.wait_for_log("broken.yaml");

    let repaired = Ingress::new("bad").rule("bad.example", "/", "pods").yaml();
    story.manifests.write("shops.yaml", &format!("{good}---\n{repaired}---\n{late}"));
    story.wait_for_status("bad.example", "/", 200);
}

#[test]
fn configmap_symlink_swap_is_followed() {
    let Some(mut story) = story(2) else { return };
    let version = |service: &str| Ingress::new("shop").rule("shop.example", "/", service).yaml();
    story.manifests.swap_volume("first", &[("shop.yaml", &version("pod-0"))]);
    story.start();
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").pod(), "pod-0");
    for (name, pod) in [("second", "pod-1"), ("third", "pod-0"), ("fourth", "pod-1")] {
        story.manifests.swap_volume(name, &[("shop.yaml", &version(pod))]);
        story.get_until(&format!("the {name} volume serves"), "shop.example", "/", |answer| {
            answer.pod() == pod
        });
    }
}

#[test]
fn duplicate_object_leaves_the_first_and_names_both_files() {
    let Some(mut story) = story(2) else { return };
    let claim = |service: &str| Ingress::new("shop").rule("shop.example", "/", service).yaml();
    story.manifests.write("a-first.yaml", &claim("pod-0"));
    story.manifests.write("b-second.yaml", &claim("pod-1"));
    story.start();
    let problem = eventually_some("the second is reported", || {
        let log = story.log();
        let line = log.lines().find(|line| line.contains("b-second.yaml"))?;
        Some(line.to_owned())
    });
    assert!(problem.contains("a-first.yaml"), "{problem}");
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").pod(), "pod-0");
    story.manifests.remove("a-first.yaml");
    story.get_until("the second takes over", "shop.example", "/", |answer| answer.pod() == "pod-1");
}

#[test]
fn file_that_is_removed_takes_its_routes_with_it() {
    let Some(mut story) = story(1) else { return };
    story
        .manifests
        .write("shop.yaml", &Ingress::new("shop").rule("shop.example", "/", "pods").yaml());
    story.start();
    story.wait_for_status("shop.example", "/", 200);
    story.manifests.remove("shop.yaml");
    story.wait_for_status("shop.example", "/", 404);
}

#[test]
fn bad_configuration_changes_nothing() {
    let Some(mut story) = story(1) else { return };
    story
        .manifests
        .write("shop.yaml", &Ingress::new("shop").rule("shop.example", "/", "pods").yaml());
    story.start();
    std::fs::write(story.config_file(), "vip: []\n").unwrap();
    let line = story.wait_for_log("vips");
    assert!(line.contains("genkan.yaml"), "{line}");
    for vip in EdgeLab::VIPS {
        assert_eq!(story.get(vip, "shop.example", "/").status, 200);
    }
}
