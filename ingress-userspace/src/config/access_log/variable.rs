//! The closed list of what a line of the access log can say.

macro_rules! variables {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// One value of a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Variable {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Variable {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// One line for the documentation.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

variables! {
    /// Time of the end of the request, RFC 3339 in UTC with milliseconds.
    Time = "time";
    /// The same as Apache and nginx write it.
    TimeLocal = "time_local";
    /// Address and port of the client.
    Client = "client";
    /// Address of the client.
    ClientAddress = "client_address";
    /// Address and port that the client connected to.
    Vip = "vip";
    /// Server name of the TLS handshake.
    Sni = "sni";
    /// `TLSv1.2` or `TLSv1.3`.
    TlsVersion = "tls_version";
    /// Cipher suite, such as `TLS13_AES_128_GCM_SHA256`.
    TlsCipher = "tls_cipher";
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    Protocol = "protocol";
    /// `http` or `https`.
    Scheme = "scheme";
    /// Method of the request.
    Method = "method";
    /// Host of the request as the client sent it.
    Host = "host";
    /// Path and query as the client sent them.
    Path = "path";
    /// Method, path and protocol, as the first line of HTTP/1 has them.
    Request = "request";
    /// Status of the answer.
    Status = "status";
    /// Body bytes from the client.
    Received = "received";
    /// Body bytes to the client.
    Sent = "sent";
    /// Microseconds from the head of the request to the end of the answer.
    DurationUs = "duration_us";
    /// The same in seconds, with milliseconds.
    Duration = "duration";
    /// Microseconds from sending the request to the head of the endpoint's answer.
    UpstreamUs = "upstream_us";
    /// The same in seconds, with milliseconds.
    Upstream = "upstream";
    /// Id of the route.
    Route = "route";
    /// Namespace of the route.
    Namespace = "namespace";
    /// Ingress of the route.
    Ingress = "ingress";
    /// Service of the route.
    Service = "service";
    /// Service port of the route, `namespace/service:port`.
    Cluster = "cluster";
    /// Address and port of the endpoint that answered, or was tried last.
    Endpoint = "endpoint";
    /// Its pod, when the EndpointSlice names it.
    Pod = "pod";
    /// Endpoints and connections tried, when there was more than one.
    Attempts = "attempts";
    /// Id of the request: `X-Request-ID` of the client if it is fit for it, else one of ours. An
    /// endpoint gets the same.
    RequestId = "request_id";
    /// `Referer` of the request.
    Referer = "referer";
    /// `User-Agent` of the request.
    UserAgent = "user_agent";
    /// Index of the worker.
    Worker = "worker";
    /// Why the request was not answered by a pod: the `reason` of `genkan_failures_total`.
    Failure = "failure";
    /// The same as a sentence.
    Reason = "reason";
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Value(Variable),
}

// === impl Variable ===

impl Variable {
    /// What a JSON line has when nothing else is said.
    pub const USUAL: &[Self] = &[
        Self::Time,
        Self::Client,
        Self::Vip,
        Self::Sni,
        Self::TlsVersion,
        Self::TlsCipher,
        Self::Protocol,
        Self::Method,
        Self::Host,
        Self::Path,
        Self::Status,
        Self::Received,
        Self::Sent,
        Self::DurationUs,
        Self::UpstreamUs,
        Self::Route,
        Self::Cluster,
        Self::Endpoint,
        Self::Pod,
        Self::Attempts,
        Self::RequestId,
        Self::Worker,
        Self::Failure,
        Self::Reason,
    ];

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|variable| variable.name() == name)
    }
}

/// Takes a text with `$name`, `${name}` and `$$` apart.
///
/// # Errors
///
/// What is wrong with the text.
pub fn parts(template: &str) -> Result<Vec<Part>, String> {
    if template.chars().any(char::is_control) {
        return Err("a line cannot hold control characters".to_owned());
    }
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
            continue;
        }
        let name;
        (name, rest) = variable_name(after)?;
        let variable = Variable::by_name(name).ok_or_else(|| unknown(name))?;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Value(variable));
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        return Err("neither json nor combined, and there is no variable in it".to_owned());
    }
    Ok(parts)
}

/// The name behind a `$`, and what follows it.
fn variable_name(text: &str) -> Result<(&str, &str), String> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').ok_or_else(|| "`${` without `}`".to_owned());
    }
    let end = text.bytes().position(|b| !b.is_ascii_lowercase() && b != b'_');
    Ok(text.split_at(end.unwrap_or(text.len())))
}

/// The answer to a name that is none, with the nearest or all.
pub(in crate::config) fn unknown(name: &str) -> String {
    let names = Variable::ALL.iter().map(|variable| variable.name());
    let near = names
        .clone()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min();
    match near {
        Some((_, near)) => format!("`{name}` is no variable, did you mean `{near}`?"),
        None => {
            format!("`{name}` is no variable; there are {}", names.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_apart_at_their_variables() {
        let value = Part::Value;
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(
            parts("${status}s $client_address/$$ \"$path\""),
            Ok(vec![
                value(Variable::Status),
                text("s "),
                value(Variable::ClientAddress),
                text("/$ \""),
                value(Variable::Path),
                text("\""),
            ])
        );
    }

    #[test]
    fn what_is_not_on_the_list_is_refused() {
        for (template, why) in [
            ("$statu", "did you mean `status`"),
            ("$cookie_session", "there are time"),
            ("${status", "without `}`"),
            ("jsn", "neither json nor combined"),
            ("$status\n", "control"),
            ("$", "is no variable"),
        ] {
            let error = parts(template).unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
    }

    #[test]
    fn the_page_describes_every_variable() {
        let page = include_str!("../../../../deploy/docs/access-log.md");
        for variable in Variable::ALL {
            let usual = if Variable::USUAL.contains(variable) { "yes" } else { "" };
            let row = format!("| `{}` | {usual} | {} |", variable.name(), variable.description());
            assert!(page.contains(&row), "deploy/docs/access-log.md lacks {row}");
        }
    }

    #[test]
    fn names_are_unique_and_described() {
        let names: std::collections::BTreeSet<_> = Variable::ALL.iter().map(|v| v.name()).collect();
        assert_eq!(names.len(), Variable::ALL.len());
        assert!(Variable::ALL.iter().all(|v| !v.description().is_empty()));
    }
}
