//! What annotations do to the header fields of a request, after [`headers`](super::headers).

use http::header::HOST;
use http::{HeaderMap, HeaderName};

use crate::routing::Filters;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// `rewritten`: the path that the endpoint sees is not the client's.
pub fn apply(headers: &mut HeaderMap, filters: &Filters, rewritten: bool) {
    if let Some(host) = &filters.upstream_host {
        headers.insert(HOST, host.clone());
    }
    if rewritten && let Some(prefix) = &filters.forwarded_prefix {
        headers.insert(X_FORWARDED_PREFIX, prefix.clone());
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn host_is_replaced_and_the_prefix_told_of_rewritten_paths_only() {
        let value = |text| Some(HeaderValue::from_static(text));
        let filters = Filters {
            upstream_host: value("inner.example"),
            forwarded_prefix: value("/app"),
            ..Filters::default()
        };
        for (rewritten, prefix) in [(false, Some("/client")), (true, Some("/app"))] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("outer.example"));
            headers.insert(X_FORWARDED_PREFIX, HeaderValue::from_static("/client"));
            apply(&mut headers, &filters, rewritten);
            assert_eq!(headers[HOST], "inner.example");
            let told = headers.get(X_FORWARDED_PREFIX).and_then(|v| v.to_str().ok());
            assert_eq!(told, prefix, "{rewritten}");
        }
    }
}
