//! The families of requests: what the tallies of all routes say, added up as far as is asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Detail;
use crate::metrics::{Exposition, Sum};
use crate::routing::{Action, Snapshot};

/// Namespace, Ingress and Service of a route; empty where there is none.
type Owner<'a> = (&'a str, &'a str, &'a str);

pub(super) fn export(snapshot: &Snapshot, unrouted: Sum, detail: Detail, out: &mut Exposition) {
    let mut by_route: BTreeMap<(Owner<'_>, &str), Sum> = BTreeMap::new();
    by_route.insert((("", "", ""), ""), unrouted);
    snapshot.each_route(|_, route| {
        if route.tally.is_untouched() {
            return;
        }
        let service = match route.action {
            Action::Forward(id) => snapshot.cluster(id).map_or("", |cluster| &cluster.service),
            Action::Refuse { .. } | Action::Redirect(_) => "",
        };
        let key = match detail {
            Detail::Route => ((&*route.namespace, &*route.ingress, service), &*route.id),
            Detail::Ingress => ((&*route.namespace, &*route.ingress, service), ""),
            Detail::Namespace => ((&*route.namespace, "", ""), ""),
            Detail::Nothing => (("", "", ""), ""),
        };
        // Defaults of one Ingress for several hosts share an id.
        route.tally.add_to(by_route.entry(key).or_default());
    });
    let mut family = out.counter("genkan_requests", "Answered requests by route and status.");
    for ((owner, route), sum) in &by_route {
        let statuses = sum.statuses.iter().map(|(status, n)| (Cow::Owned(status.to_string()), *n));
        let others = (sum.others > 0).then_some((Cow::Borrowed("other"), sum.others));
        for (status, number) in statuses.chain(others) {
            let [namespace, ingress, service] = labels(owner);
            let labels = [namespace, ingress, service, ("route", *route), ("status", &status)];
            family.number(&labels, number);
        }
    }
    let mut by_owner: BTreeMap<Owner<'_>, Sum> = BTreeMap::new();
    for ((owner, _), sum) in &by_route {
        let of_owner = by_owner.entry(*owner).or_default();
        of_owner.received += sum.received;
        of_owner.sent += sum.sent;
        of_owner.duration.add(&sum.duration);
        of_owner.upstream.add(&sum.upstream);
    }
    // A series that never moved says nothing.
    by_owner.retain(|_, sum| sum.duration.count() + sum.received + sum.sent > 0);
    let mut family = out.histogram(
        "genkan_request_duration_seconds",
        "From the head of a request to the end of its answer.",
    );
    for (owner, sum) in &by_owner {
        family.distribution(&labels(owner), &sum.duration);
    }
    let mut family = out.histogram(
        "genkan_upstream_response_seconds",
        "From sending a request to the head of the answer of the endpoint.",
    );
    for (owner, sum) in by_owner.iter().filter(|(_, sum)| sum.upstream.count() > 0) {
        family.distribution(&labels(owner), &sum.upstream);
    }
    let mut family = out.counter("genkan_request_body_bytes", "Body bytes from clients.");
    for (owner, sum) in &by_owner {
        family.number(&labels(owner), sum.received);
    }
    let mut family = out.counter("genkan_response_body_bytes", "Body bytes to clients.");
    for (owner, sum) in &by_owner {
        family.number(&labels(owner), sum.sent);
    }
}

fn labels<'a>(owner: &Owner<'a>) -> [(&'static str, &'a str); 3] {
    [("namespace", owner.0), ("ingress", owner.1), ("service", owner.2)]
}
