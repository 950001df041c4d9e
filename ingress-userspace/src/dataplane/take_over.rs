//! How the kernel side comes to a process: from nobody, from a process that ended, or from one that
//! still serves.
//!
//! [`Prepared::load`] does all that can fail for reasons of this process (the verifier, the
//! configuration) and changes nothing. [`Prepared::take_over`] changes what is there, step by step,
//! each of them harmless to whoever serves meanwhile. When a successor gives up halfway, the process
//! before puts things right by [`Dataplane::take_back`].

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;

use ingress_common::worker::Load;

use super::maps::Maps;
use super::plan::{Operation, Placement, Plan};
use super::{
    Dataplane, DataplaneError, KernelLog, Options, Pins, Report, Steps, attach, cpus, load,
    local_routes,
};
use crate::config::Config;
use crate::net::listen::Family;
use crate::net::load::LoadBoard;

/// Kernel programs that passed the verifier, and maps for them. Nothing is attached.
pub struct Prepared {
    loaded: load::Loaded,
    pins: Pins,
    workers: Vec<u32>,
    kernel_log: Option<KernelLog>,
}

// === impl Prepared ===

impl Prepared {
    /// `workers`: the CPU of each worker.
    pub fn load(
        config: &Config,
        workers: &[u32],
        options: Options,
    ) -> Result<Self, DataplaneError> {
        let placement = Placement { workers, cpus: cpus()? };
        Plan::default().next(&config.vips, &config.steering, placement)?;
        let Options { pins, debug } = options;
        let mut loaded = load::load(&pins, debug)?;
        let kernel_log = if debug { Some(KernelLog::new(&mut loaded.ebpf)?) } else { None };
        Ok(Self { loaded, pins, workers: workers.to_vec(), kernel_log })
    }

    /// Fills the maps and attaches the programs in the place of earlier ones. `listeners`: those of
    /// the process before, by worker; they are in the socket map from the first moment on.
    ///
    /// Runs in the network namespace of the calling thread, on a tokio runtime. The load of the
    /// workers is published by [`Dataplane::settle`].
    pub async fn take_over(
        self,
        config: &Config,
        listeners: &[(usize, &TcpListener)],
    ) -> Result<Dataplane, DataplaneError> {
        let Self { loaded, pins, workers, kernel_log } = self;
        let load::Loaded { mut ebpf, reused, staged } = loaded;
        let maps = Maps::take(&mut ebpf)?;
        let stride = size_of::<Load>();
        let loads = LoadBoard::kernel(maps.loads()?, workers.len(), stride).map_err(|error| {
            DataplaneError::io("map the array in which workers publish their load", error)
        })?;
        let mut dataplane = Dataplane {
            ebpf,
            maps,
            pins,
            plan: Plan::default(),
            report: Report { maps_reused: reused, ..Report::default() },
            workers,
            loads,
            kernel_log,
        };
        dataplane.own(config, BTreeMap::new(), listeners).await?;
        if staged {
            let switched = dataplane.pins.switch_maps();
            switched.map_err(|error| DataplaneError::io("pin the new maps", error))?;
        }
        Ok(dataplane)
    }
}

// === impl Dataplane ===

impl Dataplane {
    /// Makes the kernel side ours again after a successor that had begun to change it. It is gone,
    /// and so are the listeners that it had put into the socket map; ours are still there.
    ///
    /// What fails can be tried again.
    pub async fn take_back(&mut self, config: &Config) -> Result<(), DataplaneError> {
        self.maps.adopt_again()?;
        // Attached anew, whatever is known of them.
        self.report.interfaces.clear();
        let names = self.plan.names.clone();
        self.own(config, names, &[]).await?;
        self.loads.publish();
        Ok(())
    }

    /// `names`: of the VIPs that the maps hold, as far as they are known.
    async fn own(
        &mut self,
        config: &Config,
        names: BTreeMap<u32, String>,
        listeners: &[(usize, &TcpListener)],
    ) -> Result<(), DataplaneError> {
        let mut settings = self.maps.settings()?;
        settings.generation += 1;
        if settings.seed == 0 {
            settings.seed = seed()?;
        }
        // Before anything that can fail: whoever had the maps stops, whatever becomes of the rest,
        // and every step from here on belongs to this process.
        self.maps.apply(&Operation::Settings(settings))?;
        self.plan.settings = settings;
        let routes = local_routes().await?;
        self.plan = Plan { routes, names, ..self.maps.read(cpus()?)? };
        for &(worker, listener) in listeners {
            let address = listener.local_addr();
            let address = address
                .map_err(|error| DataplaneError::io("ask for a listener's address", error))?;
            self.keep_listener(worker, Family::of(address.ip()), listener)?;
        }

        // Before any new route: a VIP must not reach another socket of the host.
        let next = self.plan_for(config)?;
        self.step_to(next, Steps::BeforeAttaching).await?;
        self.still_ours()?;
        attach::dispatch(&mut self.ebpf, &self.pins)?;
        self.attach_interfaces(config).await?;
        let next = self.plan_for(config)?;
        self.step_to(next, Steps::All).await
    }
}

/// A secret that no client can guess.
fn seed() -> Result<u64, DataplaneError> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| DataplaneError::io("read a random seed", error))?;
    Ok(u64::from_ne_bytes(bytes) | 1)
}
