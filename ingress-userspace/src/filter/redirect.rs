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

/// `Location` for the host (without port) and the target as the client sent it.
pub fn location(redirect: Redirect, host: &str, target: &str) -> Option<HeaderValue> {
    let drop = redirect.drop_trailing_slash && target.ends_with('/');
    let target = &target[..target.len() - usize::from(drop)];
    let mut location = String::with_capacity("https://".len() + host.len() + target.len());
    for part in ["https://", host, target] {
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
            let redirect = Redirect { status: 308, drop_trailing_slash };
            assert_eq!(
                location(redirect, "a.example", target).expect("a header value"),
                location_wanted
            );
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
                https_redirect: Some(Redirect { status: 308, drop_trailing_slash: true }),
                hsts: None,
                filters: None,
                tally: std::sync::Arc::default(),
            };
            assert_eq!(applies(&route).is_some(), redirected, "{path}");
        }
    }
}
