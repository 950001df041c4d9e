//! Asking the API server from this machine's own namespace: plain requests by `curl`.
//!
//! kubectl would do, but takes a third of a second of processor time to start; these are asked
//! again and again while a cluster starts.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::pki::{Pki, User, write_private};
use super::state::State;

/// Reads and makes objects as the administrator.
pub(super) struct Api {
    /// Options of curl with the token, which would show in the list of processes otherwise.
    options: PathBuf,
    base: String,
}

// === impl Api ===

impl Api {
    /// Notes the credentials of later requests.
    ///
    /// # Errors
    /// They can't be written.
    pub(super) fn prepare(state: &State, pki: &Pki, admin: &User) -> Result<Self> {
        let options = format!(
            "silent\nshow-error\nfail-with-body\nmax-time = 10\nnoproxy = \"*\"\n\
             cacert = \"{}\"\nheader = \"Authorization: Bearer {}\"\n",
            pki.path("ca.crt").display(),
            admin.token
        );
        let api = Self::of(state);
        write_private(&api.options, &options)?;
        Ok(api)
    }

    /// That of a running cluster.
    pub(super) fn of(state: &State) -> Self {
        Self {
            options: state.path("curl.options"),
            base: format!("https://127.0.0.1:{}", state.port),
        }
    }

    /// # Errors
    /// The API server does not answer, or refuses.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let body = self.get_text(path)?;
        serde_json::from_str(&body).with_context(|| format!("the answer to GET {path}"))
    }

    /// # Errors
    /// As [`Self::get`].
    pub(super) fn get_text(&self, path: &str) -> Result<String> {
        self.request(path, None)
    }

    /// # Errors
    /// As [`Self::get`].
    pub(super) fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.request(path, Some(&object.to_string())).map(drop)
    }

    fn request(&self, path: &str, body: Option<&str>) -> Result<String> {
        let mut curl = Command::new("curl");
        curl.arg("--config").arg(&self.options).arg(format!("{}{path}", self.base));
        if body.is_some() {
            curl.args(["--header", "Content-Type: application/json", "--data-binary", "@-"]);
        }
        let mut child = curl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start curl")?;
        if let Some(mut input) = child.stdin.take() {
            // curl that fails early does not read; its own message tells why.
            input.write_all(body.unwrap_or_default().as_bytes()).ok();
        }
        let ended = child.wait_with_output().context("wait for curl")?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        if !ended.status.success() {
            let errors = String::from_utf8_lossy(&ended.stderr);
            bail!("{path}: {} {}", errors.trim(), said.trim());
        }
        Ok(said)
    }
}

/// Names of objects in a list whose condition `kind` is true.
pub(super) fn with_condition(list: &Value, kind: &str) -> Vec<String> {
    let holds = |object: &&Value| {
        let conditions = object["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|is| is["type"] == kind && is["status"] == "True")
    };
    let objects = list["items"].as_array();
    let names = objects.into_iter().flatten().filter(holds);
    names.filter_map(|object| Some(object["metadata"]["name"].as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::with_condition;

    #[test]
    fn only_a_condition_that_is_true_counts() {
        let node = |name: &str, ready: &str| {
            json!({"metadata": {"name": name},
                   "status": {"conditions": [{"type": "Ready", "status": ready}]}})
        };
        let list = json!({"items": [node("a", "True"), node("b", "False"), {"metadata": {}}]});
        assert_eq!(with_condition(&list, "Ready"), ["a"]);
        assert!(with_condition(&json!({}), "Ready").is_empty());
    }
}
