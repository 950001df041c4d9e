//! The build script's choice of a compiler for the kernel programs, on machines that are not this
//! one.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

#[path = "../build/choice.rs"]
#[allow(unreachable_pub, reason = "part of the build script")]
mod choice;

use choice::{Choice, DISTRIBUTION, Machine, Wishes, choose};

const HOST: &str = "/toolchain/bin/rustc";
const OWN: &str = "/opt/rust/bin/rustc";

/// What each compiler has; and what was asked.
#[derive(Default)]
struct Table {
    core: Vec<&'static str>,
    sources: Vec<&'static str>,
    nightly: bool,
    asked: RefCell<Vec<String>>,
}

impl Machine for Table {
    fn exists(&self, rustc: &Path) -> bool {
        self.holds(&self.core, rustc) || self.holds(&self.sources, rustc)
    }

    fn has_core(&self, rustc: &Path) -> bool {
        self.asked.borrow_mut().push(format!("core of {}", rustc.display()));
        self.holds(&self.core, rustc)
    }

    fn has_sources(&self, rustc: &Path) -> bool {
        self.asked.borrow_mut().push(format!("sources of {}", rustc.display()));
        self.holds(&self.sources, rustc)
    }

    fn has_nightly(&self) -> bool {
        self.asked.borrow_mut().push("nightly".to_owned());
        self.nightly
    }
}

impl Table {
    fn holds(&self, list: &[&str], rustc: &Path) -> bool {
        list.iter().any(|known| Path::new(known) == rustc)
    }
}

fn chosen(wishes: &Wishes, machine: &Table) -> Choice {
    choose(wishes, Path::new(HOST), machine).expect("a choice")
}

fn prebuilt(rustc: &str, why: &'static str) -> Choice {
    Choice::Prebuilt(PathBuf::from(rustc), why)
}

fn sources(rustc: &str, why: &'static str) -> Choice {
    Choice::Sources(PathBuf::from(rustc), why)
}

/// A machine that has everything.
fn rich() -> Table {
    let all = || vec![HOST, DISTRIBUTION[0], DISTRIBUTION[1], OWN];
    Table { core: all(), sources: all(), nightly: true, ..Table::default() }
}

#[test]
fn skipping_wins_over_everything_and_asks_nothing() {
    let (object, rustc) = (Some("x.o".into()), Some(OWN.into()));
    let machine = rich();
    assert_eq!(chosen(&Wishes { skip: true, object, rustc }, &machine), Choice::Nothing);
    assert!(machine.asked.borrow().is_empty());
}

#[test]
fn a_given_object_wins_over_every_compiler_and_asks_nothing() {
    let wishes = Wishes { object: Some("x.o".into()), rustc: Some(OWN.into()), skip: false };
    let machine = rich();
    assert_eq!(chosen(&wishes, &machine), Choice::Given("x.o".into()));
    assert!(machine.asked.borrow().is_empty());
}

#[test]
fn a_given_compiler_is_used_as_it_can_be() {
    let wishes = Wishes { rustc: Some(OWN.into()), ..Wishes::default() };
    let why = "from GENKAN_BPF_RUSTC";
    for (core, has_sources, wanted) in [
        (vec![OWN], vec![OWN], prebuilt(OWN, why)),
        (vec![OWN], vec![], prebuilt(OWN, why)),
        (vec![HOST], vec![OWN], sources(OWN, why)),
        // It is tried: no other compiler takes its place behind the back of who has named it.
        (vec![HOST], vec![], prebuilt(OWN, why)),
    ] {
        let machine = Table { core, sources: has_sources, nightly: true, ..Table::default() };
        assert_eq!(chosen(&wishes, &machine), wanted);
    }
}

#[test]
fn a_prebuilt_core_of_the_host_compiler_comes_next() {
    let machine = rich();
    assert_eq!(chosen(&Wishes::default(), &machine), prebuilt(HOST, "prebuilt core"));
    assert_eq!(*machine.asked.borrow(), [format!("core of {HOST}")], "and nobody else is asked");
}

#[test]
fn then_that_of_a_distribution_compiler() {
    for rustc in DISTRIBUTION {
        let machine = Table { core: vec![rustc], sources: vec![HOST], ..Table::default() };
        let wanted = prebuilt(rustc, "prebuilt core of the distribution");
        assert_eq!(chosen(&Wishes::default(), &machine), wanted);
    }
    let machine = Table { core: DISTRIBUTION.to_vec(), ..Table::default() };
    let wanted = prebuilt(DISTRIBUTION[0], "prebuilt core of the distribution");
    assert_eq!(chosen(&Wishes::default(), &machine), wanted);
}

#[test]
fn then_the_sources_of_the_host_compiler() {
    // A distribution's compiler counts with a prebuilt core only.
    let machine = Table { sources: vec![HOST, DISTRIBUTION[0]], nightly: true, ..Table::default() };
    assert_eq!(chosen(&Wishes::default(), &machine), sources(HOST, "core from rust-src"));
    assert!(!machine.asked.borrow().contains(&"nightly".to_owned()));
}

#[test]
fn then_a_nightly_with_sources() {
    let machine = Table { nightly: true, ..Table::default() };
    assert_eq!(chosen(&Wishes::default(), &machine), Choice::Nightly);
}

#[test]
fn without_any_the_reason_has_the_commands_that_help() {
    let reason = choose(&Wishes::default(), Path::new(HOST), &Table::default()).unwrap_err();
    let lines: Vec<&str> = reason.lines().collect();
    assert!(lines[0].contains(HOST), "{reason}");
    assert_eq!(
        lines[1..],
        [
            "One of these helps:",
            "rustup component add rust-src",
            "apt install rustc-web libstd-rust-web-dev-bpf",
            "GENKAN_BPF_OBJECT=<a genkan.bpf.o of this version> cargo build",
            "Without kernel programs: GENKAN_BPF_SKIP=1 cargo build",
        ]
    );
}
