//! No annotation value panics in decoding or compiling; paths are closed only with a problem, and an
//! access rule that is not understood never leaves them open.
#![no_main]

use genkan::config::{Compat, Config};
use genkan::model::decode::{self, decode};
use genkan::model::{Backend, Change, Object, Origin};
use genkan::routing::{Compiler, Settings};
use libfuzzer_sys::fuzz_target;

/// Two values a document: keys that read each other, and each grammar once.
const KEYS: &[&str] = &[
    "rewrite-target",
    "use-regex",
    "app-root",
    "permanent-redirect",
    "permanent-redirect-code",
    "temporal-redirect",
    "x-forwarded-prefix",
    "upstream-vhost",
    "backend-protocol",
    "proxy-body-size",
    "proxy-read-timeout",
    "enable-cors",
    "cors-allow-origin",
    "cors-allow-methods",
    "cors-allow-headers",
    "cors-expose-headers",
    "cors-max-age",
    "whitelist-source-range",
    "denylist-source-range",
    "auth-type",
    "auth-secret",
    "auth-secret-type",
    "auth-realm",
    "satisfy",
    "limit-rps",
    "limit-burst-multiplier",
    "limit-connections",
    "limit-whitelist",
    "affinity",
    "session-cookie-name",
    "session-cookie-path",
    "session-cookie-max-age",
    "canary",
    "canary-weight",
    "canary-by-header",
    "canary-by-header-pattern",
    "canary-by-cookie",
    "configuration-snippet",
];

fuzz_target!(|bytes: &[u8]| {
    let [first, second, split, bytes @ ..] = bytes else { return };
    let text = String::from_utf8_lossy(bytes);
    let at = text.char_indices().nth(usize::from(*split)).map_or(text.len(), |(at, _)| at);
    let (one, two) = text.split_at(at);
    let name = |number: &u8| {
        let key = KEYS[usize::from(*number) % KEYS.len()];
        format!("nginx.ingress.kubernetes.io/{key}")
    };
    let backend = serde_json::json!({"service": {"name": "s", "port": {"number": 80}}});
    let path = serde_json::json!({"path": "/", "pathType": "Prefix", "backend": backend});
    let document = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "i", "annotations": {name(first): one, name(second): two}},
        "spec": {"rules": [{"host": "a.example", "http": {"paths": [path]}}]},
    });
    let mut config = Config { compat: Compat::Nginx, ..Config::default() };
    config.classes.serve_classless = true;
    let mut compiler = Compiler::new(Settings::from(&config));
    for decoded in decode(&document, &Origin::Cluster, &decode::Settings::from(&config)) {
        for object in decoded.objects {
            if let Object::Ingress(ingress) = &object {
                let closed = ingress.rules.iter().flat_map(|rule| &rule.paths);
                let closed = closed.into_iter().any(|path| path.backend == Backend::Closed);
                assert!(!closed || !decoded.problems.is_empty(), "closed without a word");
            }
            let change = Change { upserts: vec![object], ..Change::default() };
            compiler.apply(change, 0);
        }
    }
});
