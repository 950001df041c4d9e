//! The status as a page for a browser: tables that need no script, and one script that adds plots,
//! fresh numbers and a filter.
//!
//! In: a [`Status`] and the query that chose its lists. Out: HTML. Names, paths and messages are
//! written by whoever may write an Ingress, so every text goes through [`escaped`] and the page
//! may load nothing but its own style, script and status.

use std::fmt::Write;

use super::query::Query;
use super::status::{
    Cluster, Condition, ConditionState, Page, Problem, Route, Status, Vip, VipTraffic, Worker,
};
use ingress_common::Verdict;
use ingress_common::verdict::Action;

pub(super) const STYLE: &str = include_str!("page/style.css");
pub(super) const SCRIPT: &str =
    concat!(include_str!("page/rates.js"), "\n", include_str!("page/live.js"));

/// What the page may do: nothing of the net, nothing inline, no frame around it.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                                 connect-src 'self'; form-action 'self'; base-uri 'none'; \
                                 frame-ancestors 'none'";

pub(super) fn render(status: &Status, query: &Query) -> String {
    let mut out = String::with_capacity(16 << 10);
    let state = if status.readiness.ready { "ready" } else { "not ready" };
    let process = &status.process;
    out.push_str("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width\">");
    let _ = write!(out, "<title>Genkan: {state}</title>");
    out.push_str("<link rel=\"stylesheet\" href=\"/page.css\">");
    out.push_str("<script src=\"/page.js\" defer></script></head><body>");
    let _ = write!(
        out,
        "<h1>Genkan <small>{} · process {} · <span id=\"state\">{state}</span></small></h1>",
        escaped(&process.version),
        process.pid
    );
    conditions(&mut out, &status.readiness.conditions);
    let configuration = &status.configuration;
    let _ = write!(
        out,
        "<p>Configuration {} · snapshot {}, every worker serves {} · {} hosts · {} clusters · {} \
         problems</p>",
        escaped(&configuration.file),
        configuration.snapshot,
        configuration.served,
        configuration.hosts,
        configuration.clusters,
        configuration.problems
    );
    live(&mut out, configuration.snapshot);
    search(&mut out, query);
    if let Some(problems) = &status.problems {
        list(&mut out, "Problems", PROBLEMS, problems, problem);
    }
    table(&mut out, "VIPs", VIPS, &status.vips, vip);
    if let Some(routes) = &status.routes {
        list(&mut out, "Routes", ROUTES, routes, route);
    }
    if let Some(clusters) = &status.clusters {
        list(&mut out, "Clusters", CLUSTERS, clusters, cluster);
    }
    table(&mut out, "Workers", WORKERS, &status.workers, worker);
    out.push_str("</body></html>\n");
    out
}

const PROBLEMS: &[&str] = &["Reason", "Rule", "Object", "Place", "Field", "Message"];
const VIPS: &[&str] = &["VIP", "Addresses", "Ports", "Rules", "Requests", "Packets by verdict"];
const ROUTES: &[&str] = &["Host", "Path", "Type", "To", "Requests", "Route"];
const CLUSTERS: &[&str] = &["Cluster", "State", "Protocol", "Endpoints"];
const WORKERS: &[&str] = &["Worker", "CPU", "Connections", "Accepted", "Requests", "Panics"];

fn conditions(out: &mut String, conditions: &[Condition]) {
    out.push_str("<ul id=\"conditions\">");
    for condition in conditions {
        let class = match condition.state {
            ConditionState::Good => "good",
            ConditionState::Degraded => "degraded",
            ConditionState::Bad => "bad",
        };
        let (name, message) = (escaped(&condition.name), escaped(&condition.message));
        let _ = write!(out, "<li class=\"{class}\"><b>{name}</b> {message}</li>");
    }
    out.push_str("</ul>");
}

/// Where the script puts its plots and its filter, and what it has to know for them.
fn live(out: &mut String, snapshot: u64) {
    let drops = Verdict::ALL.iter().filter(|verdict| verdict.action() == Action::Drop);
    let drops: Vec<_> = drops.map(|verdict| verdict.name()).collect();
    let _ = write!(
        out,
        "<div id=\"live\" data-snapshot=\"{snapshot}\" data-drops=\"{}\"></div>",
        drops.join(" ")
    );
}

/// The fields of the query that people fill in.
fn search(out: &mut String, query: &Query) {
    out.push_str("<form method=\"get\" action=\"/\">");
    for (name, value) in [
        ("host", &query.host),
        ("namespace", &query.namespace),
        ("ingress", &query.ingress),
        ("service", &query.service),
    ] {
        let value = escaped(value.as_deref().unwrap_or_default());
        let _ = write!(out, "<label>{name} <input name=\"{name}\" value=\"{value}\"></label> ");
    }
    out.push_str("<button>Search</button></form><div id=\"filter\"></div>");
}

fn problem(problem: &Problem) -> Vec<String> {
    let object = problem.object.as_ref();
    let place = match (&problem.file, problem.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.clone(),
        (None, _) => String::new(),
    };
    vec![
        problem.reason.to_string(),
        problem.rule.as_deref().unwrap_or_default().to_owned(),
        object.map(|o| format!("{} {}/{}", o.kind, o.namespace, o.name)).unwrap_or_default(),
        place,
        problem.field.clone(),
        problem.message.clone(),
    ]
}

fn vip(vip: &Vip) -> Vec<String> {
    let addresses: Vec<_> = vip.addresses.iter().map(ToString::to_string).collect();
    let ports: Vec<_> = vip.ports.iter().map(|p| format!("{}/{}", p.port, p.protocol)).collect();
    let counted = vip.verdicts.iter().filter(|(_, count)| **count > 0);
    let verdicts: Vec<_> = counted.map(|(name, count)| format!("{name} {count}")).collect();
    vec![
        vip.name.clone(),
        addresses.join(", "),
        ports.join(", "),
        vip.rules.to_string(),
        requests(&vip.traffic),
        verdicts.join(", "),
    ]
}

/// All, and by worker where there are several.
fn requests(traffic: &VipTraffic) -> String {
    let workers: Vec<_> = traffic.by_worker.iter().map(ToString::to_string).collect();
    match &workers[..] {
        [] | [_] => traffic.requests.to_string(),
        workers => format!("{} ({})", traffic.requests, workers.join(" + ")),
    }
}

fn route(route: &Route) -> Vec<String> {
    vec![
        route.host.clone().unwrap_or_default(),
        route.path.clone(),
        route.kind.to_string(),
        route.leads_to(),
        route.requests.to_string(),
        route.id.clone(),
    ]
}

fn cluster(cluster: &Cluster) -> Vec<String> {
    let endpoints: Vec<_> = cluster
        .endpoints
        .iter()
        .map(|endpoint| match &endpoint.pod {
            Some(pod) => format!("{} {pod} ({})", endpoint.address, endpoint.state),
            None => format!("{} ({})", endpoint.address, endpoint.state),
        })
        .collect();
    vec![
        cluster.name.clone(),
        cluster.state.to_string(),
        cluster.protocol.to_string(),
        endpoints.join(", "),
    ]
}

fn worker(worker: &Worker) -> Vec<String> {
    let numbers = [
        worker.index as u64,
        u64::from(worker.cpu),
        worker.connections,
        worker.accepted,
        worker.requests,
        worker.panics,
    ];
    numbers.iter().map(ToString::to_string).collect()
}

fn list<T>(
    out: &mut String,
    title: &str,
    heading: &[&str],
    page: &Page<T>,
    row: impl Fn(&T) -> Vec<String>,
) {
    table(out, title, heading, &page.items, row);
    if page.total > page.items.len() {
        let _ = write!(out, "<p>{} of {}</p>", page.items.len(), page.total);
    }
}

fn table<T>(
    out: &mut String,
    title: &str,
    heading: &[&str],
    items: &[T],
    row: impl Fn(&T) -> Vec<String>,
) {
    if items.is_empty() {
        return;
    }
    let id = title.to_lowercase();
    let _ = write!(out, "<h2>{title}</h2><table id=\"{id}\"><thead><tr>");
    for name in heading {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for item in items {
        out.push_str("<tr>");
        for cell in row(item) {
            let _ = write!(out, "<td>{}</td>", escaped(&cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
}

/// Text that is only text, between tags and inside quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests;
