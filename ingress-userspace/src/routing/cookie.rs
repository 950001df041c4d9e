//! Cookies of requests (RFC 6265 5.4), as far as rules ask for one by its name.

use http::HeaderMap;
use http::header::COOKIE;

/// The value of the first cookie of this name.
pub(super) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let fields = headers.get_all(COOKIE).into_iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|b| *b == b';'));
    pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())).find_map(|rest| {
        let (equals, value) = rest.split_first()?;
        (*equals == b'=').then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_of_a_name_counts_over_all_fields() {
        let mut headers = HeaderMap::new();
        for field in ["a=1;b=2; c = 3", "d; b=4; e==5=; f="] {
            headers.append(COOKIE, HeaderValue::from_static(field));
        }
        for (name, expected) in [
            ("a", Some("1")),
            ("b", Some("2")),
            ("c", None),
            ("d", None),
            ("e", Some("=5=")),
            ("f", Some("")),
            ("B", None),
            ("", None),
        ] {
            assert_eq!(value(&headers, name), expected.map(str::as_bytes), "{name}");
        }
    }
}
