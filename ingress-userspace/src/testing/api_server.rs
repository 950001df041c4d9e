//! An API server for tests: lists in pages, watches with bookmarks, field selectors, roles, and the
//! faults that a real one shows only when it likes.
//!
//! HTTP/1.1 without TLS on a thread and runtime of its own. Holds whatever objects it is given; it
//! validates nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

mod serve;
mod state;

use state::State;

/// A running API server. Dropping it ends every connection.
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// A collection that requests are about, such as `secrets`.
pub type Plural = &'static str;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    faults: Mutex<Faults>,
    /// Something is new for watches.
    changed: Notify,
    requests: Mutex<Vec<Asked>>,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `list`, `watch` or `get`, as in a role.
    pub verb: &'static str,
    pub plural: String,
    /// Of a get, or of a field selector.
    pub name: Option<String>,
}

#[derive(Debug, Default)]
struct Faults {
    /// Verb and collection that are refused with 403.
    forbidden: BTreeSet<(&'static str, String)>,
    /// Names that a get or a watch of a collection is restricted to.
    named: BTreeMap<String, BTreeSet<String>>,
    list_delay: Duration,
    /// Watches from before this version are answered with 410.
    forgotten: u64,
    /// Raised to end all watches that run.
    epoch: u64,
    /// A watch ends in the midst of a line.
    torn: bool,
}

// === impl ApiServer ===

impl ApiServer {
    /// Listens on an ephemeral port of 127.0.0.1.
    pub fn start() -> Self {
        let mut server = Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            shared: Arc::default(),
            running: None,
        };
        server.resume().unwrap();
        server
    }

    /// Listens again after [`Self::stop`], on the same port, with the same objects.
    ///
    /// # Errors
    ///
    /// When the port has been taken by somebody else.
    pub fn resume(&mut self) -> io::Result<()> {
        let listener = socket(self.address)?;
        self.address = listener.local_addr()?;
        let shared = self.shared.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread =
            std::thread::Builder::new().name("api server".to_owned()).spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, shared) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        self.running = Some((stop, thread));
        Ok(())
    }

    /// Ends every connection and refuses new ones.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes a kubeconfig for it.
    pub fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let path = directory.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
             users: [{{name: test, user: {{}}}}]\n\
             clusters: [{{name: test, cluster: {{server: 'http://{}'}}}}]\n",
            self.address
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Adds or replaces the objects of YAML documents.
    pub fn apply(&self, yaml: &str) -> &Self {
        for document in serde_saphyr::from_multiple::<Value>(yaml).unwrap() {
            self.shared.state().apply(document);
        }
        self.shared.changed.notify_waiters();
        self
    }

    /// Removes an object; the namespace is empty for kinds that have none.
    pub fn delete(&self, plural: Plural, namespace: &str, name: &str) -> &Self {
        self.shared.state().delete(plural, namespace, name);
        self.shared.changed.notify_waiters();
        self
    }

    /// Ends all watches. `torn`: in the midst of a line.
    pub fn drop_watches(&self, torn: bool) {
        let mut faults = self.shared.faults();
        faults.epoch += 1;
        faults.torn = torn;
        drop(faults);
        self.shared.changed.notify_waiters();
    }

    /// Forgets all versions so far: watches end, and those that come with such a version get 410.
    pub fn forget_versions(&self) {
        let version = self.shared.state().compact();
        self.shared.faults().forgotten = version;
        self.drop_watches(false);
    }

    /// Sends a bookmark on all watches.
    pub fn bookmark(&self) {
        self.shared.state().bookmark();
        self.shared.changed.notify_waiters();
    }

    pub fn forbid(&self, verb: &'static str, plural: Plural) {
        self.shared.faults().forbidden.insert((verb, plural.to_owned()));
    }

    pub fn permit(&self, verb: &'static str, plural: Plural) {
        self.shared.faults().forbidden.remove(&(verb, plural.to_owned()));
    }

    /// As a Role with `resourceNames`.
    pub fn permit_names(&self, plural: Plural, names: &[&str]) {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        self.shared.faults().named.insert(plural.to_owned(), names);
    }

    /// How long a list takes from now on.
    pub fn delay_lists(&self, delay: Duration) {
        self.shared.faults().list_delay = delay;
    }

    /// What has been asked so far.
    pub fn requests(&self) -> Vec<Asked> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How often this was asked.
    pub fn count(&self, verb: &str, plural: &str) -> usize {
        let requests = self.requests();
        requests.iter().filter(|asked| asked.verb == verb && asked.plural == plural).count()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One that can be bound again while connections of the one before are still known to the kernel.
fn socket(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    Ok(socket.into())
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    // Its connections end with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        connections.spawn(async move {
            let service = hyper::service::service_fn(|request| serve::answer(&shared, request));
            let http = hyper::server::conn::http1::Builder::new();
            // A client that goes away is none of our business.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
