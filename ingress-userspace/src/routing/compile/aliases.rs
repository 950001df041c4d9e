//! `server-alias`: more names for the rules of a host.
//!
//! An alias is served by the routes of the host that it stands for, the very same ones. It gives
//! way to rules of its own name, whoever has them, and belongs to the first Ingress that wants it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{HostPattern, Reason, RuleId};
use crate::routing::snapshot::HostCertificate;

use super::Compiler;
use super::ledger::Source;
use super::record::{Order, Record, host_name};
use super::tls;

#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// Who wants a name, and for which host; in C1 order.
    claims: BTreeMap<HostPattern, BTreeSet<(Order, HostPattern)>>,
    /// The host that a served alias stands for, and the other way round.
    hosts: BTreeMap<HostPattern, HostPattern>,
    followers: BTreeMap<HostPattern, BTreeSet<HostPattern>>,
}

// === impl Aliases ===

impl Aliases {
    pub(super) fn claim(&mut self, order: &Order, alias: HostPattern, host: HostPattern) {
        self.claims.entry(alias).or_default().insert((order.clone(), host));
    }

    pub(super) fn withdraw(&mut self, order: &Order, alias: &HostPattern, host: &HostPattern) {
        let Some(claims) = self.claims.get_mut(alias) else { return };
        claims.remove(&(order.clone(), host.clone()));
        if claims.is_empty() {
            self.claims.remove(alias);
        }
    }

    /// Those that a compiled host may have changed.
    pub(super) fn touched<'a>(
        &'a self,
        host: &HostPattern,
    ) -> impl Iterator<Item = &'a HostPattern> {
        let own = self.claims.get_key_value(host).map(|(alias, _)| alias);
        self.followers.get(host).into_iter().flatten().chain(own)
    }

    /// The host whose routes an alias has.
    pub(super) fn stands_for(&self, alias: &HostPattern) -> Option<&HostPattern> {
        self.hosts.get(alias)
    }

    fn set(&mut self, alias: &HostPattern, host: Option<&HostPattern>) {
        if let Some(old) = self.hosts.remove(alias)
            && let Some(followers) = self.followers.get_mut(&old)
        {
            followers.remove(alias);
            if followers.is_empty() {
                self.followers.remove(&old);
            }
        }
        if let Some(host) = host {
            self.hosts.insert(alias.clone(), host.clone());
            self.followers.entry(host.clone()).or_default().insert(alias.clone());
        }
    }
}

// === impl Record ===

impl Record {
    /// Each alias with the host that it stands for: the first one with rules here.
    pub(super) fn aliases(&self) -> impl Iterator<Item = (&HostPattern, &HostPattern)> {
        let mut hosts = self.ingress.rules.iter().map(|rule| &rule.host);
        let host = hosts.find(|host| **host != HostPattern::Any).filter(|_| !self.is_canary());
        let aliases = self.ingress.options.aliases.iter();
        host.into_iter().flat_map(move |host| aliases.clone().map(move |alias| (alias, host)))
    }
}

// === impl Compiler ===

impl Compiler {
    /// To be called after the hosts: an alias shows what they are now.
    pub(super) fn compile_alias(&mut self, alias: &HostPattern) {
        let serves = |record: &&Record| record.has_rules_for(alias) && !record.is_canary();
        let owner = self.members(alias).into_iter().find(serves).map(|r| r.order.object.clone());
        let claims = self.aliases.claims.get(alias).into_iter().flatten();
        let mut claims = claims
            .filter_map(|(order, host)| Some((&*self.ingresses.get(&order.object)?.record, host)));
        let winner = if owner.is_some() { None } else { claims.next() };
        let object = owner.or_else(|| Some(winner?.0.order.object.clone()));
        let mut problems = Vec::new();
        for (record, host) in claims {
            if winner.is_some_and(|(_, other)| other == host) {
                continue;
            }
            let Some(object) = &object else { continue };
            let why = format!("{} belongs to {object}; this alias is ignored", host_name(alias));
            let field = "metadata.annotations[server-alias]".to_owned();
            problems.push(record.problem(field, Reason::ConflictingHost, why).by(RuleId::C4));
        }
        let host = winner.map(|(_, host)| host.clone());
        self.ledger.set(Source::Alias(alias.clone()), problems);
        self.aliases.set(alias, host.as_ref());
        self.show_alias(alias, host.as_ref());
    }

    fn show_alias(&mut self, alias: &HostPattern, host: Option<&HostPattern>) {
        let routes = host.and_then(|host| self.snapshot.hosts.of(host)).cloned();
        self.snapshot.aliases.set(alias, routes);
        if self.hosts.contains_key(alias) {
            // It has a `tls` entry or rules of its own, which decide about its certificate.
            return;
        }
        let certificate = host.and_then(|host| self.snapshot.certificates.of(host)).cloned();
        let covering = certificate.filter(|certificate| match certificate {
            HostCertificate::Own(shown) => {
                self.secrets.showing(shown.pair()).is_some_and(|secret| tls::covers(secret, alias))
            }
            HostCertificate::Default => false,
        });
        self.snapshot.certificates.set(alias, covering);
    }
}
