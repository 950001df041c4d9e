//! This process gives its place away: to a successor that asks for it, or that it starts itself.
//!
//! A successor that ends, or comes to nothing in time, leaves this process serving; what it has
//! changed in the kernel is put right, for as long as that takes. Once the place is given away there
//! is no way back: then this process only waits for the word that its successor serves.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::App;
use crate::handover::{Cut, Hello, Launch, Launcher, Offer, Request};

/// For a successor that has the listeners: it fills maps, attaches and starts its workers, which
/// takes a second or two. Meanwhile this process follows no change.
const TAKE_OVER: Duration = Duration::from_secs(60);
/// For one that was asked for by an operator and has not asked for anything yet: it reads and
/// compiles. Shorter than `TimeoutStartSec=` of the unit, so that `genkan reload` can say why.
const START: Duration = Duration::from_secs(150);
/// Between a successor's SIGKILL and its end.
const END: Duration = Duration::from_secs(5);
/// For the word of a successor that it serves, once it has the place: it only opens its workers.
const WORD: Duration = Duration::from_secs(10);
/// Between two tries to put the kernel side right.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What became of this process's place.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// A successor has our listeners and is not ready yet: nothing in the kernel is changed by us.
    lent: Option<Lending>,
    /// The operator who has asked for a successor, and that successor.
    replacing: Option<Replacing>,
    /// A successor that gave up has left the kernel side changed.
    damage: Option<Damage>,
    /// A successor has the place and has not said yet that it serves.
    given: Option<Given>,
}

#[derive(Debug)]
pub(super) enum Turn {
    /// The successor that an operator has asked for has ended.
    NotReplaced(String),
    /// A successor takes longer than it may.
    EndSuccessor,
    /// The kernel side is to be put right.
    Mend,
}

#[derive(Debug)]
struct Lending {
    to: i32,
    /// The successor has begun to change what we have in the kernel.
    begun: bool,
    overdue: Instant,
    /// Of the conversation, for a successor that does not end when it is killed. Once.
    cut: Option<Cut>,
    killed: bool,
}

#[derive(Debug)]
struct Replacing {
    /// Until the successor has the place.
    launcher: Option<Launcher>,
    overdue: Instant,
    answer: oneshot::Sender<Result<i32, String>>,
}

#[derive(Debug, Clone, Copy)]
struct Damage {
    due: Instant,
    /// After the next try.
    pause: Duration,
}

#[derive(Debug)]
struct Given {
    to: i32,
    serves: oneshot::Receiver<()>,
    overdue: Instant,
}

// === impl Place ===

impl Place {
    /// Whether the kernel side is ours to change.
    pub(super) fn is_ours(&self) -> bool {
        self.lent.is_none()
    }

    /// Whether the successor was given up: killed, or cut off as well.
    fn has_given_up(&self) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.killed)
    }

    /// Whether the kernel side is also as this process left it.
    pub(super) fn is_whole(&self) -> bool {
        self.is_ours() && self.damage.is_none()
    }

    /// What is to be done next about a successor. Cancel-safe.
    pub(super) async fn turn(&mut self) -> Turn {
        let lent = self.lent.as_ref().map(|lent| lent.overdue);
        // One that has the listeners is judged by the other limit.
        let asked = self.replacing.as_ref().filter(|_| lent.is_none());
        let overdue = lent.or_else(|| asked.map(|replacing| replacing.overdue));
        let damage = self.damage.filter(|_| lent.is_none()).map(|damage| damage.due);
        tokio::select! {
            why = ended(&mut self.replacing) => Turn::NotReplaced(why),
            () = reached(overdue) => Turn::EndSuccessor,
            () = reached(damage) => Turn::Mend,
        }
    }

    fn not_replaced(&mut self, why: &str) {
        tracing::error!("not replaced: {why}");
        if let Some(replacing) = self.replacing.take() {
            let _ = replacing.answer.send(Err(format!("{why}; its log says why")));
        }
    }

    /// Its end gives the place back.
    fn end_successor(&mut self) {
        let Some(lent) = &mut self.lent else {
            if let Some(replacing) = &mut self.replacing {
                tracing::error!(limit = ?patience(START),
                    "the new process does not come to anything and is killed");
                // `ended` tells the rest.
                if let Some(launcher) = &mut replacing.launcher {
                    launcher.kill();
                }
                replacing.overdue = Instant::now() + patience(START);
            }
            return;
        };
        lent.overdue = Instant::now() + END;
        if !lent.killed {
            lent.killed = true;
            tracing::error!(pid = lent.to, limit = ?patience(TAKE_OVER),
                "the successor does not become ready and is killed");
            // Its end of the conversation is open, so the number is still its own. Zero: it is in a
            // process namespace that we do not see.
            if lent.to > 0 && kill(Pid::from_raw(lent.to), Signal::SIGKILL).is_ok() {
                return;
            }
        }
        if let Some(cut) = lent.cut.take() {
            tracing::error!(pid = lent.to, "the successor cannot be killed: it is cut off");
            // It cannot become ready any more, and its next step finds that the maps are not its own.
            cut.now();
        }
    }

    /// Whether a successor has the place that has not said yet that it serves.
    pub(super) fn is_unsure(&self) -> bool {
        self.given.is_some()
    }

    /// Whether the successor serves, once that is known. Cancel-safe.
    pub(super) async fn successor_serves(&mut self) -> bool {
        let Some(given) = &mut self.given else { return std::future::pending().await };
        let word = timeout_at(given.overdue, &mut given.serves).await;
        let (serves, to) = (matches!(word, Ok(Ok(()))), given.to);
        self.given = None;
        if serves {
            if let Some(replacing) = self.replacing.take() {
                let _ = replacing.answer.send(Ok(to));
            }
        } else {
            self.not_replaced("the new process has taken over and does not serve");
        }
        serves
    }
}

// === impl Damage ===

impl Damage {
    fn found() -> Self {
        Self { due: Instant::now(), pause: FIRST_PAUSE }
    }

    fn again(self) -> Self {
        let pause = (self.pause * 2).min(LONGEST_PAUSE);
        Self { due: Instant::now() + self.pause, pause }
    }
}

/// Why the successor that was started is none. Cancel-safe.
async fn ended(replacing: &mut Option<Replacing>) -> String {
    let launcher = replacing.as_mut().and_then(|replacing| replacing.launcher.as_mut());
    let Some(launcher) = launcher else { return std::future::pending().await };
    loop {
        match launcher.next().await {
            Launch::Started(pid) => tracing::info!(pid, "started a successor"),
            Launch::Ended(why) => return format!("the new process {why}"),
        }
    }
}

/// Never without a moment. Cancel-safe.
pub(super) async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// In test builds as short as a test wants it.
fn patience(limit: Duration) -> Duration {
    let asked = cfg!(feature = "testing").then(|| std::env::var("GENKAN_TEST_PATIENCE").ok());
    let seconds = asked.flatten().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(limit, Duration::from_secs)
}

// === impl App ===

impl App {
    /// True: another process serves from here on, and this one has to drain.
    pub(super) async fn give_way(&mut self, request: Request) -> bool {
        match request {
            Request::Lend { hello, pid, cut, answer } => {
                let offer = self.offer(&hello, pid);
                if let Err(reason) = &offer {
                    tracing::warn!(pid, "a successor was refused: {reason}");
                }
                if offer.is_ok() {
                    let overdue = Instant::now() + patience(TAKE_OVER);
                    let lending =
                        Lending { to: pid, begun: false, overdue, cut: Some(cut), killed: false };
                    self.place.lent = Some(lending);
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
            // Its word was on the way. `Abandoned` follows its end.
            Request::Ready { answer, .. } if self.place.has_given_up() => {
                let _ = answer.send(false);
            }
            Request::Ready { answer, serves } => {
                let to = self.place.lent.as_ref().map_or(0, |lent| lent.to);
                tracing::info!(pid = to, "another process has taken over");
                // Before the service manager hears of the successor.
                let launcher = self.place.replacing.as_mut().and_then(|r| r.launcher.take());
                if let Some(launcher) = launcher {
                    launcher.leave();
                }
                self.entrance.retire();
                self.workers.hand_over();
                if let Some(admin) = &self.admin {
                    admin.leave_address();
                }
                self.place.given = Some(Given { to, serves, overdue: Instant::now() + WORD });
                let _ = answer.send(true);
                return true;
            }
        }
        false
    }

    pub(super) async fn follow_successor(&mut self, turn: Turn) {
        match turn {
            Turn::NotReplaced(why) => self.place.not_replaced(&why),
            Turn::EndSuccessor => self.place.end_successor(),
            Turn::Mend => self.mend().await,
        }
    }

    fn offer(&self, hello: &Hello, pid: i32) -> Result<Offer, String> {
        let own = Hello::new(!self.options.no_bpf).map_err(|error| error.to_string())?;
        if let Some(lent) = &self.place.lent {
            return Err(format!("process {} is taking over already", lent.to));
        }
        if own.network != hello.network {
            return Err(
                "it serves another network namespace: choose another --runtime-dir, and a \
                        BPF file system of its own"
                    .into(),
            );
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
        if lent.begun {
            self.place.damage = Some(Damage::found());
        }
        self.mend().await;
    }

    /// Puts right what a successor has changed, and follows what has come meanwhile. What does not
    /// succeed is tried again.
    async fn mend(&mut self) {
        if let Some(damage) = self.place.damage {
            if let Err(error) = self.entrance.take_back(self.configuration.in_force()).await {
                let next = damage.again();
                let again = next.due.saturating_duration_since(Instant::now());
                tracing::error!(?again, "the kernel side is not as it was: {error:#}");
                self.place.damage = Some(next);
                return;
            }
            self.place.damage = None;
            tracing::info!("the kernel side is as it was");
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
        match Launcher::start(&self.options.program, std::env::args_os().skip(1)) {
            Ok(launcher) => {
                let overdue = Instant::now() + patience(START);
                let launcher = Some(launcher);
                self.place.replacing = Some(Replacing { launcher, overdue, answer });
            }
            Err(error) => {
                let _ = answer.send(Err(format!("cannot start a process: {error}")));
            }
        }
    }
}
