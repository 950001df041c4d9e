//! Both ends of a take-over in this process: it takes the place of one that serves, and later gives
//! its own place away.

use std::process::{Child, Command};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::App;
use super::inherited::Inherited;
use crate::cli::RunOptions;
use crate::handover::{
    Claim, HandoverError, Hello, Holder, Leaving, Left, Offer, Predecessor, Request, Staged,
};
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

/// What became of this process's place.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// A successor has our listeners and is not ready yet: nothing in the kernel is changed by us.
    lent: Option<Lending>,
    /// The operator who has asked for a successor, and that successor.
    replacing: Option<Replacing>,
}

#[derive(Debug)]
struct Lending {
    to: i32,
    /// The successor has begun to change what we have in the kernel.
    begun: bool,
}

#[derive(Debug)]
struct Replacing {
    child: Child,
    answer: oneshot::Sender<Result<i32, String>>,
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
        let Some(mut predecessor) = claim.meet(&Hello::new(!options.no_bpf)?)? else {
            return Ok(Inherited::default());
        };
        tracing::info!(pid = predecessor.pid(), "taking over from the process that serves");
        let inherited = Inherited::new(predecessor.take_listeners(), predecessor.take_lock());
        // What follows changes what is the predecessor's.
        predecessor.begun();
        crash_for_a_test("begun");
        self.predecessor = Some(predecessor);
        Ok(inherited)
    }

    /// From here on this process serves and the one before drains.
    pub(super) fn arrived(self, departures: Arc<Departures>) -> Result<Holder, HandoverError> {
        let staged = self.claim.map(Claim::stage).transpose()?;
        crash_for_a_test("ready");
        let took_over = self.predecessor.is_some();
        if let Some(predecessor) = self.predecessor {
            let leaving = predecessor.ready()?;
            tracing::info!(pid = leaving.pid(), "the process before drains");
            see_off(leaving, departures);
        }
        match staged.map(Staged::show) {
            None => Ok(Holder::unreachable()),
            Some(Ok(holder)) => Ok(holder),
            // Nobody else serves now.
            Some(Err(error)) if took_over => {
                tracing::error!("no process can take over from this one: {error}");
                Ok(Holder::unreachable())
            }
            Some(Err(error)) => Err(error),
        }
    }
}

/// In test builds: ends the process at a step of the take-over, as a crash would.
fn crash_for_a_test(step: &str) {
    if cfg!(feature = "testing") && std::env::var("GENKAN_TEST_CRASH").is_ok_and(|at| at == step) {
        tracing::error!("asked to crash by a test");
        std::process::abort();
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

// === impl Place ===

impl Place {
    /// Whether the kernel side is ours to change.
    pub(super) fn is_ours(&self) -> bool {
        self.lent.is_none()
    }

    /// The end of a successor that an operator has asked for. Cancel-safe.
    pub(super) async fn successor_ended(&mut self) -> String {
        loop {
            let Some(replacing) = &mut self.replacing else { return std::future::pending().await };
            match replacing.child.try_wait() {
                Ok(None) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                Ok(Some(status)) => return format!("the new process ended with {status}"),
                Err(error) => return format!("the new process was lost: {error}"),
            }
        }
    }

    pub(super) fn not_replaced(&mut self, why: String) {
        tracing::error!("not replaced: {why}");
        if let Some(replacing) = self.replacing.take() {
            let _ = replacing.answer.send(Err(format!("{why}; its log says why")));
        }
    }
}

// === impl App ===

impl App {
    /// True: another process serves from here on, and this one has to drain.
    pub(super) async fn give_way(&mut self, request: Request) -> bool {
        match request {
            Request::Lend { hello, pid, answer } => {
                let offer = self.offer(&hello, pid);
                if let Err(reason) = &offer {
                    tracing::warn!(pid, "a successor was refused: {reason}");
                }
                if offer.is_ok() {
                    self.place.lent = Some(Lending { to: pid, begun: false });
                }
                let _ = answer.send(offer);
            }
            Request::Begun => {
                if let Some(lent) = &mut self.place.lent {
                    lent.begun = true;
                }
            }
            Request::Abandoned => self.take_back().await,
            Request::Replace { answer } => self.replace(answer),
            Request::Ready { answer } => {
                let to = self.place.lent.as_ref().map_or(0, |lent| lent.to);
                tracing::info!(pid = to, "another process has taken over");
                self.entrance.retire();
                self.workers.hand_over();
                if let Some(admin) = &self.admin {
                    admin.leave_address();
                }
                let _ = answer.send(());
                if let Some(replacing) = self.place.replacing.take() {
                    let _ = replacing.answer.send(Ok(to));
                }
                return true;
            }
        }
        false
    }

    fn offer(&self, hello: &Hello, pid: i32) -> Result<Offer, String> {
        let own = Hello::new(!self.options.no_bpf).map_err(|error| error.to_string())?;
        if let Some(lent) = &self.place.lent {
            return Err(format!("process {} is taking over already", lent.to));
        }
        if own.network != hello.network {
            return Err("it serves another network namespace: choose another --runtime-dir, and a \
                        BPF file system of its own"
                .into());
        }
        if own.steered != hello.steered {
            return Err("one of both runs with --no-bpf: stop it first".into());
        }
        let listeners = self.workers.lend().map_err(|error| error.to_string())?;
        let lock = self.entrance.share_hold().map_err(|error| error.to_string())?;
        tracing::info!(pid, listeners = listeners.len(), "a successor has the listeners");
        Ok(Offer { listeners, drain: self.configuration.in_force().timeouts.drain, lock })
    }

    async fn take_back(&mut self) {
        let Some(lent) = self.place.lent.take() else { return };
        tracing::warn!(pid = lent.to, "the successor ended before it served; nothing has changed");
        if lent.begun
            && let Err(error) = self.entrance.take_back(self.configuration.in_force()).await
        {
            tracing::error!("the kernel side is not as it was: {error:#}");
        }
        // What came meanwhile was left to the successor.
        self.reread().await;
    }

    /// Starts the program anew, as it is on disk now; it takes over as any successor does.
    fn replace(&mut self, answer: oneshot::Sender<Result<i32, String>>) {
        if self.place.replacing.is_some() {
            let _ = answer.send(Err("a new process is starting already".to_owned()));
            return;
        }
        let mut command = Command::new(&self.options.program);
        command.args(std::env::args_os().skip(1)).env_remove("WATCHDOG_PID");
        command.stdin(std::process::Stdio::null());
        match command.spawn() {
            Ok(child) => {
                tracing::info!(pid = child.id(), "started a successor");
                self.place.replacing = Some(Replacing { child, answer });
            }
            Err(error) => {
                let program = self.options.program.display();
                let _ = answer.send(Err(format!("cannot start {program}: {error}")));
            }
        }
    }
}
