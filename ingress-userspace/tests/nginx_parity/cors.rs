//! Cross-origin answers.

use genkan::testing::backend::Answer;
use genkan::testing::story::Request;

use super::case::{Case, get};

const FIELDS: &[&str] = &[
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-expose-headers",
];

/// What ingress-nginx sends besides the origin, by default.
const DEFAULTS: [&str; 4] = [
    "Access-Control-Allow-Credentials: true",
    "Access-Control-Allow-Methods: GET, PUT, POST, DELETE, PATCH, OPTIONS",
    "Access-Control-Allow-Headers: DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,\
     Cache-Control,Content-Type,Range,Authorization",
    "Access-Control-Max-Age: 1728000",
];

/// The block of ingress-nginx: `origins` sets `$cors` to `true`.
fn block(origins: &str, fields: &[&str]) -> String {
    let fields: String = ["Access-Control-Allow-Origin: $http_origin"]
        .iter()
        .chain(fields)
        .map(|field| format!("more_set_headers '{field}';\n"))
        .collect();
    format!(
        "{origins}\nif ($request_method = 'OPTIONS') {{ set $cors ${{cors}}options; }}\n\
         if ($cors = \"true\") {{ {fields} }}\n\
         if ($cors = \"trueoptions\") {{ {fields} return 204; }}\n"
    )
}

const STAR: &str = "set $cors ''; set $http_origin *; set $cors 'true';";

fn listed(regex: &str) -> String {
    format!("set $cors ''; if ($http_origin ~* ({regex})$ ) {{ set $cors 'true'; }}")
}

fn origin(origin: &str) -> [Request; 3] {
    let options = Request::new(http::Method::OPTIONS, super::case::HOST, "/");
    [get("/"), options, get("/own")].map(|request| request.header("origin", origin))
}

fn case(key: &'static str, what: &'static str) -> Case {
    let own = Answer::bytes("x")
        .with_header("access-control-allow-origin", "https://pod.example")
        .with_header("access-control-allow-methods", "TRACE")
        .with_header("access-control-expose-headers", "x-pod-field");
    Case::new(key, what).annotate("enable-cors", "true").answers_with(FIELDS).pod("/own", own)
}

pub(crate) fn cases() -> Vec<Case> {
    let options = || Request::new(http::Method::OPTIONS, super::case::HOST, "/");
    vec![
        case("enable-cors", "defaults: a star for everybody, preflights answered")
            .location(&block(STAR, &DEFAULTS))
            .ask_all(origin("https://a.example"))
            .ask(get("/"))
            .ask(options()),
        case("cors-allow-origin", "a list: the origin is echoed, others hear nothing")
            .annotate("cors-allow-origin", "https://a.example, http://b.example:8080")
            .location(&block(&listed(r"(https://a\.example)|(http://b\.example:8080)"), &DEFAULTS))
            .ask_all(origin("https://a.example"))
            .ask_all(origin("http://B.example:8080"))
            .ask_all(origin("https://c.example"))
            .ask_all(origin("http://a.example"))
            .ask(get("/"))
            .ask(options()),
        case("cors-allow-origin", "one label in the place of a star")
            .annotate("cors-allow-origin", "https://*.a.example")
            .location(&block(&listed(r"(https://[A-Za-z0-9\-]+\.a\.example)"), &DEFAULTS))
            .ask_all(origin("https://b-1.a.example"))
            .ask_all(origin("https://a.example"))
            .ask_all(origin("https://c.b.a.example")),
        case("cors-allow-origin", "a star among others")
            .annotate("cors-allow-origin", "https://a.example, *")
            .location(&block(STAR, &DEFAULTS))
            .ask_all(origin("https://b.example")),
        case("cors-allow-origin", "what stands before the origin")
            .annotate("cors-allow-origin", "https://a.example")
            .location(&block(&listed(r"(https://a\.example)"), &DEFAULTS))
            .ask_all(origin("evil:https://a.example"))
            .differs("origins are compared as a whole; nginx's pattern has no anchor in front"),
        case("cors-allow-origin", "an answer for one origin in a cache")
            .annotate("cors-allow-origin", "https://a.example")
            .location(&block(&listed(r"(https://a\.example)"), &DEFAULTS))
            .answers_with(&["vary"])
            .ask_all(origin("https://a.example"))
            .differs("Vary: Origin is added, or a cache would give it to another origin"),
        case("cors-allow-methods", "and the other lists, as written")
            .annotate("cors-allow-methods", "GET, POST")
            .annotate("cors-allow-headers", "X-One,X-Two")
            .annotate("cors-expose-headers", "X-Three, X-Four")
            .annotate("cors-max-age", "600")
            .location(&block(
                STAR,
                &[
                    "Access-Control-Allow-Credentials: true",
                    "Access-Control-Allow-Methods: GET, POST",
                    "Access-Control-Allow-Headers: X-One,X-Two",
                    "Access-Control-Expose-Headers: X-Three, X-Four",
                    "Access-Control-Max-Age: 600",
                ],
            ))
            .ask_all(origin("https://a.example")),
        case("cors-allow-credentials", "false: no field")
            .annotate("cors-allow-credentials", "false")
            .location(&block(STAR, &DEFAULTS[1..]))
            .ask_all(origin("https://a.example")),
        case("enable-cors", "a refusal can be read by the other origin")
            .annotate("denylist-source-range", "127.0.0.1")
            .location(&format!("{} deny 127.0.0.1;", block(STAR, &DEFAULTS)))
            .ask_all(origin("https://a.example")),
        case("enable-cors", "false: nothing of it")
            .annotate("enable-cors", "false")
            .annotate("cors-allow-origin", "https://a.example")
            .ask_all(origin("https://a.example")),
    ]
}
