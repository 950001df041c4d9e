//! Basic authentication.

use std::net::IpAddr;

use genkan::testing::story::Request;

use super::case::{Case, get};

/// `ann:pw` in each scheme that both know, and `bob:other`.
const FILE: &str = "\
apr1:$apr1$abcdefgh$5VEbMkemELfbhC5ck.U.z1
md5:$1$xy$sCW6WZJsSz7hVuvH0BCaf.
sha256:$5$saltsalt$0rl.MZtoLLPP3X0Rdl8riRnphIcAXJY27/aOAyK2hB5
sha512:$6$0123456789abcdef$zAYvvEJcrKSqV2KUPTUM1K9eaGv20n9mUjWSDZW0QnwBRk0LSoTIT3PW7mCEa30acQuLwC1rnfhmbdGOSp.jX.
bcrypt:$2y$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW
sha:{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM=
ssha:{SSHA}K/qCHdTzr1rftXNEV4Ob7XsySBlzYWx0
plain:{PLAIN}pw
";

const USERS: [&str; 8] = ["apr1", "md5", "sha256", "sha512", "bcrypt", "sha", "ssha", "plain"];

fn secret(name: &str, entries: &[(&str, &str)]) -> String {
    let mut yaml =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n");
    for (key, value) in entries {
        yaml.push_str(&format!("  {key}: {value:?}\n"));
    }
    yaml
}

fn with(credentials: &str) -> Request {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    get("/").header("authorization", &format!("Basic {encoded}"))
}

fn field(value: &str) -> Request {
    get("/").header("authorization", value)
}

fn case(key: &'static str, what: &'static str) -> Case {
    Case::new(key, what)
        .annotate("auth-type", "basic")
        .annotate("auth-secret", "passwords")
        .annotate("auth-realm", "Staff only")
        .objects(&secret("passwords", &[("auth", FILE)]))
        .file("auth", FILE)
        .location(&location("Staff only", ""))
        .answers_with(&["www-authenticate"])
        .pod_sees(&["authorization"])
}

/// ingress-nginx takes the field away from the pod.
fn location(realm: &str, more: &str) -> String {
    format!(
        "auth_basic \"{realm}\"; auth_basic_user_file DIR/auth; {more} \
         proxy_set_header Authorization \"\";"
    )
}

fn from(address: [u8; 4], request: Request) -> Request {
    request.from_source(IpAddr::from(address))
}

pub(crate) fn cases() -> Vec<Case> {
    let (near, far) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let each = || {
        [
            from(near, get("/")),
            from(far, get("/")),
            from(near, with("apr1:pw")),
            from(far, with("apr1:pw")),
            from(far, with("apr1:no")),
        ]
    };
    vec![
        case("auth-type", "each scheme, right and wrong; the pod does not see the password")
            .ask_all(USERS.iter().map(|user| with(&format!("{user}:pw"))))
            .ask_all(USERS.iter().map(|user| with(&format!("{user}:pv"))))
            .ask_all(USERS.iter().map(|user| with(&format!("{user}:"))))
            .ask(with("nobody:pw"))
            .ask(get("/")),
        case("auth-type", "fields that are none")
            .ask_all(
                ["Basic", "Basic ", "Basic !", "Basic cHc=", "Bearer cHc=", "basic YXByMTpwdw=="]
                    .map(field),
            )
            .ask(with(":pw"))
            .ask(with("apr1:pw:more")),
        case("auth-realm", "none: an empty one")
            .annotate("auth-realm", "")
            .location(&location("", ""))
            .ask(get("/")),
        case("auth-secret-type", "auth-map: each key a user")
            .annotate("auth-secret-type", "auth-map")
            .objects(&secret("passwords", &[("ann", "{PLAIN}a"), ("bob", "{PLAIN}b")]))
            .file("auth", "ann:{PLAIN}a\nbob:{PLAIN}b\n")
            .ask_all([with("ann:a"), with("bob:b"), with("ann:b"), with("eve:a")]),
        case("auth-secret", "missing: 503")
            .annotate("auth-secret", "nowhere")
            .location("return 503;")
            .ask_all([get("/"), with("apr1:pw")]),
        case("auth-secret", "of another namespace: 503")
            .annotate("auth-secret", "team/passwords")
            .location("return 503;")
            .ask_all([get("/"), with("apr1:pw")]),
        case("auth-secret", "without the key: 503")
            .objects(&secret("passwords", &[("file", FILE)]))
            .location("return 503;")
            .ask_all([get("/"), with("apr1:pw")]),
        case("auth-type", "digest")
            .annotate("auth-type", "digest")
            .ask_all([get("/"), with("apr1:pw")])
            .differs("digest authentication is not supported and closes the paths: 503"),
        case("satisfy", "all: list and password")
            .annotate("whitelist-source-range", "127.0.0.1")
            .annotate("satisfy", "all")
            .location(&location("Staff only", "allow 127.0.0.1; deny all;"))
            .ask_all(each()),
        case("satisfy", "any: list or password")
            .annotate("whitelist-source-range", "127.0.0.1")
            .annotate("satisfy", "any")
            .location(&location("Staff only", "satisfy any; allow 127.0.0.1; deny all;"))
            .ask_all(each()),
        case("satisfy", "any, with a deny list: whom it does not name needs a password")
            .annotate("denylist-source-range", "127.0.0.2")
            .annotate("satisfy", "any")
            .location(&location("Staff only", "satisfy any; deny 127.0.0.2;"))
            .ask_all(each()),
        case("auth-type", "behind the limits")
            .annotate("limit-rpm", "1")
            .annotate("limit-burst-multiplier", "1")
            .http("limit_req_zone $binary_remote_addr zone=rpm:5m rate=1r/m;")
            .location(&location("Staff only", "limit_req zone=rpm burst=1 nodelay;"))
            .ask_all([get("/"), with("plain:pw"), with("plain:pw")])
            .within(std::time::Duration::from_secs(30)),
    ]
}
