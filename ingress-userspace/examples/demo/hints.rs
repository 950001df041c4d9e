//! How to use a lab that stays up.

use std::sync::atomic::{AtomicBool, Ordering};

use genkan::testing::lab::EdgeLab;

use crate::stage::Stage;

/// Whether the play is over and the lab only waits to be told to end.
pub(crate) static STANDING: AtomicBool = AtomicBool::new(false);

/// The line that tells `cargo xtask demo --keep` that the lab stands.
const STANDS: &str = "the lab stays up";

pub(crate) fn print(stage: &Stage) {
    let client = stage.story.lab.client.enter_hint();
    let edge = stage.story.lab.edge.enter_hint();
    let (v4, v6) = (EdgeLab::VIP4, EdgeLab::VIP6);
    let ca = stage.ca_file();
    println!("\nFrom the client:");
    println!("  {client} curl -H 'Host: fanout.example.com' http://{v4}/api/items");
    println!("  {client} curl -g -H 'Host: one.example.com' 'http://[{v6}]/'");
    println!(
        "  {client} curl --cacert {} --resolve shop.example.com:443:{v4} https://shop.example.com/",
        ca.display()
    );
    println!("At the edge:");
    println!("  {edge} ip -d link show dev {}", EdgeLab::UPLINK);
    println!("  {edge} ss -ltn");
    println!("Manifests that are served, edit them:");
    println!("  {}", stage.story.manifests.directory().display());
    println!("Configuration, reloaded when it changes:");
    println!("  {}", stage.story.config_file().display());
    STANDING.store(true, Ordering::Release);
    println!("{STANDS}; `cargo xtask demo --down` removes it");
}
