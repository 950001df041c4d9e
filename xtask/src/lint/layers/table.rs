//! The layer table. ARCHITECTURE.md shows the same one to people; the lint compares them.

/// One module, or one submodule that is stricter than the module around it.
pub(super) struct Row {
    /// Path from the crate's root.
    pub(super) module: &'static str,
    /// 0 is the process; a module may know modules of a higher number.
    pub(super) layer: u8,
    /// Modules of the same layer that it may know.
    pub(super) beside: &'static [&'static str],
    /// Modules below that it must not know all the same.
    pub(super) never: &'static [&'static str],
    /// No I/O, no clock, no async.
    pub(super) pure: bool,
}

const fn at(layer: u8, module: &'static str) -> Row {
    Row { module, layer, beside: &[], never: &[], pure: false }
}

const fn pure(layer: u8, module: &'static str) -> Row {
    Row { module, layer, beside: &[], never: &[], pure: true }
}

impl Row {
    const fn beside(mut self, modules: &'static [&'static str]) -> Self {
        self.beside = modules;
        self
    }

    const fn never(mut self, modules: &'static [&'static str]) -> Self {
        self.never = modules;
        self
    }
}

/// What the request path must not know: it serves compiled routes, not Kubernetes objects.
const OBJECTS: &[&str] = &["model"];

/// What reads the bytes of strangers: pure, so that it can be fuzzed.
const HTTP1_READERS: &[&str] = &["proxy::http1::head", "proxy::http1::chunk"];

pub(super) const TABLE: &[Row] = &[
    // 0: the process. Nobody knows these.
    at(0, "main"),
    at(0, "app").beside(&["agent", "cli"]),
    at(0, "agent"),
    at(0, "cli"),
    at(0, "testing").beside(&["agent", "app", "cli"]),
    // 1: drivers. They do I/O and meet only through channels that `app` makes.
    at(1, "source"),
    at(1, "dataplane"),
    at(1, "proxy").beside(HTTP1_READERS).never(OBJECTS),
    pure(1, "proxy::http1::head").beside(&["proxy"]).never(OBJECTS),
    pure(1, "proxy::http1::chunk").beside(&["proxy", "proxy::http1::head"]).never(OBJECTS),
    at(1, "admin"),
    at(1, "handover"),
    at(1, "status"),
    // 2: services of the request path.
    at(2, "snapshot").never(OBJECTS),
    at(2, "filter").never(OBJECTS),
    at(2, "upstream").never(OBJECTS),
    at(2, "tls").never(OBJECTS),
    // 3: the pure domain.
    pure(3, "routing").beside(&["model"]),
    pure(3, "model"),
    pure(3, "dataplane::plan").never(OBJECTS),
    pure(3, "status::plan").beside(&["model"]),
    // 4: facts.
    at(4, "config"),
    // 5: ground.
    pure(5, "arc"),
    pure(5, "htpasswd"),
    at(5, "kubernetes"),
    at(5, "net"),
    at(5, "metrics"),
    at(5, "telemetry"),
    at(5, "yaml"),
];

/// Crates that do I/O, keep time or schedule.
pub(super) const IMPURE_CRATES: &[&str] = &[
    "tokio",
    "tokio_util",
    "tokio_rustls",
    "aya",
    "aya_log",
    "kube",
    "hyper",
    "hyper_util",
    "notify",
    "rtnetlink",
    "socket2",
    "nix",
    "libc",
];

/// Parts of the standard library that do.
pub(super) const IMPURE_STD: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
];

/// A passed instant is a value; asking the clock is not.
pub(super) const IMPURE_CALLS: &[&str] = &["Instant::now", "SystemTime::now"];

/// The most specific row for a path; `None` when its module is in no row.
pub(super) fn row(path: &[String]) -> Option<&'static Row> {
    let covers = |row: &&Row| {
        let mut parts = row.module.split("::").enumerate();
        parts.all(|(index, part)| path.get(index).is_some_and(|segment| segment == part))
    };
    TABLE.iter().filter(covers).max_by_key(|row| row.module.len())
}
