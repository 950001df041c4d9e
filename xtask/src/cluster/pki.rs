//! Who may speak to whom: the cluster's own CA, its certificates, bearer tokens, kubeconfigs.
//!
//! Made anew for each cluster by `openssl`; the files are for root only and go with the cluster.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::{API_SERVICE, Host};
use crate::program::Program;

/// The administrator's name.
pub(super) const ADMIN: &str = "admin";

/// Files of the cluster's CA and what it signed.
#[derive(Clone, Debug)]
pub(super) struct Pki {
    directory: PathBuf,
}

/// Somebody with a bearer token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct User {
    pub(super) name: String,
    groups: &'static str,
    pub(super) token: String,
}

// === impl Pki ===

impl Pki {
    /// All certificates and keys.
    ///
    /// # Errors
    /// `openssl` fails or the files can't be written.
    pub(super) fn create(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
        let pki = Self { directory };
        write_private(&pki.path("openssl.cnf"), &extensions())?;
        pki.certificate("ca", "/CN=genkan-cluster", false)?;
        pki.certificate("serving", "/CN=kube-apiserver", true)?;
        pki.certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver", true)?;
        // The API server takes the public key out of a certificate as well.
        pki.certificate("service-accounts", "/CN=service-accounts", true)?;
        Ok(pki)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// `NAME.crt` and `NAME.key`; signed by the CA or by itself.
    fn certificate(&self, name: &str, subject: &str, by_ca: bool) -> Result<()> {
        let file = |name: &str| self.path(name).to_string_lossy().into_owned();
        let mut openssl = Program::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-noenc", "-days", "365", "-subj", subject, "-extensions", name])
            .args(["-config".to_owned(), file("openssl.cnf")])
            .args(["-keyout".to_owned(), file(&format!("{name}.key"))])
            .args(["-out".to_owned(), file(&format!("{name}.crt"))]);
        if by_ca {
            openssl = openssl
                .args(["-CA".to_owned(), file("ca.crt")])
                .args(["-CAkey".to_owned(), file("ca.key")]);
        }
        openssl.output().map(drop)
    }
}

/// What each certificate is for, and the names of the API server.
fn extensions() -> String {
    let control = Host::Control.addresses();
    format!(
        "[req]\ndistinguished_name=name\n[name]\n\
         [ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n\
         subjectKeyIdentifier=hash\n\
         [serving]\nbasicConstraints=CA:false\nextendedKeyUsage=serverAuth\n\
         subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
         DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,\
         IP:127.0.0.1,IP:{API_SERVICE},IP:{},IP:{}\n\
         [kubelet-client]\nbasicConstraints=CA:false\nextendedKeyUsage=clientAuth\n\
         [service-accounts]\nbasicConstraints=CA:false\nkeyUsage=digitalSignature\n",
        control.v4, control.v6
    )
}

/// The administrator, the components and a user for each node, with fresh tokens.
///
/// # Errors
/// The machine has no source of random bytes.
pub(super) fn users(nodes: u8) -> Result<Vec<User>> {
    let mut known = vec![
        (ADMIN.to_owned(), "system:masters"),
        ("system:kube-controller-manager".to_owned(), ""),
        ("system:kube-scheduler".to_owned(), ""),
        ("system:kube-proxy".to_owned(), ""),
    ];
    known.extend(Host::nodes(nodes).map(|node| (format!("system:node:{node}"), "system:nodes")));
    known.into_iter().map(|(name, groups)| Ok(User { name, groups, token: token()? })).collect()
}

/// The API server's `--token-auth-file`.
pub(super) fn token_file(users: &[User]) -> String {
    let line = |user: &User| format!("{},{1},{1},\"{2}\"\n", user.token, user.name, user.groups);
    users.iter().map(line).collect()
}

/// A kubeconfig of one user for one address of the API server.
pub(super) fn kubeconfig(server: &str, ca: &Path, user: &User) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: genkan\n\
         clusters:\n- name: genkan\n  cluster:\n    server: {server}\n    \
         certificate-authority: {}\n\
         users:\n- name: {name}\n  user:\n    token: {}\n\
         contexts:\n- name: genkan\n  context:\n    cluster: genkan\n    user: {name}\n",
        ca.display(),
        user.token,
        name = user.name,
    )
}

/// Writes a file that only root reads.
///
/// # Errors
/// It can't be written.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

/// 128 random bits.
fn token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_a_user_of_the_group_that_the_node_authorizer_knows() {
        let users = users(2).unwrap();
        let file = token_file(&users);
        let of_node = file.lines().find(|line| line.contains("system:node:node2")).unwrap();
        assert!(of_node.ends_with(",system:node:node2,system:node:node2,\"system:nodes\""));
        assert_eq!(file.lines().count(), 6);
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token().unwrap(), token().unwrap());
    }

    #[test]
    fn the_api_server_is_named_by_every_address_it_is_reached_at() {
        let text = extensions();
        for address in ["IP:127.0.0.1", "IP:10.80.0.10", "IP:fd00:80::a", "IP:10.96.0.1"] {
            assert!(text.contains(address), "{address}");
        }
    }
}
