//! Changes under load: nothing that is edited drops a connection. `GENKAN_STORY_SECONDS` says how
//! long each story lasts.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use genkan::testing::ca::TestCa;
use genkan::testing::deadline::eventually;
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
            https: Some((SocketAddr::new(EdgeLab::VIP6, 443), ca.client_config(&["h2"]))),
            path: "/cart".to_owned(),
            websocket_path: Some("/chat".to_owned()),
            http1_clients: 4,
            http2_clients: 2,
            websockets: 4,
            ..Mix::of("shop.example", SocketAddr::new(EdgeLab::VIP4, 80))
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
fn statistics_go_on_through_edits() {
    let Some(mut story) = story(2) else { return };
    let ingress = |name: &str, path: &str| {
        Ingress::new(name).rule(&format!("{name}.example"), path, "pods").yaml()
    };
    story.manifests.write("shop.yaml", &ingress("shop", "/"));
    story.manifests.write("other.yaml", &ingress("other", "/"));
    story.start();
    let counted = |story: &Story, ingress: &str| -> u64 {
        let text = story.admin().get("/metrics").unwrap().text();
        let label = format!("ingress=\"{ingress}\"");
        let lines = text.lines().filter(|line| {
            line.starts_with("genkan_requests_total{") && line.contains(label.as_str())
        });
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    for edit in 0..10_u64 {
        story.manifests.write("other.yaml", &ingress("other", &format!("/edit-{edit}")));
        story.wait_for_status("other.example", &format!("/edit-{edit}/x"), 200);
        assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").status, 200);
        eventually("the request is counted", || counted(&story, "shop") == edit + 1);
    }
    assert!(counted(&story, "other") >= 10);
}
