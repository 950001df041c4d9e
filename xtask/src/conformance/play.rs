//! One scenario: objects, endpoints, address, requests. Nothing is asked twice until it is right.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::objects::{self, INGRESS};
use super::scenario::{Expected, Objects, PODS, Scenario};
use crate::cluster::Lab;

/// For pods to be ready and for an address to be written.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at an object.
const PAUSE: Duration = Duration::from_millis(200);
/// How long an Ingress of a foreign class has to stay without an address.
const QUIET: Duration = Duration::from_secs(10);
const REQUESTS: usize = 100;
/// The first requests after the address appeared, each over a connection of its own, so that the
/// router sends them to several nodes.
const FIRST: usize = 4;
const AGENT: &str = "genkan-conformance/1";

/// # Errors
/// What was not as expected.
pub(super) fn play(lab: &Lab, scenario: &Scenario, namespace: &str, class: &str) -> Result<()> {
    let objects = scenario.objects;
    lab.apply(&objects::workloads(namespace, objects))?;
    for (service, pods) in objects::services(objects) {
        wait_for_endpoints(lab, namespace, service, pods)?;
    }
    lab.apply(&objects::ingress(lab, namespace, objects, class)?)?;
    if scenario.expected == Expected::NoAddress {
        return stays_without_address(lab, namespace);
    }
    for address in wait_for_addresses(lab, namespace)? {
        judge(lab, scenario, namespace, address)?;
    }
    Ok(())
}

fn judge(lab: &Lab, scenario: &Scenario, namespace: &str, address: IpAddr) -> Result<()> {
    let about = || format!("{} {} at {address}", scenario.method, scenario.url);
    match scenario.expected {
        Expected::Served(service) => {
            for _ in 0..FIRST {
                let answer = ask(lab, scenario, address)?;
                is_served(scenario, namespace, service, &answer).with_context(about)?;
            }
        }
        Expected::NotFound => {
            for _ in 0..FIRST {
                let status = ask(lab, scenario, address)?.status;
                ensure!(status == 404, "{}: status {status}, expected 404", about());
            }
        }
        Expected::EveryPod => {
            let mut pods = BTreeSet::new();
            for _ in 0..REQUESTS {
                let answer = ask(lab, scenario, address)?;
                ensure!(answer.status == 200, "{}: status {}", about(), answer.status);
                pods.insert(answer.seen["pod"].as_str().unwrap_or_default().to_owned());
            }
            ensure!(pods.len() == PODS, "{}: {} of {PODS} pods", about(), pods.len());
        }
        Expected::NoAddress => {}
    }
    Ok(())
}

/// The pod of the right Service answered, it saw the request as it was sent, and the answer has what
/// each answer has to have.
fn is_served(scenario: &Scenario, namespace: &str, service: &str, answer: &Answer) -> Result<()> {
    ensure!(answer.status == 200, "status {}, expected 200", answer.status);
    for name in ["server", "date", "content-type", "content-length"] {
        ensure!(answer.field(name).is_some(), "no field {name} in {:?}", answer.fields);
    }
    let (_, target) = scenario.url.split_once("//").unwrap_or_default();
    let (host, path) = target.split_at(target.find('/').unwrap_or(target.len()));
    let expected = [
        ("service", service),
        ("namespace", namespace),
        ("ingress", INGRESS),
        ("method", scenario.method),
        ("path", path),
        ("proto", "HTTP/1.1"),
    ];
    for (name, value) in expected {
        let seen = answer.seen[name].as_str().unwrap_or_default();
        ensure!(seen == value, "{name} is {seen:?}, expected {value:?}");
    }
    let seen = answer.seen["host"].as_str().unwrap_or_default();
    ensure!(host.is_empty() || seen == host, "the pod saw the host {seen:?}");
    let agent = answer.seen["headers"]["User-Agent"][0].as_str().unwrap_or_default();
    ensure!(agent == AGENT, "the pod saw the User-Agent {agent:?}");
    Ok(())
}

#[derive(Debug)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    /// What the pod saw, if it was one.
    seen: Value,
}

// === impl Answer ===

impl Answer {
    /// Of the text that `curl --include` prints; after redirects, the last answer.
    fn parse(text: &str) -> Result<Self> {
        let mut rest = text;
        loop {
            let (head, body) = rest.split_once("\r\n\r\n").context("no head in the answer")?;
            if body.starts_with("HTTP/") {
                rest = body;
                continue;
            }
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
            let field = |line: &str| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase(), value.trim().to_owned()))
            };
            return Ok(Self {
                status: status.parse().with_context(|| format!("status {status:?}"))?,
                fields: lines.filter_map(field).collect(),
                seen: serde_json::from_str(body).ok().filter(Value::is_object).unwrap_or_default(),
            });
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One request over a connection of its own; redirects are followed, certificates verified.
fn ask(lab: &Lab, scenario: &Scenario, address: IpAddr) -> Result<Answer> {
    let bare = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    let url = scenario.url.replacen("///", &format!("//{bare}/"), 1);
    let certificates = objects::certificate_file(lab).display().to_string();
    let (_, target) = url.split_once("//").unwrap_or_default();
    let host = target.split('/').next().unwrap_or_default().to_owned();
    let resolve = [80, 443].map(|port| format!("{host}:{port}:{bare}"));
    let mut arguments = vec!["curl", "--silent", "--show-error", "--include", "--location"];
    arguments.extend(["--http1.1", "--path-as-is", "--max-time", "10", "--user-agent", AGENT]);
    arguments.extend(["--request", scenario.method]);
    if scenario.objects == Objects::Hosts {
        arguments.extend(["--cacert", &certificates]);
    }
    if host != bare {
        arguments.extend(resolve.iter().flat_map(|entry| ["--resolve", entry.as_str()]));
    }
    arguments.push(&url);
    let said = lab.client(&arguments)?;
    if !said.success {
        bail!("{} {url} at {address}: {}", scenario.method, said.errors);
    }
    Answer::parse(&said.output)
}

fn wait_for_endpoints(lab: &Lab, namespace: &str, service: &str, pods: usize) -> Result<()> {
    let addresses = "jsonpath={.subsets[*].addresses[*].ip}";
    let get = ["get", "endpoints", service, "--namespace", namespace, "--output", addresses];
    let ready = || {
        let text = lab.kubectl(&[&get[..], &["--ignore-not-found"]].concat())?;
        let count = text.split_whitespace().count();
        Ok((count == pods).then_some(()))
    };
    wait(&format!("{pods} ready endpoints of {service}"), ready)
}

/// Of `status.loadBalancer`.
fn addresses(lab: &Lab, namespace: &str) -> Result<Vec<IpAddr>> {
    let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
    let text =
        lab.kubectl(&["get", "ingress", INGRESS, "--namespace", namespace, "--output", path])?;
    text.split_whitespace().map(|text| text.parse().with_context(|| text.to_owned())).collect()
}

fn wait_for_addresses(lab: &Lab, namespace: &str) -> Result<Vec<IpAddr>> {
    let written = || Ok(Some(addresses(lab, namespace)?).filter(|all| !all.is_empty()));
    wait("an address in the status", written)
}

fn stays_without_address(lab: &Lab, namespace: &str) -> Result<()> {
    let until = Instant::now() + QUIET;
    while Instant::now() < until {
        let written = addresses(lab, namespace)?;
        ensure!(written.is_empty(), "addresses {written:?} of a class that is not ours");
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let late = Instant::now() + LIMIT;
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        ensure!(Instant::now() < late, "no {what} in {LIMIT:?}");
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn the_last_answer_of_a_chain_of_redirects_counts() {
        let text = "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://a/\r\n\r\n\
                    HTTP/1.1 200 OK\r\nServer: genkan\r\nContent-Length: 13\r\n\r\n{\"pod\": \"a-1\"}";
        let answer = Answer::parse(text).unwrap();
        assert_eq!((answer.status, answer.field("server")), (200, Some("genkan")));
        assert_eq!(answer.seen["pod"], "a-1");
    }

    #[test]
    fn answers_of_no_pod_have_a_status_too() {
        let answer =
            Answer::parse("HTTP/1.1 404 Not Found\r\nServer: genkan\r\n\r\n404\n").unwrap();
        assert_eq!(answer.status, 404);
        assert!(answer.seen.is_null());
        assert!(Answer::parse("").is_err());
    }
}
