//! What a replica serves is what the original says, whatever happened before.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::config::{Compat, Config};
use crate::model::{Change, HostPattern, Kind, Object, ServerCertificate};
use crate::routing::access::Auth;
use crate::routing::fixture::{
    certificate, host_pattern, ingress, ready_service, removals, secret, upserts,
};
use crate::routing::snapshot::{HostCertificate, HostRoutes};
use crate::routing::{Compiler, RequestHost, Route, Settings, Snapshot};

const HOSTS: [&str; 6] = ["", "a.x", "b.x", "x", "*.x", "*.a.x"];

/// Original and replica, joined by the encoding that is used between processes.
#[derive(Default)]
struct Pair {
    original: Original,
    replica: Replica,
    /// Bytes and messages of the last change.
    cost: (usize, usize),
}

impl Pair {
    fn tell(&mut self, next: &Snapshot) -> Snapshot {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        self.original.tell(next, &mut |message| messages.push(message));
        let count = messages.len();
        let mut served = None;
        for message in messages {
            let encoded = postcard::to_stdvec(&message).unwrap();
            bytes += encoded.len();
            let decoded: Message = postcard::from_bytes(&encoded).unwrap();
            assert!(served.is_none(), "nothing follows the end");
            served = self.replica.apply(decoded).unwrap();
        }
        self.cost = (bytes, count);
        served.expect("a complete change")
    }
}

/// All that a snapshot says to a worker, as texts.
fn described(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (kind, names) in [("host", &snapshot.hosts), ("alias", &snapshot.aliases)] {
        names.each_precise(|name, routes| drop(all.insert(format!("{kind} {name}"), of(routes))));
        names.each_wildcard(|name, routes| {
            drop(all.insert(format!("{kind} *.{name}"), of(routes)));
        });
    }
    all.extend(snapshot.any.as_ref().map(|any| ("any".to_owned(), of(any))));
    all.extend(snapshot.fallback.as_ref().map(|route| ("fallback".to_owned(), text(route))));
    snapshot.clusters.each(&mut |id, cluster| {
        all.insert(format!("cluster {id:?}"), format!("{cluster:?}"));
    });
    let shown = |shown: &HostCertificate| match shown {
        HostCertificate::Own(own) => pair(own),
        HostCertificate::Default => "default".to_owned(),
    };
    let certificates = &snapshot.certificates;
    certificates.each_precise(|name, own| drop(all.insert(format!("tls {name}"), shown(own))));
    certificates.each_wildcard(|name, own| drop(all.insert(format!("tls *.{name}"), shown(own))));
    for (name, own) in
        [("unknown", &snapshot.unknown_certificate), ("default", &snapshot.default_certificate)]
    {
        all.extend(own.as_ref().map(|own| (name.to_owned(), pair(own))));
    }
    all.insert("version".to_owned(), snapshot.version.to_string());
    all
}

fn of(routes: &HostRoutes) -> String {
    let rule = |rule: &crate::routing::matcher::PathRule| {
        format!("{} {:?} {}", rule.text, rule.way, text(&rule.route))
    };
    let rules: Vec<String> = routes.source.rules.iter().map(rule).collect();
    format!("{:?} {rules:?} {:?}", routes.source.host, routes.default.as_ref().map(text))
}

fn text(route: &Arc<Route>) -> String {
    let Route { id, namespace, ingress, path, kind, action, rewrite, https_redirect, hsts, .. } =
        &**route;
    let filters = serde_json::to_string(&route.filters.as_deref()).unwrap();
    let rewrite = serde_json::to_string(rewrite).unwrap();
    let users = route.filters.as_ref().and_then(|filters| match &filters.access.as_ref()?.auth {
        Auth::Basic(basic) => Some(serde_json::to_string(&*basic.users).unwrap()),
        Auth::None | Auth::Unusable => None,
    });
    format!(
        "{id} {namespace} {ingress} {path} {kind:?} {action:?} {rewrite} {https_redirect:?} \
         {hsts:?} {filters} {users:?}"
    )
}

fn pair(certificate: &Arc<ServerCertificate>) -> String {
    format!("{:?} {:?}", certificate.chain(), certificate.key().secret_der())
}

/// An Ingress of every kind of annotation that reaches the workers.
fn any_object() -> impl Strategy<Value = Object> {
    let name = select(vec!["one", "two", "three", "four"]);
    let paths = prop::collection::vec(
        (select(&HOSTS[..]), select(vec!["/", "/a", "/a/b", "/x(/|$)(.*)"]), any::<bool>()),
        1..4,
    );
    let tls = prop::option::of((select(&HOSTS[..]), select(vec!["cert", "other", "none"])));
    (name, paths, tls, 0..12u8, prop::option::weighted(0.3, Just("s:80"))).prop_map(
        |(name, paths, tls, kind, default)| {
            let mut all = ingress(name);
            for (host, path, exact) in paths {
                let special = path.contains('(');
                all = match (special, exact) {
                    (true, _) => all.specific(host, path, "s:80"),
                    (false, true) => all.exact(host, path, "s:80"),
                    (false, false) => all.prefix(host, path, "t:80"),
                };
            }
            if let Some((host, secret)) = tls {
                let hosts = [host];
                all = all.tls(if host.is_empty() { &[] } else { &hosts }, Some(secret));
            }
            all = default
                .into_iter()
                .fold(all, crate::routing::fixture::IngressFixture::default_backend);
            all = match kind {
                0 => all.rewrite("/$2"),
                1 => all.passwords("pw"),
                2 => all.passwords("none"),
                _ => all,
            };
            let mut ingress = all.value();
            let options = &mut ingress.options;
            match kind {
                3 => options.aliases = vec![host_pattern("alias.y"), host_pattern("*.alias.y")],
                4 => {
                    options.access.limits.per_second = Some(5);
                    options.access.limits.connections = Some(7);
                    options.access.allow =
                        Some(["10.0.0.0/8".parse().unwrap()].into_iter().collect());
                    options.access.deny = Some(["fd00::/8".parse().unwrap()].into_iter().collect());
                }
                5 => {
                    options.canary.enabled = true;
                    options.canary.by_header = Some("x-canary".into());
                    options.canary.by_header_pattern = Some("^(a|b)$".into());
                    options.canary.weight = Some(10);
                }
                6 => {
                    options.cors.enabled = true;
                    options.cors.origins = Some(vec!["https://*.a.example".into()]);
                }
                7 => {
                    options.affinity.by_cookie = true;
                    options.affinity.max_age = Some(60);
                }
                8 => options.redirects.temporal = Some("https://away.example/".into()),
                9 => options.closes_hosts = true,
                10 => {
                    options.upstream.vhost = Some("inner.example".into());
                    options.upstream.read_timeout = Some(std::time::Duration::from_millis(1500));
                    options.headers.forwarded_prefix = Some("/p".into());
                }
                11 => options.redirects.app_root = Some("/app".into()),
                _ => {}
            }
            Object::Ingress(ingress)
        },
    )
}

fn any_change() -> impl Strategy<Value = Change> {
    let gone = select(vec!["one", "two", "three", "four"]);
    let gone_secret = select(vec!["cert", "other", "pw"]);
    let services = (select(vec!["s", "t"]), select(vec!["10.0.0.1", "10.0.0.2"]));
    let secrets = select(vec!["cert", "other"]);
    let users = select(vec!["a:{PLAIN}x", "a:{PLAIN}y\nb:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="]);
    prop_oneof![
        6 => any_object().prop_map(|object| upserts([object])),
        2 => gone.prop_map(|name| removals([(Kind::Ingress, name)])),
        2 => services.prop_map(|(name, address)| upserts(ready_service(name, address))),
        2 => secrets.prop_map(|name| {
            upserts([Object::Secret(certificate(name, &["a.x", "*.x", "b.x", "alias.y"]).into())])
        }),
        1 => gone_secret.prop_map(|name| removals([(Kind::Secret, name)])),
        1 => users.prop_map(|file| upserts([secret("pw", &[("auth", file)])])),
    ]
}

fn nginx() -> Settings {
    let mut config = Config { compat: Compat::Nginx, ..Config::default() };
    config.tls.default_certificate = Some("default/cert".to_owned());
    Settings::from(&config)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// `pauses`: how many changes pass before the replica is told; a slow one skips versions.
    #[test]
    fn a_replica_is_the_same_after_any_edits_and_after_a_resync(
        compat in any::<bool>(),
        changes in prop::collection::vec((any_change(), prop::bool::weighted(0.7)), 1..24),
        resync_at in 0usize..24,
    ) {
        let settings = if compat { nginx() } else { Settings::default() };
        let mut compiler = Compiler::new(settings);
        let mut pair = Pair::default();
        for (at, (change, told)) in changes.into_iter().enumerate() {
            let next = compiler.apply(change, 0).snapshot;
            if !told {
                continue;
            }
            let served = pair.tell(&next);
            prop_assert_eq!(described(&served), described(&next));
            if at == resync_at {
                let before = Arc::new(served);
                pair = Pair { replica: Replica::after(before), ..Pair::default() };
                let again = pair.tell(&next);
                prop_assert_eq!(described(&again), described(&next));
            }
        }
        // Nothing is held for routes that are gone.
        let names = ["one", "two", "three", "four"].map(|name| (Kind::Ingress, name));
        compiler.apply(removals(names), 0);
        compiler.apply(removals([(Kind::Secret, "cert"), (Kind::Secret, "other")]), 0);
        let end = compiler.advance(1 << 40).snapshot;
        pair.tell(&end);
        prop_assert_eq!(pair.original.shared(), 0);
        prop_assert_eq!(pair.replica.shared(), 0);
    }
}

fn hosts(count: usize) -> Compiler {
    let mut compiler = Compiler::new(Settings::default());
    let objects = (0..count).map(|host| {
        let name = format!("h{host}.example");
        ingress(&format!("i{host}")).prefix(&name, "/", "s:80").exact(&name, "/e", "t:80").object()
    });
    let services = ready_service("s", "10.0.0.1").into_iter().chain(ready_service("t", "10.0.0.2"));
    compiler.apply(upserts(services.chain(objects)), 0);
    compiler
}

#[test]
fn an_edit_is_told_in_as_many_messages_and_bytes_whatever_the_number_of_hosts() {
    let cost = |count| {
        let mut compiler = hosts(count);
        let mut pair = Pair::default();
        pair.tell(compiler.snapshot());
        let (bytes, messages) = pair.cost;
        assert!(messages > count, "{messages} messages, {bytes} bytes");
        let edited = ingress("i5").prefix("h5.example", "/new", "s:80").object();
        pair.tell(&compiler.apply(upserts([edited]), 0).snapshot);
        let edit = pair.cost;
        pair.tell(&compiler.apply(upserts(ready_service("s", "10.0.0.9")), 0).snapshot);
        (edit, pair.cost)
    };
    let (few, many) = (cost(10), cost(3000));
    assert_eq!(few, many);
    let ((_, edit), (_, endpoints)) = many;
    assert_eq!((edit, endpoints), (4, 3), "begin, rule and host, or endpoints, commit");
}

#[test]
fn values_that_routes_share_are_told_once_and_stay_shared() {
    let mut compiler = Compiler::new(Settings::default());
    let names: Vec<String> = (0..50).map(|host| format!("h{host}.example")).collect();
    let all = names.iter().fold(ingress("i"), |all, name| all.prefix(name, "/", "s:80"));
    let users = secret("pw", &[("auth", "a:{PLAIN}x")]);
    let next = compiler.apply(upserts([users, all.passwords("pw").object()]), 0).snapshot;
    let mut shared = Vec::new();
    let (mut original, mut replica) = (Original::default(), Replica::default());
    let mut served = None;
    original.tell(&next, &mut |message| {
        if let Message::Share { value: Shared::Users(_), .. } = &message {
            shared.push(());
        }
        served = replica.apply(message).unwrap();
    });
    assert_eq!(shared.len(), 1);
    let served = served.unwrap();
    let users = |host: &str| {
        let route = served.route(RequestHost::Name(host), "/").unwrap();
        let access = route.filters.as_ref().unwrap().access.as_ref().unwrap().clone();
        match access.auth {
            Auth::Basic(basic) => basic.users,
            other => panic!("{other:?}"),
        }
    };
    assert!(Arc::ptr_eq(&users("h1.example"), &users("h2.example")));
    assert!(!users("h1.example").is_empty());
}

#[test]
fn counts_go_on_after_an_edit_and_after_a_resync() {
    let mut compiler = hosts(2);
    let mut pair = Pair::default();
    let tally = |snapshot: &Snapshot| {
        let route = snapshot.route(RequestHost::Name("h1.example"), "/e").unwrap();
        route.tally.clone()
    };
    let first = pair.tell(compiler.snapshot());
    let edited = ingress("i1")
        .prefix("h1.example", "/", "s:80")
        .exact("h1.example", "/e", "t:80")
        .prefix("h1.example", "/new", "s:80");
    let next = compiler.apply(upserts([edited.object()]), 0).snapshot;
    let second = pair.tell(&next);
    assert!(Arc::ptr_eq(&tally(&first), &tally(&second)));
    let mut anew = Pair { replica: Replica::after(Arc::new(second)), ..Pair::default() };
    let third = anew.tell(&next);
    assert!(Arc::ptr_eq(&tally(&first), &tally(&third)));
    assert!(!Arc::ptr_eq(&tally(&third), &tally(&next)), "each side counts for itself");
}

#[test]
fn what_does_not_follow_is_refused() {
    let begun = |messages: &[Message]| {
        let mut replica = Replica::default();
        replica.apply(Message::Begin { base: 0, version: 1 }).unwrap();
        let mut last = Ok(None);
        for message in messages {
            last = replica.apply(message.clone());
        }
        last.map(|snapshot| snapshot.is_some())
    };
    let host = HostPattern::Exact("a.x".into());
    assert_eq!(begun(&[Message::Commit { version: 1 }]), Ok(true));
    assert_eq!(begun(&[Message::Commit { version: 2 }]), Err(Refused::Version { version: 2 }));
    assert_eq!(begun(&[Message::Begin { base: 1, version: 2 }]), Err(Refused::Nested));
    assert_eq!(begun(&[Message::DefaultCertificate(Some(3))]), Err(Refused::Unknown(3)));
    assert_eq!(begun(&[Message::Release { number: 3 }]), Err(Refused::Unknown(3)));
    let alias = Message::Alias { alias: HostPattern::Exact("b.x".into()), host };
    assert_eq!(begun(&[alias]), Err(Refused::NoHost));
    let key = Shared::Certificate { chain: Chain(Vec::new()), key: Key::Pkcs8(vec![1, 2, 3]) };
    let share = Message::Share { number: 1, value: key };
    assert!(matches!(begun(&[share]), Err(Refused::Certificate(_))));

    let mut replica = Replica::default();
    let outside = replica.apply(Message::Commit { version: 1 });
    assert_eq!(outside.map(|_| ()), Err(Refused::Outside));
    let based = replica.apply(Message::Begin { base: 4, version: 5 });
    assert_eq!(based.map(|_| ()), Err(Refused::Base { base: 4, own: 0 }));
}

/// A change of these bytes is a new version of the protocol: `snapshot::wire::VERSIONS`.
#[test]
fn the_encoding_is_what_other_versions_read() {
    let golden: &[(Message, &str)] = &[
        (Message::Begin { base: 1, version: 300 }, "0001ac02"),
        (Message::Commit { version: 300 }, "10ac02"),
        (Message::RemoveHost { host: HostPattern::Wildcard("a.x".into()) }, "0802 03612e78"),
        (Message::UnknownCertificate(Some(2)), "0e0102"),
    ];
    for (message, hex) in golden {
        let encoded = postcard::to_stdvec(message).unwrap();
        let text: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, hex.replace(' ', ""), "{message:?}");
    }
    // What a rich Ingress comes to.
    let mut compiler = Compiler::new(nginx());
    let rich = ingress("rich").regex().rewrite("/$1").specific("a.x", "/(.*)", "s:80");
    let mut rich = rich.value();
    rich.options.access.limits.per_minute = Some(3);
    rich.options.access.deny = Some(["10.0.0.0/8".parse().unwrap()].into_iter().collect());
    let next = compiler.apply(upserts([Object::Ingress(rich)]), 0).snapshot;
    let mut text = String::new();
    Original::default().tell(&next, &mut |message| {
        let encoded = postcard::to_stdvec(&message).unwrap();
        text.extend(encoded.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/routing/replica/golden.txt");
    if std::env::var_os("GENKAN_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}

#[test]
fn header_fields_keep_their_bytes() {
    let name = HeaderName::from_static("x-a");
    let value = http::HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let filters = crate::routing::Filters {
        response_headers: Arc::new([(name, value.clone())]),
        upstream_host: Some(value),
        ..crate::routing::Filters::default()
    };
    let encoded = postcard::to_stdvec(&filters).unwrap();
    let decoded: crate::routing::Filters = postcard::from_bytes(&encoded).unwrap();
    assert_eq!(decoded, filters);
    let bad = postcard::to_stdvec(&Some(b"a\nb".to_vec())).unwrap();
    let mut broken = encoded;
    broken.truncate(2);
    broken.extend(bad);
    assert!(postcard::from_bytes::<crate::routing::Filters>(&broken).is_err());
}
