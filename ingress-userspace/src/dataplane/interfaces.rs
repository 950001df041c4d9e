//! The devices of the configuration: each is found, attached to and reported; those that are no
//! longer configured are let go.

use std::collections::BTreeSet;

use super::report::InterfaceReport;
use super::{Dataplane, DataplaneError, Steer, attach};
use crate::config::Config;
use crate::net::interface::{self, Interface};

/// Bytes of a packet whose length its header can say, and the kernel's limit for GRO by default.
const LONGEST_PACKET: u32 = 1 << 16;

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
            None => {
                let steer = attach::steer(&mut self.ebpf, &self.pins, facts)?;
                if gets_packets_without_length(facts, &steer) {
                    tracing::warn!(
                        target: "genkan::dataplane",
                        interface = facts.name,
                        gro_max_size = facts.gro,
                        "generic XDP drops packets of more than 64 KiB that GRO makes of several: \
                         set gro_max_size and gro_ipv4_max_size of the device to {LONGEST_PACKET}"
                    );
                }
                steer
            }
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

/// Generic XDP comes after GRO. What that makes longer than a header can say (BIG TCP) has a length
/// of zero, and is dropped like any other packet that is cut; native XDP sees what is on the wire.
fn gets_packets_without_length(facts: &Interface, steer: &Steer) -> bool {
    matches!(steer, Steer::Generic { .. }) && facts.gro > LONGEST_PACKET
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generic_xdp_meets_what_gro_has_made_too_long() {
        let facts = |gro| Interface {
            name: "eth0".to_owned(),
            index: 2,
            mtu: 1500,
            gro,
            driver: None,
            xdp: None,
        };
        let generic = Steer::Generic { reason: "it has no native XDP".to_owned() };
        assert!(gets_packets_without_length(&facts(1 << 17), &generic));
        assert!(!gets_packets_without_length(&facts(1 << 16), &generic));
        assert!(!gets_packets_without_length(&facts(0), &generic));
        assert!(!gets_packets_without_length(&facts(1 << 17), &Steer::Native));
    }
}
