use super::*;

#[test]
fn split_cookies_are_joined() {
    let mut headers = HeaderMap::new();
    for cookie in ["a=1", "b=2", "c=3"] {
        headers.append(COOKIE, HeaderValue::from_static(cookie));
    }
    join_cookies(&mut headers);
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

#[test]
fn a_length_is_sent_on_once_and_in_digits() {
    for (lines, length, wanted) in [
        (&["010"][..], Some(10), &["10"][..]),
        (&["5", "5"], Some(5), &["5"]),
        (&[""], Some(0), &["0"]),
        (&[], Some(0), &[]),
        (&["7"], None, &[]),
    ] {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_LENGTH, HeaderValue::from_static(line));
        }
        one_length(&mut headers, length);
        let sent: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
        assert_eq!(sent, wanted);
    }
}
