//! Cross-origin requests (the Fetch standard, 3.2) as ingress-nginx answers them: preflights by us,
//! and on every other answer our word in the place of the pod's.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method};

use crate::routing::cors::{Cors, Origins};

/// What goes into `Access-Control-Allow-Origin`; `None` = the origin may not read the answer.
pub fn allowed(cors: &Cors, request: &HeaderMap) -> Option<HeaderValue> {
    if cors.origins == Origins::Any {
        return Some(HeaderValue::from_static("*"));
    }
    let mut origins = request.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) if cors.origins.lists(origin.as_bytes()) => Some(origin.clone()),
        _ => None,
    }
}

/// Any OPTIONS of an allowed origin is answered here, as ingress-nginx does.
pub fn is_preflight(method: &Method, allowed: Option<&HeaderValue>) -> bool {
    method == Method::OPTIONS && allowed.is_some()
}

/// Makes the fields of an answer say what this route says.
pub fn answer(cors: &Cors, allowed: Option<&HeaderValue>, fields: &mut HeaderMap) {
    if cors.origins != Origins::Any {
        // Whether allowed or not: a cache must not give one origin's answer to another.
        vary_by_origin(fields);
    }
    let Some(origin) = allowed else { return };
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if cors.credentials {
        fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    } else {
        fields.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    }
    fields.insert(ACCESS_CONTROL_ALLOW_METHODS, cors.methods.clone());
    fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, cors.headers.clone());
    fields.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.clone());
    if let Some(expose) = &cors.expose {
        fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
    }
}

fn vary_by_origin(fields: &mut HeaderMap) {
    let named = |token: &str| {
        let token = token.trim();
        token == "*" || token.eq_ignore_ascii_case("origin")
    };
    let mut values = fields.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    if !values.any(|value| value.split(',').any(named)) {
        fields.append(VARY, HeaderValue::from_static("Origin"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        Cors {
            origins: Origins::of(origins.iter().copied()),
            credentials,
            methods: HeaderValue::from_static("GET, PUT"),
            headers: HeaderValue::from_static("DNT"),
            max_age: HeaderValue::from_static("5"),
            expose: None,
        }
    }

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    #[test]
    fn a_listed_origin_is_echoed_and_a_star_is_a_star() {
        let listed = cors(&["https://a.example"], true);
        for (request, allows) in [
            (&[][..], None),
            (&[("origin", "https://a.example")], Some("https://a.example")),
            (&[("origin", "https://b.example")], None),
            (&[("origin", "https://a.example"), ("origin", "https://a.example")], None),
        ] {
            let got = allowed(&listed, &fields(request));
            assert_eq!(got.as_ref().map(|v| v.to_str().unwrap()), allows);
            assert_eq!(allowed(&cors(&["*"], true), &fields(request)).unwrap(), "*");
        }
    }

    #[test]
    fn the_fields_of_the_pod_are_replaced_for_an_allowed_origin_only() {
        let pod = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("vary", "Accept-Encoding"),
        ];
        let listed = cors(&["https://a.example"], false);
        let origin = HeaderValue::from_static("https://a.example");
        let mut answered = fields(&pod);
        answer(&listed, Some(&origin), &mut answered);
        assert_eq!(answered["access-control-allow-origin"], "https://a.example");
        assert_eq!(answered["access-control-allow-methods"], "GET, PUT");
        assert_eq!(answered["access-control-allow-headers"], "DNT");
        assert_eq!(answered["access-control-max-age"], "5");
        assert!(!answered.contains_key("access-control-allow-credentials"));
        let vary: Vec<_> = answered.get_all("vary").iter().collect();
        assert_eq!(vary, ["Accept-Encoding", "Origin"]);
        let mut answered = fields(&pod);
        answer(&listed, None, &mut answered);
        assert_eq!(answered["access-control-allow-origin"], "*");
        assert_eq!(answered.get_all("vary").iter().count(), 2);
        answer(&listed, None, &mut answered);
        assert_eq!(answered.get_all("vary").iter().count(), 2, "named once");
        let mut answered = fields(&pod);
        answer(&cors(&["*"], true), Some(&HeaderValue::from_static("*")), &mut answered);
        assert_eq!(answered["access-control-allow-credentials"], "true");
        assert_eq!(answered.get_all("vary").iter().count(), 1);
    }

    #[test]
    fn only_options_is_a_preflight() {
        let star = HeaderValue::from_static("*");
        assert!(is_preflight(&Method::OPTIONS, Some(&star)));
        assert!(!is_preflight(&Method::OPTIONS, None));
        assert!(!is_preflight(&Method::GET, Some(&star)));
    }
}
