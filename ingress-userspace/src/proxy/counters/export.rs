//! The families of the data side, all workers of a process together.

use std::sync::Arc;

use super::Counters;
use crate::metrics::{Counter, Exposition};
use crate::proxy::error::{Failure, Side};
use crate::tls::Handshake;
use crate::upstream::UpstreamCounters;

pub fn export(all: &[Arc<Counters>], out: &mut Exposition) {
    workers(all, out);
    connections(all, out);
    let failed = |index: usize| sum(all, |c| &c.failures[index]);
    let mut failures = out.counter(
        "genkan_failures",
        "Requests and connections that were not answered as asked for, by reason and by who has to \
         look.",
    );
    for failure in Failure::ALL {
        let labels = [("reason", failure.label()), ("side", side(failure.side()))];
        failures.number(&labels, failed(failure.index()));
    }
    let mut lines = out.counter("genkan_access_log_lines", "Lines of the access log.");
    lines.number(&[("result", "written")], sum(all, |c| &c.log_lines));
    lines
        .number(&[("result", "dropped")], sum(all, |c| &c.log_dropped) + sum(all, |c| &c.log_lost));
    UpstreamCounters::export(all.iter().map(|counters| &*counters.upstream), out);
}

fn workers(all: &[Arc<Counters>], out: &mut Exposition) {
    let each = |family: &mut crate::metrics::Family<'_>, of: fn(&Counters) -> u64| {
        for (worker, counters) in all.iter().enumerate() {
            family.number(&[("worker", &worker.to_string())], of(counters));
        }
    };
    let mut family = out.gauge("genkan_worker_connections", "Open client connections of a worker.");
    each(&mut family, |c| c.connections_open.value());
    let mut family =
        out.counter("genkan_worker_connections_accepted", "Client connections that it accepted.");
    each(&mut family, |c| c.connections.value());
    let mut family = out.counter("genkan_worker_requests", "Requests that it answered.");
    each(&mut family, |c| c.answers.iter().map(Counter::value).sum());
    let mut family =
        out.counter("genkan_worker_panics", "Connections that ended in a panic of ours.");
    each(&mut family, |c| c.panics.value());
    let mut family =
        out.counter("genkan_worker_restarts", "Times that a new thread took its place.");
    each(&mut family, |c| c.starts.value().saturating_sub(1));
}

fn connections(all: &[Arc<Counters>], out: &mut Exposition) {
    out.counter("genkan_connections_refused", "Client connections closed before a request.")
        .number(&[("reason", "unknown_destination")], sum(all, |c| &c.unknown_destination))
        .number(&[("reason", "denied")], sum(all, |c| &c.denied))
        .number(
            &[("reason", "overloaded")],
            sum(all, |c| &c.failures[Failure::Overloaded.index()]),
        );
    out.counter("genkan_connections_cut", "Connections cut when the time to drain was over.")
        .number(&[], sum(all, |c| &c.cut));
    out.counter("genkan_accept_failures", "Accepts that lacked descriptors or memory.")
        .number(&[], sum(all, |c| &c.accept_failures));
    let mut family = out.counter("genkan_tls_handshakes", "Completed TLS handshakes.");
    for handshake in Handshake::all() {
        let labels = [
            ("version", handshake.version_label()),
            ("alpn", handshake.alpn_label()),
            ("resumed", if handshake.resumed { "true" } else { "false" }),
        ];
        family.number(&labels, sum(all, |c| &c.handshakes[handshake.index()]));
    }
    out.counter("genkan_tls_handshake_failures", "TLS handshakes that did not complete.")
        .number(&[], sum(all, |c| &c.handshake_failures));
}

fn sum<'a>(all: &'a [Arc<Counters>], of: impl Fn(&'a Counters) -> &'a Counter) -> u64 {
    all.iter().map(|counters| of(counters).value()).sum()
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Configuration => "configuration",
        Side::Upstream => "upstream",
        Side::Ourselves => "ourselves",
    }
}
