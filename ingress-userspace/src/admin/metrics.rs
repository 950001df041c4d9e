//! The families that are made of what the administration sees: routes, configuration, kernel side,
//! certificates, process. Those of the workers come from the [`Node`].
//!
//! Labels are bounded by what is configured: namespaces, Ingresses, Services, routes, statuses that
//! occurred. Paths, hosts and clients are none. What is gone from the snapshot is gone from here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

mod routes;

use super::Node;
use super::control::{Silent, View};
use super::ready;
use super::status::{Interface, Steer, VipTraffic};
use crate::metrics::{Exposition, Family, Form, process};
use crate::routing::{ClusterState, Snapshot};
use crate::telemetry::{budget, lines};

/// What the series of requests are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Detail {
    #[default]
    Route,
    Ingress,
    Namespace,
    /// One series for all.
    Nothing,
}

pub(super) fn text(
    node: &dyn Node,
    view: Result<&View, Silent>,
    form: Form,
    detail: Detail,
) -> String {
    let mut out = Exposition::new(form);
    let version = env!("CARGO_PKG_VERSION");
    out.info("genkan_build", "The program that runs.", &[("version", version)]);
    process(&mut out);
    let workers = node.workers();
    let ready = ready::readiness(&workers, view).ready;
    out.gauge("genkan_ready", "Whether traffic should be sent here.").number(&[], ready.into());
    let snapshot = node.snapshot();
    let served = workers.iter().map(|worker| worker.served).min().unwrap_or(0);
    routes::export(&snapshot, node.unrouted(), detail, &mut out);
    snapshots(&snapshot, served, &mut out);
    node.metrics(&mut out);
    vips(&node.vips(), &mut out);
    if let Ok(view) = view {
        control(view, &mut out);
        kernel(view, &mut out);
        if let Some(source) = &view.source {
            source.export(&mut out);
        }
    }
    out.counter("genkan_log_lines_suppressed", "Diagnostics that one place wrote too often.")
        .number(&[], budget::dropped());
    out.counter(
        "genkan_log_lines_dropped",
        "Diagnostics that standard error did not take in time.",
    )
    .number(&[], lines::dropped());
    out.finish()
}

/// By the names that every client library gives them, so that dashboards for processes work.
fn process(out: &mut Exposition) {
    let facts = process::Process::read();
    out.counter("process_cpu_seconds", "User and system time.").real(&[], facts.cpu.as_secs_f64());
    out.gauge("process_resident_memory_bytes", "Memory in use.").number(&[], facts.resident_bytes);
    out.gauge("process_open_fds", "Open file descriptors.").number(&[], facts.open_files);
    out.gauge("process_max_fds", "Limit of open file descriptors.").number(&[], facts.file_limit);
    out.gauge("process_threads", "Threads.").number(&[], facts.threads);
    out.gauge("process_start_time_seconds", "When the process began.")
        .real(&[], epoch(process::started()));
}

fn snapshots(snapshot: &Snapshot, served: u64, out: &mut Exposition) {
    out.gauge("genkan_snapshot_version", "Version of the published routes.")
        .number(&[], snapshot.version);
    out.gauge("genkan_snapshot_served_version", "Version that every worker serves or has passed.")
        .number(&[], served);
    out.gauge("genkan_hosts", "Host patterns that have routes.")
        .number(&[], snapshot.host_count() as u64);
    let (mut ready, mut not_ready, mut endpoints) = (0, 0, 0);
    snapshot.each_cluster(|cluster| {
        match cluster.state {
            ClusterState::Ready => ready += 1,
            ClusterState::NoEndpoints
            | ClusterState::ServiceNotFound
            | ClusterState::PortNotFound
            | ClusterState::ExternalName => not_ready += 1,
        }
        endpoints += cluster.endpoints.len() as u64;
    });
    out.gauge("genkan_clusters", "Service ports that routes name, by whether they can serve.")
        .number(&[("state", "ready")], ready)
        .number(&[("state", "not_ready")], not_ready);
    out.gauge("genkan_endpoints", "Endpoints that get requests.").number(&[], endpoints);
    let mut family = out.gauge(
        "genkan_certificate_expiry_timestamp_seconds",
        "When the certificate of a Secret ends.",
    );
    snapshot.each_certificate(|facts| {
        let labels = [("namespace", &*facts.namespace), ("secret", &*facts.secret)];
        family.real(&labels, facts.not_after as f64);
    });
}

fn control(view: &View, out: &mut Exposition) {
    let configured = &view.configured;
    out.gauge("genkan_config_last_change_timestamp_seconds", "When the configuration was taken.")
        .real(&[], epoch(configured.taken));
    out.gauge(
        "genkan_config_last_reload_successful",
        "Whether the last change of the configuration file was taken.",
    )
    .number(&[], configured.errors.is_empty().into());
    out.counter("genkan_config_reloads", "Changes of the configuration file.")
        .number(&[("result", "taken")], configured.reloads)
        .number(&[("result", "refused")], configured.reloads_failed);
    out.gauge("genkan_snapshot_published_timestamp_seconds", "When the routes were published.")
        .real(&[], epoch(configured.published));
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for problem in &*view.problems {
        *reasons.entry(problem.reason.as_str()).or_default() += 1;
    }
    let mut family = out.gauge("genkan_problems", "Current problems of objects, by reason.");
    for (reason, number) in reasons {
        family.number(&[("reason", reason)], number);
    }
    out.gauge("genkan_draining", "Whether the process ends after what runs.")
        .number(&[], view.draining.into());
    out.counter("genkan_packet_events", "Sampled packets that were reported.")
        .number(&[], view.events);
}

fn kernel(view: &View, out: &mut Exposition) {
    let mut family =
        out.gauge("genkan_interface_steer", "How packets of an interface come to steer: 1 is so.");
    for Interface { name, steer, .. } in &view.interfaces {
        for (mode, label) in [
            (Steer::Native, "native"),
            (Steer::Generic, "generic"),
            (Steer::NotAttached, "not_attached"),
        ] {
            family.number(&[("interface", name), ("mode", label)], (mode == *steer).into());
        }
    }
    let mut family = out.counter("genkan_vip_packets", "Packets and lookups of a VIP, by verdict.");
    for vip in &view.vips {
        for (verdict, number) in &vip.verdicts {
            family.number(&[("vip", &vip.name), ("verdict", verdict)], *number);
        }
    }
    let mut family = out.gauge("genkan_vip_rules", "Source rules of a VIP in the kernel.");
    for vip in &view.vips {
        family.number(&[("vip", &vip.name)], vip.rules as u64);
    }
}

/// What clients had of each VIP; its packets are counted by the kernel.
fn vips(all: &BTreeMap<Arc<str>, VipTraffic>, out: &mut Exposition) {
    let mut family =
        out.counter("genkan_vip_requests", "Answered requests by VIP and status class.");
    for (vip, traffic) in all {
        for (class, number) in &traffic.answers {
            family.number(&[("vip", vip), ("class", class)], *number);
        }
    }
    let each = |family: &mut Family<'_>, of: fn(&VipTraffic) -> u64| {
        for (vip, traffic) in all {
            family.number(&[("vip", vip)], of(traffic));
        }
    };
    let mut family = out.counter("genkan_vip_connections", "Client connections accepted by VIP.");
    each(&mut family, |traffic| traffic.accepted);
    let mut family =
        out.counter("genkan_vip_request_body_bytes", "Body bytes from clients by VIP.");
    each(&mut family, |traffic| traffic.received_bytes);
    let mut family = out.counter("genkan_vip_response_body_bytes", "Body bytes to clients by VIP.");
    each(&mut family, |traffic| traffic.sent_bytes);
}

fn epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
