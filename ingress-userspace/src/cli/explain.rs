//! `genkan explain URL`: what would become of a request, and why.
//!
//! Nothing is sent. Either the running process is asked, or manifests are compiled as `genkan run`
//! does it; the answer is that of the matcher that serves requests.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use clap::Args;
use http::Uri;

use super::ask::Target;
use super::{Output, USAGE};
use crate::admin::explain::{Answer, Request};
use crate::config::{Config, ConfigError, Overrides, read};
use crate::model::{Kind, ObjectRef, Origin, decode};
use crate::routing::explain::{Candidate, Explanation, Question};
use crate::routing::{self, Compiler};
use crate::source::manifests::{self, Locator};

mod text;

#[derive(Debug, Args)]
pub struct Arguments {
    /// As a client would ask for it: `https://shop.example/cart?item=1`.
    #[arg(value_name = "URL")]
    url: Uri,

    /// Directory of Kubernetes manifests, or a single file. Without it the running process is asked.
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,

    /// Configuration file for `--manifests`: classes, compat mode, VIPs. Else that of the variable
    /// `GENKAN_CONFIG`, else the defaults and the environment hold.
    #[arg(long, value_name = "FILE", requires = "manifests")]
    config: Option<PathBuf>,

    #[command(flatten)]
    target: Target,

    /// Request method.
    #[arg(long, short = 'X', default_value = "GET")]
    method: http::Method,

    /// Request field; `Host` wins over the URL, canaries are chosen by others and by `Cookie`. May be
    /// repeated.
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
        let mut answer = match &self.manifests {
            None => self.ask(&request)?,
            Some(manifests) => {
                let config = match self.configuration(environment) {
                    Ok(config) => config,
                    Err(errors) => return Ok(super::run::refuse(&errors)),
                };
                Answer::new(&compile(manifests, &config)?, &config, &request)
            }
        };
        locate(&mut answer.explanation);
        match self.output {
            Output::Text => text::write(out, &answer)?,
            Output::Json => writeln!(out, "{:#}", serde_json::to_value(&answer)?)?,
        }
        Ok(if answer.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// As `genkan run` reads it. The variable is no default of the flag: a process that is asked has
    /// a configuration of its own, whatever the environment says.
    fn configuration(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, Vec<ConfigError>> {
        let environment: Vec<_> = environment.into_iter().collect();
        let variable = environment.iter().find(|(name, _)| name == "GENKAN_CONFIG");
        let file = self.config.clone().or_else(|| Some(PathBuf::from(&variable?.1)));
        let overrides = Overrides::from_env(environment);
        match file {
            Some(path) => read::read(&path, &overrides),
            None => read::without_file(&overrides),
        }
    }

    /// The running process.
    fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        let body = serde_json::to_vec(request)?.into();
        let answer = self.target.client().ask(http::Method::POST, "/explain", body)?;
        Ok(serde_json::from_slice(&answer.or_refused()?.body)?)
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

#[cfg(test)]
mod tests;
