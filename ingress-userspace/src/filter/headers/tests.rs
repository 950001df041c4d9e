use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        );
    }
    map
}

fn sent(fields: &[(&str, &str)]) -> (HeaderMap, bool) {
    let peer = HeaderValue::from_static("192.0.2.7");
    let port = HeaderValue::from_static("443");
    let host = HeaderValue::from_static("A.example:443");
    let origin = Origin {
        peer: &peer,
        port: &port,
        https: true,
        host: Some(&host),
        request_id: b"of-the-request",
    };
    let mut headers = map(fields);
    let upgrade = to_upstream(&mut headers, origin);
    (headers, upgrade)
}

#[test]
fn the_client_is_described_by_us() {
    let (headers, upgrade) = sent(&[
        ("host", "A.example:443"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.2, 10.0.0.3"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-real-ip", "10.9.9.9"),
        ("x-original-forwarded-for", "forged"),
        ("forwarded", "for=10.1.1.1"),
        ("user-agent", "Test/1.0"),
    ]);
    assert!(!upgrade);
    for (name, value) in [
        ("host", "A.example:443"),
        ("x-real-ip", "192.0.2.7"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "A.example:443"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-scheme", "https"),
        ("x-scheme", "https"),
        ("x-original-forwarded-for", "10.0.0.1, 10.0.0.2, 10.0.0.3"),
        ("x-original-forwarded-host", "evil.example"),
        ("user-agent", "Test/1.0"),
    ] {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    assert!(!headers.contains_key("forwarded"));
}

#[test]
fn nothing_else_that_a_proxy_would_say_is_taken_from_the_client() {
    let (headers, _) = sent(&[
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-user", "admin"),
        ("x-forwarded-ssl", "on"),
        ("x-original-url", "/admin"),
        ("x-original-uri", "/admin"),
        ("x-other", "1"),
    ]);
    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    for name in names {
        assert!(!name.contains("prefix") && !name.contains("user") && !name.contains("ssl"));
        assert!(!name.starts_with("x-original-"), "{name}");
    }
    assert_eq!(headers["x-other"], "1");
}

#[test]
fn forged_originals_do_not_pass() {
    let (headers, _) =
        sent(&[("x-original-forwarded-for", "forged"), ("x-original-forwarded-host", "forged")]);
    assert!(!headers.contains_key("x-original-forwarded-for"));
    assert!(!headers.contains_key("x-original-forwarded-host"));
}

#[test]
fn connection_fields_and_confusable_names_stop_here() {
    let (headers, upgrade) = sent(&[
        ("connection", "close, X-Secret, host, content-length"),
        ("connection", "x-other"),
        ("x-secret", "1"),
        ("x-other", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy", "http://evil"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("te", "deflate"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
        ("x_forwarded_for", "10.0.0.1"),
        ("ssl-client-verify", "SUCCESS"),
        ("ssl-client-subject-dn", "CN=root"),
        ("x.y", "1"),
        ("content-length", "5"),
        ("x-kept", "1"),
    ]);
    assert!(!upgrade, "Connection does not name upgrade");
    let mut names: Vec<_> =
        headers.keys().map(HeaderName::as_str).filter(|n| !n.starts_with("x-f")).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["content-length", "host", "x-kept", "x-real-ip", "x-request-id", "x-scheme"]
    );
}

#[test]
fn te_passes_for_trailers_only() {
    let (headers, _) = sent(&[("te", "gzip, trailers"), ("connection", "te")]);
    assert_eq!(
        (&headers["te"], &headers["connection"]),
        (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("te"))
    );
    assert!(!sent(&[("te", "gzip")]).0.contains_key("te"));
}

#[test]
fn an_upgrade_is_passed_on_whole() {
    let (headers, upgrade) = sent(&[
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("keep-alive", "5"),
    ]);
    assert!(upgrade);
    assert_eq!(headers["connection"], "upgrade");
    assert_eq!(headers["upgrade"], "WebSocket");
    assert!(!headers.contains_key("keep-alive"));
}

#[test]
fn an_upgrade_to_clear_http2_is_not_relayed() {
    let (headers, upgrade) = sent(&[
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
    ]);
    assert!(!upgrade);
    for name in ["connection", "upgrade", "http2-settings"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

/// Bytes above 0x7f are allowed in values (obs-text of RFC 9110 5.5).
#[test]
fn a_member_that_is_not_text_hides_no_other() {
    let (headers, upgrade) = sent(&[("connection", "Upgrade"), ("upgrade", "h2c,é")]);
    assert!(!upgrade && !headers.contains_key("upgrade"));
    let (headers, _) = sent(&[("connection", "é, x-secret"), ("x-secret", "1")]);
    assert!(!headers.contains_key("x-secret"));
    let (_, upgrade) = sent(&[("connection", "é, upgrade"), ("upgrade", "websocket")]);
    assert!(upgrade);
}

#[test]
fn the_endpoint_gets_one_id_that_of_the_request() {
    for fields in [
        &[][..],
        &[("x-request-id", "of-the-request")],
        &[("x-request-id", "a b")],
        &[("x-request-id", "a"), ("x-request-id", "b")],
        &[("connection", "x-request-id"), ("x-request-id", "of-the-request")],
    ] {
        let (headers, _) = sent(fields);
        let ids: Vec<_> = headers.get_all("x-request-id").iter().collect();
        assert_eq!(ids, ["of-the-request"], "{fields:?}");
    }
}

#[test]
fn an_answer_loses_its_connection_fields() {
    let mut headers = map(&[
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("trailer", "x-sum"),
        ("content-type", "text/plain"),
    ]);
    from_upstream(&mut headers, false);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "trailer"]);
}

#[test]
fn a_101_keeps_its_upgrade() {
    let mut headers =
        map(&[("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "x")]);
    from_upstream(&mut headers, true);
    assert_eq!(headers["connection"], "upgrade");
    assert_eq!(headers["upgrade"], "websocket");
    assert_eq!(headers["sec-websocket-accept"], "x");
}
