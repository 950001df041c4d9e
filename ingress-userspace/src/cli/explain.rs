//! `genkan explain URL`: what would become of a request, and why.
//!
//! Nothing is sent. The manifests are compiled as `genkan run` does it, and the answer is that of
//! the matcher that serves requests.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use clap::Args;
use http::Uri;
use serde::{Deserialize, Serialize};

use super::{Output, USAGE};
use crate::config::{Config, Overrides, PortProtocol, VipConfig, read};
use crate::dataplane::plan::admission::{Admission, admission};
use crate::model::{Kind, ObjectRef, Origin, decode};
use crate::routing::explain::{Candidate, Explanation, Outcome, Question};
use crate::routing::{self, Compiler};
use crate::source::manifests::{self, Locator};

mod text;

#[derive(Debug, Args)]
pub struct Arguments {
    /// As a client would ask for it: `https://shop.example/cart?item=1`.
    #[arg(value_name = "URL")]
    url: Uri,

    /// Directory of Kubernetes manifests, or a single file.
    #[arg(long, env = "GENKAN_MANIFESTS", value_name = "DIR")]
    manifests: PathBuf,

    /// Configuration file: classes, compat mode, VIPs. Without it the defaults hold.
    #[arg(long, env = "GENKAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Request method.
    #[arg(long, short = 'X', default_value = "GET")]
    method: http::Method,

    /// Request field; `Host` wins over the URL. May be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(String, String)>,

    /// Address of the client, for the source rules of the VIPs.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,

    /// Server name of the TLS handshake; the URL's host when it is not given.
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,

    /// Form of the answer.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

/// The whole answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    #[serde(flatten)]
    pub explanation: Explanation,
    pub vips: Vec<Admission>,
}

/// Everything that is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub question: Question,
    pub client: Option<IpAddr>,
    pub port: u16,
}

// === impl Arguments ===

impl Arguments {
    /// Exit code 1 when the request would be answered with an error, or its client not admitted.
    ///
    /// # Errors
    ///
    /// When there is nothing to ask, or `out` does not take the answer.
    pub fn execute(
        self,
        environment: impl IntoIterator<Item = (String, String)>,
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let request = match self.request() {
            Ok(request) => request,
            Err(error) => {
                eprintln!("error: {error}");
                return Ok(ExitCode::from(USAGE));
            }
        };
        let overrides = Overrides::from_env(environment);
        let config = match &self.config {
            None => Config::default(),
            Some(path) => match read::read(path, &overrides) {
                Ok(config) => config,
                Err(errors) => return Ok(super::run::refuse(&errors)),
            },
        };
        let compiler = compile(&self.manifests, &config)?;
        let mut answer = Answer::new(&compiler, &config, &request);
        locate(&mut answer.explanation);
        match self.output {
            Output::Text => text::write(out, &answer)?,
            Output::Json => writeln!(out, "{:#}", serde_json::to_value(&answer)?)?,
        }
        Ok(if answer.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn request(&self) -> anyhow::Result<Request> {
        let https = match self.url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(anyhow!("{}: a URL with http:// or https:// is expected", self.url)),
        };
        let authority = self.url.authority().context("a URL with a host is expected")?;
        let named = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = named.map_or_else(|| authority.to_string(), |(_, value)| value.clone());
        let sni = self.sni.clone().unwrap_or_else(|| authority.host().to_owned());
        let target = self.url.path_and_query().map_or("/", |target| target.as_str());
        let question = Question {
            https,
            method: self.method.to_string(),
            host: Some(host),
            target: target.to_owned(),
            headers: self.headers.clone(),
            sni: https.then_some(sni),
        };
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Request { question, client: self.client, port })
    }
}

fn compile(manifests: &Path, config: &Config) -> anyhow::Result<Compiler> {
    let update = manifests::load(manifests, &decode::Settings::from(config))
        .with_context(|| manifests.display().to_string())?;
    let mut compiler = Compiler::new(routing::Settings::from(config));
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    compiler.apply(update.change, now);
    compiler.full_list(now);
    Ok(compiler)
}

/// Lines of fields instead of lines of documents, where the files can be read here.
fn locate(explanation: &mut Explanation) {
    let mut locator = Locator::default();
    let mut place = |candidate: &mut Candidate| {
        let (Some(file), Some(line)) = (&candidate.file, candidate.line) else { return };
        let origin = Origin::File { path: PathBuf::from(file).into(), line };
        let object = ObjectRef::new(Kind::Ingress, &candidate.namespace, &candidate.ingress);
        if let Origin::File { line, .. } = locator.locate(&origin, Some(&object), &candidate.field)
        {
            candidate.line = Some(line);
        }
    };
    explanation.winner.iter_mut().for_each(&mut place);
    explanation.losers.iter_mut().for_each(place);
}

/// `Name: value`.
fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("`Name: value` is expected")?;
    let name = http::HeaderName::try_from(name.trim()).map_err(|error| error.to_string())?;
    Ok((name.to_string(), value.trim().to_owned()))
}

// === impl Answer ===

impl Answer {
    pub fn new(compiler: &Compiler, config: &Config, request: &Request) -> Self {
        let Request { question, client, port } = request;
        let protocol = if question.https { PortProtocol::Https } else { PortProtocol::Http };
        let explanation = compiler.explain(question);
        let unforced = matches!(explanation.outcome, Outcome::Redirect { forced: false, .. });
        let admission = |vip: &VipConfig| {
            let mut admission = admission(vip, *client, *port, protocol);
            match vip.https_port().filter(|_| unforced) {
                None if unforced => admission.why.push_str("; no https port: not redirected there"),
                None | Some(443) => {}
                Some(port) => admission.why.push_str(&format!("; https is on port {port}")),
            }
            admission
        };
        let vips = config.vips.iter().map(admission).collect();
        Self { explanation, vips }
    }

    /// The request reaches an endpoint, or is redirected, by one VIP at least.
    fn is_good(&self) -> bool {
        let served = match self.explanation.outcome {
            Outcome::Forward | Outcome::Redirect { .. } | Outcome::Moved { .. } => true,
            Outcome::Answer { .. } | Outcome::Unknown => false,
        };
        let admitted = self.vips.iter().any(|vip| vip.admitted && vip.serves_port);
        served && (admitted || self.vips.is_empty())
    }
}

#[cfg(test)]
mod tests;
