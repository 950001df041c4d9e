//! The embedded kernel programs, loaded into the kernel over new or pinned maps.
//!
//! Maps that an earlier process pinned are taken over when they have exactly the shape that these
//! programs want, all of them or none; otherwise the new ones wait beside them. Loading attaches
//! nothing and changes nothing that an earlier process uses.

use aya::maps::{MapInfo, MapType};
use aya::{Ebpf, EbpfLoader};
use aya_obj::Object;
use ingress_common::map;

use super::{DataplaneError, Pins};

/// Empty when the build was told to leave the kernel programs out.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/genkan.bpf.o"));

/// Loaded programs.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    /// Whether the maps are those of an earlier process.
    pub(super) reused: bool,
    /// Whether the maps are pinned beside the place where they are to be found, until they are filled.
    pub(super) staged: bool,
}

/// The embedded object file; `None` when this was built without kernel programs.
pub fn object() -> Option<&'static [u8]> {
    (!OBJECT.is_empty()).then_some(OBJECT)
}

/// Loads both programs. `debug` keeps their log statements in.
pub(super) fn load(pins: &Pins, debug: bool) -> Result<Loaded, DataplaneError> {
    let object = object().ok_or(DataplaneError::NotBuilt)?;
    pins.prepare()?;
    let (reused, staged) = match reusable(object, pins)? {
        Reuse::All => (true, false),
        Reuse::Nothing => (false, true),
        Reuse::Refused(why) => {
            tracing::warn!(
                target: "genkan::dataplane",
                "the pinned maps are replaced: {why}; counters and budgets start at zero"
            );
            (false, true)
        }
    };
    // Also where nothing is pinned: a start that fails leaves no maps that look like those of a
    // process that serves.
    if staged {
        pins.stage_maps().map_err(|error| DataplaneError::io("pin new maps", error))?;
    }

    let place = |name| if staged { pins.staged_map(name) } else { pins.map(name) };
    let paths: Vec<_> = map::PINNED.iter().map(|&name| (name, place(name))).collect();
    let debug = u8::from(debug);
    let mut loader = EbpfLoader::new();
    loader.override_global(map::DEBUG_LOG, &debug, true);
    for (name, path) in &paths {
        loader.map_pin_path(name, path.as_path());
    }
    let mut ebpf = loader.load(object).map_err(|error| {
        DataplaneError::kernel("create the maps of the kernel programs", &error)
    })?;
    super::attach::load_programs(&mut ebpf)?;
    Ok(Loaded { ebpf, reused, staged })
}

/// Whether the maps that are pinned are those that these programs want.
pub(super) fn require_pinned(object: &[u8], pins: &Pins) -> Result<(), DataplaneError> {
    let reason = match reusable(object, pins)? {
        Reuse::All => return Ok(()),
        Reuse::Nothing => {
            format!("there are none below {}: is genkan running here?", pins.directory().display())
        }
        Reuse::Refused(why) => format!("they are those of another version: {why}"),
    };
    Err(DataplaneError::Kernel { attempt: "use the pinned maps".to_owned(), reason })
}

enum Reuse {
    Nothing,
    All,
    Refused(String),
}

/// Compares each pinned map with the object's definition.
fn reusable(object: &[u8], pins: &Pins) -> Result<Reuse, DataplaneError> {
    let object = Object::parse(object)
        .map_err(|error| DataplaneError::kernel("read the embedded kernel programs", &error))?;
    let mut pinned = 0;
    for &name in map::PINNED {
        let path = pins.map(name);
        if !path.exists() {
            continue;
        }
        pinned += 1;
        let Some(wanted) = object.maps.get(name) else {
            return Ok(Reuse::Refused(format!("{name} is not a map of these programs")));
        };
        let found = MapInfo::from_pin(&path).map_err(|error| {
            DataplaneError::kernel(format!("open the pinned map {}", path.display()), &error)
        })?;
        if let Some(difference) = difference(wanted, &found) {
            return Ok(Reuse::Refused(format!("{name} has {difference}")));
        }
    }
    Ok(match pinned {
        0 => Reuse::Nothing,
        count if count == map::PINNED.len() => Reuse::All,
        count => Reuse::Refused(format!("only {count} of {} maps are pinned", map::PINNED.len())),
    })
}

fn difference(wanted: &aya_obj::Map, found: &MapInfo) -> Option<String> {
    let kind = found.map_type().ok();
    if kind.map(|kind| kind as u32) != Some(wanted.map_type()) {
        return Some(format!("type {kind:?}"));
    }
    // aya sets the value size of a CPUMAP by what the kernel can.
    let sized = kind != Some(MapType::CpuMap);
    let facts = [
        ("key size", wanted.key_size(), found.key_size(), true),
        ("value size", wanted.value_size(), found.value_size(), sized),
        ("capacity", wanted.max_entries(), found.max_entries(), true),
        ("flags", wanted.map_flags(), found.map_flags(), true),
    ];
    let other = facts.into_iter().find(|(_, wanted, found, compared)| *compared && wanted != found);
    other.map(|(what, wanted, found, _)| format!("{what} {found} instead of {wanted}"))
}
