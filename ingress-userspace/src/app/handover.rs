//! This process takes the place of one that serves. How it gives its own away: `place`.

use std::sync::Arc;

use super::inherited::Inherited;
use crate::cli::RunOptions;
use crate::handover::{Claim, HandoverError, Hello, Holder, Leaving, Left, Predecessor, Staged};
use crate::metrics::{Counter, Exposition};

/// The place of this process, before it serves.
pub(super) struct Arrival {
    /// Absent: there is no runtime directory, so nobody can be found.
    claim: Option<Claim>,
    predecessor: Option<Predecessor>,
}

/// How the processes ended whose place this one has taken. Written by the thread that waits for them.
#[derive(Debug, Default)]
pub(super) struct Departures {
    by_themselves: Counter,
    killed: Counter,
    out_of_reach: Counter,
}

/// The place of this process, as soon as nobody else has it.
pub(super) struct Taken {
    /// Absent: there is no runtime directory.
    staged: Option<Staged>,
    leaving: Option<Leaving>,
}

// === impl Arrival ===

impl Arrival {
    /// Before anything else: two processes must not start at the same time.
    pub(super) fn begin(options: &RunOptions) -> Result<Self, HandoverError> {
        let claim = match Claim::begin(&options.runtime_dir) {
            Ok(claim) => Some(claim),
            Err(error @ HandoverError::Directory { .. }) => {
                tracing::warn!("no process can take over from this one: {error}");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { claim, predecessor: None })
    }

    /// Whether the listeners are those of a process that serves.
    pub(super) fn takes_over(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Whether nobody serves so far.
    pub(super) fn is_first(&self) -> bool {
        self.claim.as_ref().is_none_or(Claim::is_first)
    }

    /// The listeners of the process that serves. To be asked for when nothing is left that could
    /// keep this process from serving.
    pub(super) fn meet(&mut self, options: &RunOptions) -> anyhow::Result<Inherited> {
        let Some(claim) = &self.claim else { return Ok(Inherited::default()) };
        if !claim.is_first() {
            at_a_step("asking");
        }
        let Some(mut predecessor) = claim.meet(&Hello::new(!options.no_bpf)?)? else {
            return Ok(Inherited::default());
        };
        tracing::info!(pid = predecessor.pid(), "taking over from the process that serves");
        let inherited = Inherited::new(predecessor.take_listeners(), predecessor.take_lock());
        // What follows changes what is the predecessor's.
        predecessor.begun();
        at_a_step("begun");
        self.predecessor = Some(predecessor);
        Ok(inherited)
    }

    /// From here on nobody but this process may serve: the one before drains.
    pub(super) fn take_place(self) -> Result<Taken, HandoverError> {
        let staged = self.claim.map(Claim::stage).transpose()?;
        let Some(predecessor) = self.predecessor else {
            return Ok(Taken { staged, leaving: None });
        };
        at_a_step("ready");
        let leaving = predecessor.ready()?;
        tracing::info!(pid = leaving.pid(), "the process before drains");
        at_a_step("yielded");
        Ok(Taken { staged, leaving: Some(leaving) })
    }
}

// === impl Taken ===

impl Taken {
    /// Lets others find this process, and the next one start. One that cannot be found serves too:
    /// nobody else does any more.
    pub(super) fn show(&mut self) -> Holder {
        match self.staged.take().map(Staged::show) {
            Some(Ok(holder)) => return holder,
            Some(Err(error)) => tracing::error!("no process can take over from this one: {error}"),
            None => {}
        }
        Holder::unreachable()
    }

    /// To be said when this process accepts and the service manager knows.
    pub(super) fn serves(self, departures: Arc<Departures>) {
        if let Some(leaving) = self.leaving {
            leaving.serves();
            see_off(leaving, departures);
        }
    }
}

/// In test builds: ends the process at a step of the take-over, as a crash would, or keeps it there.
fn at_a_step(step: &str) {
    if !cfg!(feature = "testing") {
        return;
    }
    let asked = |what| std::env::var(what).is_ok_and(|at| at == step);
    if asked("GENKAN_TEST_CRASH") {
        tracing::error!("asked to crash by a test");
        std::process::abort();
    }
    while asked("GENKAN_TEST_HANG") {
        std::thread::park();
    }
}

/// Waits for the end of the process before, beside everything else.
fn see_off(leaving: Leaving, departures: Arc<Departures>) {
    let wait = move || {
        let pid = leaving.pid();
        match leaving.wait() {
            Left::ByItself => {
                departures.by_themselves.add(1);
                tracing::info!(pid, "the process before has ended");
            }
            Left::Killed => {
                departures.killed.add(1);
                tracing::warn!(pid, "the process before did not end in time and was killed");
            }
            Left::OutOfReach => {
                departures.out_of_reach.add(1);
                tracing::error!(pid, "the process before did not end in time and cannot be killed");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("see-off".to_owned()).spawn(wait) {
        tracing::warn!("nobody waits for the end of the process before: {error}");
    }
}

// === impl Departures ===

impl Departures {
    pub(super) fn export(&self, out: &mut Exposition) {
        out.counter(
            "genkan_predecessors",
            "Processes whose place this one has taken, by their end.",
        )
        .number(&[("end", "drained")], self.by_themselves.value())
        .number(&[("end", "killed")], self.killed.value())
        .number(&[("end", "none")], self.out_of_reach.value());
    }
}
