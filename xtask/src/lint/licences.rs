//! Licences, bans and advisories of all dependencies, by cargo-deny and `deny.toml`.

use std::time::Duration;

use anyhow::{Result, bail};

use super::Outcome;
use crate::program::{self, Program};
use crate::progress::Step;
use crate::setup::DENY;

/// A network that swallows packets must not hold up the rest.
const FETCH: Duration = Duration::from_secs(60);

pub(super) fn check(step: &Step) -> Result<Outcome> {
    if !program::exists(DENY) {
        bail!("{DENY} is missing; `cargo xtask setup` installs it");
    }
    deny(&["licenses", "bans", "sources"]).checked(step, "lint-licences")?;
    let fetch = Program::new(DENY).args(["fetch", "db"]).limit(FETCH);
    if !fetch.logged(step, "lint-advisories-fetch")?.success {
        let lack = "without advisories: their database can't be fetched from here";
        return Ok(Outcome::Passed(lack.to_owned()));
    }
    deny(&["advisories"]).checked(step, "lint-advisories")?;
    Ok(Outcome::Passed("with advisories".to_owned()))
}

fn deny(checks: &[&str]) -> Program {
    Program::new(DENY).args(["--locked", "check", "--hide-inclusion-graph"]).args(checks)
}
