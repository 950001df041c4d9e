//! A real nginx with a configuration of the test, on a socket that the test opened.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Mutex;

use genkan::testing::deadline::DEADLINE;
use genkan::testing::lab::Process;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::case::{Case, HOST};

pub(crate) struct Nginx {
    address: SocketAddr,
    process: Process,
    _directory: TempDir,
}

/// What ingress-nginx writes to forward a request.
const PROXY: &str = "
    proxy_set_header Host $http_host;
    proxy_set_header X-Request-ID $request_id;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_set_header X-Scheme $scheme;
    proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
    proxy_set_header X-Original-Forwarded-Host $http_x_forwarded_host;
    proxy_set_header Proxy \"\";
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_connect_timeout 5s;
    proxy_send_timeout 60s;
    proxy_read_timeout 60s;
    proxy_buffering off;
    proxy_buffer_size 4k;
    proxy_buffers 4 4k;
    proxy_max_temp_file_size 1024m;
    proxy_request_buffering on;
    proxy_http_version 1.1;
    proxy_cookie_domain off;
    proxy_cookie_path off;
    proxy_next_upstream error timeout;
    proxy_next_upstream_timeout 0;
    proxy_next_upstream_tries 3;
    proxy_redirect off;
    proxy_pass http://pod;
";

/// While a listener is inheritable, no other nginx is started.
static SPAWN: Mutex<()> = Mutex::new(());

// === impl Nginx ===

impl Nginx {
    pub(crate) fn start(case: &Case, pod: SocketAddr) -> Self {
        let directory = tempfile::Builder::new().prefix("genkan-nginx").tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let at = directory.path().display().to_string();
        for (name, content) in &case.files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let config = directory.path().join("nginx.conf");
        fs::write(&config, configuration(case, address, pod, &at)).unwrap();
        let mut command = Command::new("nginx");
        command
            .args(["-e", "stderr", "-c"])
            .arg(&config)
            // An open socket instead of a number: no port is free and then taken.
            .env("NGINX", format!("{};", listener.as_raw_fd()));
        let process = {
            let _alone = SPAWN.lock();
            fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
            let process = Process::spawn("nginx", command);
            drop(listener);
            process
        };
        Self { address, process, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has printed, for the message of a failure.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }
}

impl Drop for Nginx {
    /// A master that is killed leaves its worker behind.
    fn drop(&mut self) {
        self.process.signal(Signal::SIGTERM);
        self.process.wait(DEADLINE);
    }
}

/// In the foreground; writes only beside its configuration.
fn configuration(case: &Case, address: SocketAddr, pod: SocketAddr, at: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .collect();
    let mut proxy = PROXY.to_owned();
    for (line, other) in &case.instead {
        assert!(proxy.contains(line), "{line} is not what ingress-nginx writes");
        proxy = proxy.replace(line, other);
    }
    let server = case.server.replace("PROXY", &proxy).replace("DIR", at);
    format!(
        "load_module modules/ngx_http_headers_more_filter_module.so;\n\
         daemon off;\nuser root;\nworker_processes 1;\npid {at}/nginx.pid;\nevents {{ }}\n\
         http {{\naccess_log off;\n{temporary}\
         server_tokens off;\nunderscores_in_headers off;\nignore_invalid_headers on;\n\
         client_max_body_size 1m;\nkeepalive_timeout 75s;\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         upstream pod {{ server {pod}; keepalive 320; }}\n{}\n\
         server {{\nlisten {address};\nserver_name {HOST};\n{server}\n}}\n}}\n",
        case.http
    )
}
