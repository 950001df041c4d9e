//! The redirect from HTTP to HTTPS (T11).

use http::HeaderValue;

use crate::routing::{Redirect, Route};

/// Challenges of certificate authorities come over plain HTTP before there is a certificate.
const ACME: &str = "/.well-known/acme-challenge";

/// Whether a plain HTTP request of this route is answered with a redirect. As with nginx the
/// exemption looks at the rule's path, not at the request's.
pub fn applies(route: &Route) -> Option<Redirect> {
    route.https_redirect.filter(|_| !route.path.starts_with(ACME))
}

/// `Location` for the host (without port), the port that speaks HTTPS there, and the target as the
/// client sent it. The port is named where clients would not try it by themselves.
pub fn location(
    redirect: Redirect,
    host: &str,
    port: Option<u16>,
    target: &str,
) -> Option<HeaderValue> {
    const DEFAULT_PORT: u16 = 443;
    let drop = redirect.drop_trailing_slash && target.ends_with('/');
    let target = &target[..target.len() - usize::from(drop)];
    let port = port.filter(|&port| port != DEFAULT_PORT && !redirect.forced);
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let length = "https://".len() + host.len() + port.len() + target.len();
    let mut location = String::with_capacity(length);
    for part in ["https://", host, &port, target] {
        location.push_str(part);
    }
    HeaderValue::try_from(location).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Action, ClusterId};

    #[test]
    fn t11_location_keeps_host_and_target_and_drops_one_slash() {
        for (drop_trailing_slash, target, location_wanted) in [
            (true, "/", "https://a.example"),
            (true, "/x/", "https://a.example/x"),
            (true, "/x//", "https://a.example/x/"),
            (true, "/x?y=/", "https://a.example/x?y="),
            (true, "/x/?y", "https://a.example/x/?y"),
            (false, "/x/", "https://a.example/x/"),
            (true, "/%2e/x", "https://a.example/%2e/x"),
        ] {
            let redirect = Redirect { status: 308, drop_trailing_slash, forced: false };
            assert_eq!(
                location(redirect, "a.example", Some(443), target).expect("a header value"),
                location_wanted
            );
        }
    }

    #[test]
    fn t11_location_names_a_port_of_ours_that_is_not_443() {
        for (port, forced, wanted) in [
            (Some(443), false, "https://a.example/x"),
            (Some(8443), false, "https://a.example:8443/x"),
            (Some(8443), true, "https://a.example/x"),
            (None, true, "https://a.example/x"),
        ] {
            let redirect = Redirect { status: 308, drop_trailing_slash: false, forced };
            let found = location(redirect, "a.example", port, "/x").expect("a header value");
            assert_eq!(found, wanted, "{port:?} {forced}");
        }
    }

    #[test]
    fn t11_acme_challenge_rules_are_exempt() {
        for (path, redirected) in [
            ("/", true),
            ("/.well-known/acme-challenge/token", false),
            ("/.well-known/acme-challenge", false),
            ("/.well-known/other", true),
        ] {
            let route = Route {
                id: "ns/i/rules[0].paths[0]".into(),
                namespace: "ns".into(),
                ingress: "i".into(),
                path: path.into(),
                kind: None,
                action: Action::Forward(ClusterId(0)),
                rewrite: None,
                https_redirect: Some(Redirect {
                    status: 308,
                    drop_trailing_slash: true,
                    forced: false,
                }),
                hsts: None,
                filters: None,
                tally: std::sync::Arc::default(),
            };
            assert_eq!(applies(&route).is_some(), redirected, "{path}");
        }
    }
}
