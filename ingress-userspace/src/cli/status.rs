//! `genkan status`: what a running process serves and how it does, once.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::Output;
use super::ask::Target;
use super::table::{Table, age, bytes};
use crate::admin::status::{ConditionState, Configuration, Page, Status, Steer};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Lists that are shown: routes, clusters, certificates, problems; separated by commas.
    #[arg(long, value_name = "LISTS", default_value = "routes,clusters,certificates,problems")]
    lists: String,

    /// Entries of each list.
    #[arg(long, value_name = "N", default_value = "100")]
    limit: usize,

    #[command(flatten)]
    target: Target,

    /// `json`: the document of GET /status.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

// === impl Arguments ===

impl Arguments {
    /// Exit code 1 when the process is not ready.
    ///
    /// # Errors
    ///
    /// When no process answers, or `out` does not take the answer.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let query = format!("/status?lists={}&limit={}", self.lists, self.limit);
        let status: Status = self.target.client().document(&query)?;
        match self.output {
            Output::Text => text(out, &status)?,
            Output::Json => writeln!(out, "{:#}", serde_json::to_value(&status)?)?,
        }
        Ok(if status.readiness.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let process = &status.process;
    writeln!(
        out,
        "genkan {}, process {}, up {}, {} resident, {} of {} files",
        process.version,
        process.pid,
        age(process.uptime),
        bytes(process.resident_bytes),
        process.open_files,
        process.file_limit
    )?;
    writeln!(out, "{}", if status.readiness.ready { "ready" } else { "NOT READY" })?;
    for condition in &status.readiness.conditions {
        let mark = match condition.state {
            ConditionState::Good => '+',
            ConditionState::Degraded => '~',
            ConditionState::Bad => '-',
        };
        writeln!(out, "  {mark} {}: {}", condition.name, condition.message)?;
    }
    configuration(out, &status.configuration)?;
    vips(out, status)?;
    workers(out, status)?;
    traffic(out, status)?;
    lists(out, status)
}

fn configuration(out: &mut impl Write, configuration: &Configuration) -> io::Result<()> {
    let Configuration { file, reloads, reloads_failed, snapshot, served, .. } = configuration;
    let Configuration { hosts, clusters, problems, .. } = configuration;
    writeln!(out, "\nconfiguration {file}, {reloads} reloads, {reloads_failed} refused")?;
    for error in &configuration.errors {
        writeln!(out, "  refused: {error}")?;
    }
    writeln!(
        out,
        "snapshot {snapshot}, every worker serves {served}: {hosts} hosts, {clusters} clusters, \
         {problems} problems"
    )
}

fn vips(out: &mut impl Write, status: &Status) -> io::Result<()> {
    for vip in &status.vips {
        let addresses: Vec<_> = vip.addresses.iter().map(ToString::to_string).collect();
        let ports: Vec<_> =
            vip.ports.iter().map(|port| format!("{}/{}", port.port, port.protocol)).collect();
        let (addresses, ports) = (addresses.join(", "), ports.join(", "));
        let steer = steer(vip.steer);
        writeln!(out, "\nVIP {}: {addresses}; {ports}; {steer}; {} rules", vip.name, vip.rules)?;
        if let Some(reason) = &vip.reason {
            writeln!(out, "  {reason}")?;
        }
        let counts: Vec<_> = vip
            .verdicts
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        if !counts.is_empty() {
            writeln!(out, "  packets: {}", counts.join(", "))?;
        }
    }
    Ok(())
}

pub(super) fn steer(steer: Steer) -> &'static str {
    match steer {
        Steer::Native => "XDP native",
        Steer::Generic => "XDP generic",
        Steer::NotAttached => "XDP not attached",
        Steer::Bound => "bound, no kernel programs",
    }
}

fn workers(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let mut table =
        Table::new(["worker", "CPU", "connections", "accepted", "requests", "serves", "panics"]);
    for worker in &status.workers {
        let numbers = [
            worker.index as u64,
            u64::from(worker.cpu),
            worker.connections,
            worker.accepted,
            worker.requests,
            worker.served,
            worker.panics,
        ];
        table.row(numbers.map(|number| number.to_string()));
    }
    writeln!(out)?;
    table.write(out)
}

fn traffic(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let traffic = &status.traffic;
    let answers: Vec<_> = traffic.answers.iter().map(|(name, n)| format!("{name} {n}")).collect();
    writeln!(
        out,
        "\n{} requests ({}), {} received, {} sent, {} failed handshakes",
        traffic.requests,
        answers.join(", "),
        bytes(traffic.received_bytes),
        bytes(traffic.sent_bytes),
        traffic.handshakes_failed
    )?;
    for (reason, count) in &traffic.failures {
        writeln!(out, "  {reason}: {count}")?;
    }
    Ok(())
}

fn lists(out: &mut impl Write, status: &Status) -> io::Result<()> {
    if let Some(routes) = &status.routes {
        let mut table = Table::new(["route", "host", "path", "type", "to", "requests"]);
        for route in &routes.items {
            table.row([
                route.id.clone(),
                route.host.clone().unwrap_or_default(),
                route.path.clone(),
                route.kind.to_string(),
                route.leads_to(),
                route.requests.to_string(),
            ]);
        }
        list(out, "routes", routes, &table)?;
    }
    if let Some(clusters) = &status.clusters {
        let mut table = Table::new(["cluster", "state", "protocol", "endpoints"]);
        for cluster in &clusters.items {
            let endpoints: Vec<_> =
                cluster.endpoints.iter().map(|e| e.address.to_string()).collect();
            table.row([
                cluster.name.clone(),
                cluster.state.to_string(),
                cluster.protocol.to_string(),
                endpoints.join(" "),
            ]);
        }
        list(out, "clusters", clusters, &table)?;
    }
    if let Some(certificates) = &status.certificates {
        let mut table = Table::new(["certificate", "names", "until (epoch)"]);
        for certificate in &certificates.items {
            table.row([
                format!("{}/{}", certificate.namespace, certificate.secret),
                certificate.names.join(" "),
                certificate.not_after.to_string(),
            ]);
        }
        list(out, "certificates", certificates, &table)?;
    }
    let Some(problems) = &status.problems else { return Ok(()) };
    let mut table = Table::new(["problem", "object", "field", "message"]);
    for problem in &problems.items {
        let object = problem.object.as_ref();
        table.row([
            match &problem.rule {
                Some(rule) => format!("{} ({rule})", problem.reason),
                None => problem.reason.to_string(),
            },
            object.map(|o| format!("{} {}/{}", o.kind, o.namespace, o.name)).unwrap_or_default(),
            problem.field.clone(),
            problem.message.clone(),
        ]);
    }
    list(out, "problems", problems, &table)
}

fn list<T>(out: &mut impl Write, name: &str, page: &Page<T>, table: &Table) -> io::Result<()> {
    if page.total == 0 {
        return Ok(());
    }
    writeln!(out)?;
    table.write(out)?;
    match page.total - page.items.len() {
        0 => Ok(()),
        more => writeln!(out, "and {more} more {name}"),
    }
}
