//! The answer for people.

use std::borrow::Cow;
use std::io::{self, Write};

use super::Answer;
use crate::filter::redirect;
use crate::routing::Redirect;
use crate::routing::explain::{Candidate, Explanation, Outcome, StrictSni};

pub(super) fn write(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let Answer { explanation, vips } = answer;
    let question = &explanation.question;
    let scheme = if question.https { "https" } else { "http" };
    let host = question.host.as_deref().unwrap_or_default();
    writeln!(out, "{} {scheme}://{host}{}", question.method, question.target)?;
    writeln!(out, "answer: {}", outcome(explanation))?;
    if let Some(winner) = &explanation.winner {
        writeln!(out, "\nwon: {}", candidate(winner))?;
    }
    for host in explanation.hosts.iter().filter(|host| host.ingresses > 0) {
        let mark = if host.chosen { '+' } else { '-' };
        let name = if host.pattern.is_empty() { "every host" } else { &host.pattern };
        let by = ingresses(host.ingresses);
        writeln!(out, "  {mark} {name}, {by}: {} ({})", host.why, host.rule)?;
    }
    steps(out, explanation)?;
    canary(out, explanation)?;
    cluster(out, explanation)?;
    if let Some(certificate) = &explanation.certificate {
        let name = certificate.server_name.as_deref().unwrap_or("no server name");
        let secret = match &certificate.secret {
            Some(secret) => format!("Secret {secret} ({})", certificate.names.join(", ")),
            None => "the self-signed one".to_owned(),
        };
        writeln!(out, "\ncertificate for {name}: {secret}")?;
        writeln!(out, "  {} ({})", certificate.why, certificate.rule)?;
    }
    if let Some(strict) = explanation.strict_sni {
        writeln!(out, "  {}", strict_sni(strict))?;
    }
    if !vips.is_empty() {
        writeln!(out, "\nVIPs")?;
    }
    for vip in vips {
        let mark = if vip.admitted && vip.serves_port { '+' } else { '-' };
        let port = if vip.serves_port { "" } else { "the port is not served so; " };
        let addresses: Vec<_> = vip.addresses.iter().map(ToString::to_string).collect();
        writeln!(out, "  {mark} {} ({}): {port}{}", vip.vip, addresses.join(", "), vip.why)?;
    }
    losers(out, explanation)?;
    if !explanation.problems.is_empty() {
        writeln!(out, "\nproblems of the winner")?;
    }
    for problem in &explanation.problems {
        writeln!(out, "  {problem}")?;
    }
    Ok(())
}

fn outcome(explanation: &Explanation) -> String {
    match &explanation.outcome {
        Outcome::Forward => {
            let cluster = explanation.cluster.as_ref();
            format!("sent to {}", cluster.map_or("an endpoint", |cluster| &cluster.name))
        }
        &Outcome::Redirect { status, drop_trailing_slash, forced } => {
            let redirect = Redirect { status, drop_trailing_slash, forced };
            let host = explanation.host.as_deref().unwrap_or_default();
            let host = match host.contains(':') {
                true => Cow::Owned(format!("[{host}]")),
                false => Cow::Borrowed(host),
            };
            let location = redirect::location(redirect, &host, None, &explanation.question.target);
            let location = location.as_ref().and_then(|value| value.to_str().ok());
            format!("{status} to {}", location.unwrap_or_default())
        }
        Outcome::Moved { status, to } => format!("{status} to {to}"),
        Outcome::Answer { status, reason } => format!("{status}: {reason}"),
        Outcome::NoHandshake { reason } => format!("none, the handshake ends: {reason}"),
        Outcome::Unknown => "unknown".to_owned(),
    }
}

fn candidate(candidate: &Candidate) -> String {
    let Candidate { file, line, host, path, path_type, backend, rule, why, .. } = candidate;
    let place = match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        (None, _) => String::new(),
    };
    let host = if host.is_empty() { "every host" } else { host };
    let what = match path_type {
        Some(kind) => format!("{kind} {path:?} of {host} -> {backend}"),
        None => format!("default of {host} -> {backend}"),
    };
    let rule = if rule.is_empty() { String::new() } else { format!(" ({rule})") };
    format!("{place}Ingress {}: {what}: {why}{rule}", candidate.title())
}

fn ingresses(count: usize) -> String {
    if count == 1 { "1 Ingress".to_owned() } else { format!("{count} Ingresses") }
}

fn steps(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    if explanation.steps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nin this order")?;
    for (number, step) in (1..).zip(&explanation.steps) {
        let ends = if step.answers { " (ends here)" } else { "" };
        writeln!(out, "  {number}. {}: {}{ends}", step.name, step.effect)?;
    }
    Ok(())
}

fn canary(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    let Some(canary) = &explanation.canary else { return Ok(()) };
    let mark = match canary.taken {
        Some(true) => '+',
        Some(false) => '-',
        None => '?',
    };
    writeln!(out, "\ncanary\n  {mark} {}: {}", canary.backend, canary.why)
}

fn strict_sni(strict: StrictSni) -> &'static str {
    match strict {
        StrictSni::Off => "tls.strict_sni is off: the handshake needs no name that is known (T5)",
        StrictSni::Served => "tls.strict_sni is on: the name is known and goes with the host",
        StrictSni::Unknown => {
            "tls.strict_sni is on: the handshake ends with alert 112, unrecognized_name (T5)"
        }
        StrictSni::Misdirected => {
            "tls.strict_sni is on: the name is known, but the host has another certificate (T6)"
        }
    }
}

fn cluster(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    let Some(cluster) = &explanation.cluster else { return Ok(()) };
    let facts = [cluster.state.as_str(), &cluster.protocol, &cluster.balance].join(", ");
    writeln!(out, "\nendpoints of {} ({facts})", cluster.name)?;
    for endpoint in &cluster.endpoints {
        let mark = if endpoint.used { '+' } else { '-' };
        let pod = endpoint.pod.as_ref().map(|pod| format!(" pod {pod}")).unwrap_or_default();
        let (address, object) = (&endpoint.address, &endpoint.object);
        writeln!(out, "  {mark} {address}{pod}: {} ({}), {object}", endpoint.why, endpoint.rule)?;
    }
    Ok(())
}

fn losers(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    if explanation.losers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nnot taken")?;
    for loser in &explanation.losers {
        writeln!(out, "  {}", candidate(loser))?;
    }
    if explanation.unlisted > 0 {
        writeln!(out, "  and {} more paths that do not match", explanation.unlisted)?;
    }
    Ok(())
}
