//! The devices of the configuration: each is found, attached to and reported; those that are no
//! longer configured are let go.

use std::collections::BTreeSet;

use super::report::InterfaceReport;
use super::{Dataplane, DataplaneError, Steer, attach};
use crate::config::Config;
use crate::net::interface::{self, Interface};

impl Dataplane {
    /// Attaches to every configured device that is there, and leaves those no longer configured.
    pub(super) async fn attach_interfaces(
        &mut self,
        config: &Config,
    ) -> Result<(), DataplaneError> {
        let wanted: BTreeSet<&str> =
            config.vips.iter().flat_map(|vip| &vip.interfaces).map(String::as_str).collect();
        let before = self.report.interfaces.clone();
        let mut reports = Vec::new();
        for name in wanted {
            let found = interface::find(name).await.map_err(|error| {
                DataplaneError::netlink(format!("ask for the interface {name}"), error)
            })?;
            let known = before.iter().find(|report| report.name == name);
            let report = match found {
                Some(facts) => self.attach_interface(&facts, known)?,
                None => InterfaceReport {
                    name: name.to_owned(),
                    index: 0,
                    mtu: 0,
                    driver: None,
                    steer: Steer::Not { reason: "there is no such interface".to_owned() },
                },
            };
            if known.is_none_or(|known| known.steer != report.steer) {
                tracing::info!(
                    target: "genkan::dataplane",
                    interface = name,
                    steer = %report.steer,
                    "XDP"
                );
            }
            reports.push(report);
        }
        for (index, _) in self.pins.steers() {
            if !reports.iter().any(|report| report.index == index) {
                attach::release(&self.pins, index)?;
            }
        }
        self.report.interfaces = reports;
        Ok(())
    }

    fn attach_interface(
        &mut self,
        facts: &Interface,
        known: Option<&InterfaceReport>,
    ) -> Result<InterfaceReport, DataplaneError> {
        let attached = known.filter(|known| {
            known.index == facts.index && known.steer.is_attached() && facts.xdp.is_some()
        });
        let steer = match attached {
            Some(known) => known.steer.clone(),
            None => attach::steer(&mut self.ebpf, &self.pins, facts)?,
        };
        Ok(InterfaceReport {
            name: facts.name.clone(),
            index: facts.index,
            mtu: facts.mtu,
            driver: facts.driver.clone(),
            steer,
        })
    }
}
