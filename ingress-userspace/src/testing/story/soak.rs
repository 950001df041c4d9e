//! A long story: mixed load while objects, certificates, endpoints and rules change five times a
//! second and processes replace each other. Nothing may be lost, and nothing may grow.

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, Map};
use ingress_common::map;
use ingress_common::policy::{RuleKey4, RuleKey6};
use ingress_common::vip::VIP_SLOTS;

use super::kernel::pinned;
use super::{Load, Story};
use crate::testing::lab::Process;

/// How long it lasts and how many processes replace each other.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub duration: Duration,
    pub take_overs: u32,
}

/// What is known so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub elapsed: Duration,
    pub requests: u64,
    pub messages: u64,
    /// Requests and messages without their answer.
    pub failed: u64,
    /// Connections that ended unannounced.
    pub dropped: u64,
    /// Connections that ended as announced.
    pub goodbyes: u64,
    pub edits: u64,
    pub take_overs: u32,
}

/// What the serving process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes.
    pub resident: u64,
    pub descriptors: usize,
    pub threads: usize,
    /// Of VIPs and source rules in the kernel's maps.
    pub map_entries: usize,
    pub listeners: usize,
    pub pins: usize,
}

/// The end of it.
#[derive(Debug)]
pub struct Summary {
    pub progress: Progress,
    pub before: Footprint,
    pub after: Footprint,
    /// What was not as it should be.
    pub complaints: Vec<String>,
}

/// Five edits a second.
const EDIT: Duration = Duration::from_millis(200);
/// Load before the first look at the footprint, and after the last take-over.
const WARM_UP: Duration = Duration::from_secs(8);
const PODS: usize = 3;
/// What a process may grow by, beside half of what it was.
const SLACK: u64 = 32 << 20;

struct Soak {
    load: Load,
    plan: Plan,
    begun: Instant,
    leaving: Vec<Process>,
    complaints: Vec<String>,
    edits: u64,
    take_overs: u32,
}

/// Runs it. `report` is called about once a second.
pub fn soak(program: impl AsRef<Path>, plan: Plan, mut report: impl FnMut(&Progress)) -> Summary {
    let mut load = Load::new(program, PODS);
    load.story.configure(|config| config.timeouts.drain = Duration::from_secs(30));
    load.story.start();
    let mix = load.mix();
    load.start_traffic(mix);
    let mut soak = Soak {
        load,
        plan,
        begun: Instant::now(),
        leaving: Vec::new(),
        complaints: Vec::new(),
        edits: 0,
        take_overs: 0,
    };
    soak.go_on_until(WARM_UP.min(plan.duration / 4), &mut report);
    let before = Footprint::of(&mut soak.load.story);
    soak.go_on_until(plan.duration, &mut report);
    soak.see_everybody_off();
    soak.write_services(&[0, 1, 2]);
    let after = Footprint::of(&mut soak.load.story);
    let tally = soak.load.finish();
    if let Some(failure) = tally.first_failure() {
        soak.complaints.push(format!("first failure: {failure}"));
    }
    let progress = soak.progress(&tally);
    soak.judge(progress, before, after)
}

// === impl Soak ===

impl Soak {
    fn go_on_until(&mut self, end: Duration, report: &mut impl FnMut(&Progress)) {
        let mut reported = Duration::ZERO;
        while self.begun.elapsed() < end {
            let next = Instant::now() + EDIT;
            self.edit();
            self.take_over_when_due();
            self.part();
            let elapsed = self.begun.elapsed();
            if elapsed >= reported + Duration::from_secs(1) {
                reported = elapsed;
                for backend in self.load.story.backends.iter().chain([&self.load.grpc]) {
                    backend.clear_requests();
                }
                report(&self.progress(self.load.traffic().tally()));
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// One change, each time of another kind.
    fn edit(&mut self) {
        let edit = self.edits;
        self.edits += 1;
        let story = &mut self.load.story;
        match edit % 4 {
            0 => {
                let path = format!("/edit-{edit}");
                let host = format!("edit-{edit}.example");
                let edited = Load::ingress().rule(Load::HOST, &path, "pod-0");
                story.manifests.write("shop.yaml", &edited.rule(&host, "/", "pod-1").yaml());
            }
            1 => {
                let leaf = self.load.ca.issue(&[Load::HOST]);
                story.manifests.write("secret.yaml", &leaf.secret_yaml("default", "shop"));
            }
            2 => {
                let out = usize::try_from(edit / 4 % PODS as u64).unwrap_or_default();
                let rest: Vec<usize> = (0..PODS).filter(|&pod| pod != out).collect();
                self.write_services(&rest);
            }
            _ => {
                let outsider = |n: u64| format!("198.51.{}.0/24", n % 250).parse().unwrap();
                story.configure_vip(|vip| vip.deny = vec![outsider(edit), outsider(edit + 1)]);
            }
        }
    }

    fn write_services(&self, pods: &[usize]) {
        let story = &self.load.story;
        let services = ["pod-0", "pod-1"].into_iter().zip([[0], [1]]);
        let mut documents = vec![story.service_yaml("pods", pods)];
        documents.extend(services.map(|(name, pods)| story.service_yaml(name, &pods)));
        story.manifests.write("pods.yaml", &documents.join("---\n"));
    }

    /// Evenly over the time, none in the last part.
    fn take_over_when_due(&mut self) {
        let apart = self.plan.duration / (self.plan.take_overs + 1).max(1);
        if self.take_overs < self.plan.take_overs
            && self.begun.elapsed() >= apart * (self.take_overs + 1)
        {
            self.take_overs += 1;
            let old = self.load.story.start_successor();
            self.leaving.push(old);
        }
    }

    /// Looks who has ended, and how.
    fn part(&mut self) {
        let mut still = Vec::new();
        for mut process in std::mem::take(&mut self.leaving) {
            if process.is_running() {
                still.push(process);
                continue;
            }
            let status = process.wait(Duration::from_secs(1));
            let log = process.output();
            if status.code() != Some(0) || log.contains("cut at the end") || log.contains("ERROR") {
                self.complaints.push(format!("a process left with {status}: {}", last_lines(&log)));
            }
        }
        self.leaving = still;
    }

    fn see_everybody_off(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.leaving.is_empty() && Instant::now() < end {
            self.part();
            std::thread::sleep(EDIT);
        }
        if !self.leaving.is_empty() {
            self.complaints.push(format!("{} processes do not end", self.leaving.len()));
        }
    }

    fn progress(&self, tally: &crate::testing::traffic::Tally) -> Progress {
        Progress {
            elapsed: self.begun.elapsed(),
            requests: tally.requests.load(Ordering::Relaxed),
            messages: tally.messages.load(Ordering::Relaxed),
            failed: tally.failed.load(Ordering::Relaxed),
            dropped: tally.closed.load(Ordering::Relaxed),
            goodbyes: tally.goodbyes.load(Ordering::Relaxed),
            edits: self.edits,
            take_overs: self.take_overs,
        }
    }

    fn judge(mut self, progress: Progress, before: Footprint, after: Footprint) -> Summary {
        let complaints = &mut self.complaints;
        if progress.failed > 0 {
            complaints.push(format!("{} requests failed", progress.failed));
        }
        if progress.dropped > 0 {
            complaints.push(format!("{} connections were dropped", progress.dropped));
        }
        if progress.take_overs < self.plan.take_overs {
            complaints.push(format!("only {} take-overs", progress.take_overs));
        }
        if after.resident > before.resident + before.resident / 2 + SLACK {
            complaints.push("the process has grown".to_owned());
        }
        if after.descriptors > before.descriptors + 64 || after.threads > before.threads + 4 {
            complaints.push("descriptors or threads are left over".to_owned());
        }
        let kernel = |of: &Footprint| (of.listeners, of.pins);
        if kernel(&before) != kernel(&after) || after.map_entries > before.map_entries + 2 {
            complaints.push("something is left over in the kernel".to_owned());
        }
        Summary { progress, before, after, complaints: self.complaints }
    }
}

// === impl Footprint ===

impl Footprint {
    fn of(story: &mut Story) -> Self {
        let process = format!("/proc/{}", story.process().id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Self {
            resident: field("VmRSS:") << 10,
            descriptors: std::fs::read_dir(format!("{process}/fd")).unwrap().count(),
            threads: usize::try_from(field("Threads:")).unwrap_or(usize::MAX),
            map_entries: map_entries(story),
            listeners: story.edge().output("ss", &["-Hltn"]).lines().count(),
            pins: story.pins().len(),
        }
    }
}

fn map_entries(story: &Story) -> usize {
    story.edge().run(|| {
        let slots = Array::<_, u32>::try_from(Map::Array(pinned(map::VIP_SLOTS))).unwrap();
        let taken = (0..VIP_SLOTS).filter(|slot| slots.get(slot, 0).unwrap() != 0).count();
        let rules4 = Map::LpmTrie(pinned(map::RULES4));
        let rules4 = LpmTrie::<_, RuleKey4, u32>::try_from(rules4).unwrap();
        let rules6 = Map::LpmTrie(pinned(map::RULES6));
        let rules6 = LpmTrie::<_, RuleKey6, u32>::try_from(rules6).unwrap();
        taken + rules4.keys().count() + rules6.keys().count()
    })
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} s, {} requests, {} messages, {} failed, {} dropped, {} goodbyes, {} edits, {} \
             take-overs",
            self.elapsed.as_secs(),
            self.requests,
            self.messages,
            self.failed,
            self.dropped,
            self.goodbyes,
            self.edits,
            self.take_overs
        )
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RSS {:.1} MiB, {} descriptors, {} threads, {} map entries, {} listeners, {} pins",
            self.resident as f64 / f64::from(1 << 20),
            self.descriptors,
            self.threads,
            self.map_entries,
            self.listeners,
            self.pins
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.progress)?;
        writeln!(f, "before: {}", self.before)?;
        writeln!(f, "after:  {}", self.after)?;
        for complaint in &self.complaints {
            writeln!(f, "complaint: {complaint}")?;
        }
        Ok(())
    }
}
