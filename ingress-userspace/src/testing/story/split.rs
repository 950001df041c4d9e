//! A story whose edge is two processes: `genkan agent` with all rights, `genkan proxy` with none.

use std::os::unix::fs::PermissionsExt;

use super::{DEADLINE, Process, Story};

/// What each logs once it does its part.
const AGENT_READY: &str = " genkan::app::control: ready for a proxy ";
const PROXY_READY: &str = " genkan::app::data: ready ";
const SEATED: &str = "connections come to the proxy";

// === impl Story ===

impl Story {
    /// The user of the proxy.
    pub const NOBODY: u32 = 65534;

    /// Starts an agent, which becomes the process of the story, and waits until a proxy may come.
    pub fn start_agent(&mut self) -> &mut Self {
        // Everybody may pass through; the runtime directory in it has rights of its own.
        let passable = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(self.directory.path(), passable).expect("the story's directory");
        let process = self.spawn_command("agent", &self.arguments);
        process.wait_for_line(AGENT_READY, DEADLINE);
        self.process = Some(process);
        self
    }

    /// Starts a proxy as a user without rights, and waits until connections come to it.
    pub fn start_proxy(&self) -> Process {
        let proxy = self.spawn_proxy();
        proxy.wait_for_line(PROXY_READY, DEADLINE);
        self.wait_for_log(SEATED);
        proxy
    }

    /// The same without waiting for anything.
    pub fn spawn_proxy(&self) -> Process {
        let user = Self::NOBODY.to_string();
        let socket = self.runtime_directory().join("proxy.sock");
        let mut command = self.edge().command("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        command.arg(&self.program).arg("proxy").arg("--agent-socket").arg(socket);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::spawn("edge: genkan proxy", command)
    }
}
