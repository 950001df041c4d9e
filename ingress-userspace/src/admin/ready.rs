//! Readiness and liveness: what speaks for sending traffic here, and for a new process.
//!
//! Pure. Degraded is ready: a node whose XDP program could not be attached serves by the kernel
//! path, and taking it out would only move the trouble.

use std::borrow::Cow;

use super::control::{Silent, View};
use super::status::{Condition, ConditionState, Readiness, Steer, Worker};

/// A worker moves about once a second, whatever it serves.
const SLUGGISH: f64 = 10.0;
const STUCK: f64 = 60.0;

/// The process has not begun to serve; `waits`: for what, when it is something outside.
pub(super) fn starting(waits: Option<String>) -> Readiness {
    let what = waits.as_deref().unwrap_or("objects are read and kernel programs loaded");
    let message = format!("the process is starting: {what}");
    of(vec![condition("started", ConditionState::Bad, message)])
}

pub(super) fn readiness(workers: &[Worker], view: Result<&View, Silent>) -> Readiness {
    let mut conditions = vec![condition("started", ConditionState::Good, "serves")];
    conditions.push(match view {
        Ok(_) => condition("control", ConditionState::Good, "the control side answers"),
        // Traffic is served all the same, so this alone sends none away.
        Err(Silent::Late) => {
            condition("control", ConditionState::Degraded, Silent::Late.to_string())
        }
        Err(Silent::Gone) => condition("control", ConditionState::Bad, Silent::Gone.to_string()),
    });
    conditions.push(accepting(workers, view.ok()));
    conditions.push(snapshot(workers));
    if let Ok(view) = view {
        conditions.push(kernel(view));
        conditions.push(configuration(&view.configured.errors));
        conditions.extend(view.source.as_ref().map(|source| {
            let (state, message) = source.condition();
            condition("objects", state, message)
        }));
        conditions.push(if view.draining {
            condition("draining", ConditionState::Bad, "no new connection is accepted")
        } else {
            condition("draining", ConditionState::Good, "new connections are accepted")
        });
    }
    of(conditions)
}

/// Why the process should be replaced by a new one, if it should.
pub(super) fn stuck(workers: &[Worker], view: Result<&View, Silent>) -> Option<String> {
    let view = match view {
        Ok(view) => view,
        Err(silent) => return Some(silent.to_string()),
    };
    if view.workers_apart {
        return None;
    }
    if !view.draining && !view.running.contains(&true) {
        return Some("no worker runs".to_owned());
    }
    // One that has drained is silent for good.
    let is_running = |worker: &&Worker| view.running.get(worker.index) == Some(&true);
    let worker = workers.iter().filter(is_running).find(|worker| worker.silent > STUCK)?;
    Some(format!("worker {} has not moved for {:.0} s", worker.index, worker.silent))
}

fn accepting(workers: &[Worker], view: Option<&View>) -> Condition {
    let is_running = |worker: &&Worker| {
        let running = view.is_none_or(|view| view.running.get(worker.index) == Some(&true));
        running && worker.silent < SLUGGISH
    };
    let running = workers.iter().filter(is_running).count();
    let state = match running {
        0 => ConditionState::Bad,
        _ if running < workers.len() => ConditionState::Degraded,
        _ => ConditionState::Good,
    };
    condition("listeners", state, format!("{running} of {} workers accept", workers.len()))
}

fn snapshot(workers: &[Worker]) -> Condition {
    let Some(slowest) = workers.iter().min_by_key(|worker| worker.served) else {
        return condition("snapshot", ConditionState::Bad, "there is no worker");
    };
    if slowest.served == 0 {
        let message = format!("worker {} has no routes yet", slowest.index);
        return condition("snapshot", ConditionState::Bad, message);
    }
    let message = format!("all workers serve version {} or newer", slowest.served);
    condition("snapshot", ConditionState::Good, message)
}

fn kernel(view: &View) -> Condition {
    if let Some(error) = &view.kernel_error {
        return condition("kernel", ConditionState::Degraded, error.clone());
    }
    if let Some(bound) = view.vips.iter().find(|vip| vip.steer == Steer::Bound) {
        let reason = bound.reason.clone().unwrap_or_default();
        return condition("kernel", ConditionState::Degraded, reason);
    }
    let interfaces = &view.interfaces;
    if interfaces.is_empty() {
        let message = "no interface is named: the kernel path serves, without early drop";
        return condition("kernel", ConditionState::Good, message);
    }
    let name = |steer: Steer| match steer {
        Steer::Native => "native",
        Steer::Generic => "generic",
        Steer::NotAttached => "not attached",
        Steer::Bound => "no kernel programs",
    };
    let texts: Vec<String> = interfaces
        .iter()
        .map(|interface| {
            let reason = interface.reason.as_ref().map(|reason| format!(" ({reason})"));
            format!("{}: {}{}", interface.name, name(interface.steer), reason.unwrap_or_default())
        })
        .collect();
    let all_native = interfaces.iter().all(|interface| interface.steer == Steer::Native);
    let state = if all_native { ConditionState::Good } else { ConditionState::Degraded };
    condition("kernel", state, texts.join(", "))
}

fn configuration(errors: &[String]) -> Condition {
    match errors {
        [] => condition("configuration", ConditionState::Good, "the file is in force"),
        [first, ..] => {
            let message = format!("the last change was refused: {first}");
            condition("configuration", ConditionState::Degraded, message)
        }
    }
}

fn of(conditions: Vec<Condition>) -> Readiness {
    let ready = conditions.iter().all(|condition| condition.state != ConditionState::Bad);
    Readiness { ready, conditions }
}

fn condition(
    name: &'static str,
    state: ConditionState,
    message: impl Into<Cow<'static, str>>,
) -> Condition {
    Condition { name: name.into(), state, message: message.into() }
}

// === impl Readiness ===

impl Readiness {
    /// One line for each condition.
    pub fn text(&self) -> String {
        let line = |condition: &Condition| {
            let sign = match condition.state {
                ConditionState::Good => '+',
                ConditionState::Degraded => '~',
                ConditionState::Bad => '-',
            };
            format!("[{sign}] {}: {}\n", condition.name, condition.message)
        };
        let lines: String = self.conditions.iter().map(line).collect();
        format!("{lines}{}\n", if self.ready { "ready" } else { "not ready" })
    }
}

#[cfg(test)]
mod tests;
