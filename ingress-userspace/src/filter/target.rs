//! The target that goes upstream: path normalised or rewritten, query as it came.

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

/// Origin form of `uri` with `path` in place of its own. `None`: the path does not fit into a URI,
/// which only a rewrite can bring about.
pub fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let old = uri.path_and_query();
    if let Some(old) = old
        && old.path() == path
    {
        // Absolute form and HTTP/2 lose scheme and authority; nothing is copied.
        return Some(Uri::from(old.clone()));
    }
    let query = old.and_then(PathAndQuery::query);
    let mut text = String::with_capacity(path.len() + query.map_or(0, |q| q.len() + 1));
    text.push_str(path);
    if let Some(query) = query {
        // A target with a query of its own is continued, as nginx's rewrite does.
        text.push(if path.contains('?') { '&' } else { '?' });
        text.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(text)).ok().map(Uri::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_is_replaced() {
        for (uri, path, wanted) in [
            ("/a?b=%2f", "/a", "/a?b=%2f"),
            ("/a//b?c", "/a/b", "/a/b?c"),
            ("http://h.example/a?b", "/a", "/a?b"),
            ("https://h.example", "/", "/"),
            ("/a?b=1", "/new?x=2", "/new?x=2&b=1"),
            ("/a?", "/b", "/b?"),
        ] {
            let uri: Uri = uri.parse().expect("a URI");
            assert_eq!(with_path(&uri, path).expect("fits").to_string(), wanted);
        }
    }

    #[test]
    fn a_path_that_is_no_path_is_refused() {
        assert!(with_path(&Uri::from_static("/a"), "/b c\n").is_none());
    }
}
