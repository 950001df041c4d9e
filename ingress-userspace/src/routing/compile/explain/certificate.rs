//! Which certificate a client is shown, and what `tls.strict_sni` makes of its server name (T2-T9).

use crate::model::RuleId;
use crate::routing::compile::{Compiler, tls};
use crate::routing::explain::{CertificateAnswer, Explanation, Question, StrictSni};
use crate::routing::host as hosts;
use crate::routing::snapshot::{CertificateChoice, HostCertificate, RequestHost};

use super::{patterns, told};

// === impl Compiler ===

impl Compiler {
    /// As the handshake and the phases of a request ask it.
    pub(super) fn strict_sni(&self, answer: &Explanation) -> StrictSni {
        let (mut lower_sni, mut lower_host) = (String::new(), String::new());
        let sni = answer.question.sni.as_deref();
        let sni = sni.and_then(|sni| hosts::server_name(sni, &mut lower_sni));
        let host = match answer.question.host.as_deref() {
            None => Ok(RequestHost::Absent),
            Some(raw) => hosts::normalise(raw, &mut lower_host),
        };
        match (self.snapshot.certificate(sni), host) {
            (CertificateChoice::Unknown(_), _) => StrictSni::Unknown,
            (_, Ok(host)) if answer.path.is_some() && self.snapshot.misdirects(sni, host) => {
                StrictSni::Misdirected
            }
            // A request that cannot be read is answered before that is asked.
            _ => StrictSni::Served,
        }
    }

    pub(super) fn certificate(&self, question: &Question) -> CertificateAnswer {
        let mut buffer = String::new();
        let raw = question.sni.as_deref().unwrap_or_default();
        let name = hosts::server_name(raw, &mut buffer);
        let server_name = name.map(str::to_owned);
        let (CertificateChoice::Known(shown) | CertificateChoice::Unknown(shown)) =
            self.snapshot.certificate(name);
        let mut answer = CertificateAnswer {
            server_name,
            secret: None,
            names: Vec::new(),
            rule: RuleId::T5.to_string(),
            why: "no usable server name: the default certificate".to_owned(),
        };
        if let Some(secret) = shown.and_then(|shown| self.secrets.showing(&shown)) {
            let object = &secret.object;
            answer.secret = Some(format!("{}/{}", object.namespace, object.name));
            answer.names = secret.names.iter().map(ToString::to_string).collect();
        }
        let Some(name) = name else { return answer };
        let mut patterns = patterns(RequestHost::Name(name)).into_iter();
        let pattern = patterns.find(|pattern| self.snapshot.certificates.of(pattern).is_some());
        let Some(pattern) = pattern else {
            answer.why = match self.snapshot.unknown_certificate {
                Some(_) => {
                    answer.rule = RuleId::T2.to_string();
                    format!("no `tls` entry knows {name}; an entry without hosts is shown")
                }
                None => format!(
                    "no `tls` entry knows {name}: the default certificate, or under \
                     tls.strict_sni the end of the handshake"
                ),
            };
            return answer;
        };
        let members = self.members(&pattern);
        let mut problems = Vec::new();
        let tls = tls::associate(&pattern, &members, &self.secrets, self.now, &mut problems);
        let entry = tls.decided.map(|(object, at)| format!("{object} spec.tls[{at}]"));
        let entry = entry.unwrap_or_default();
        let own = matches!(tls.certificate, Some(HostCertificate::Own(_)));
        answer.rule = if own { RuleId::T7 } else { RuleId::T9 }.to_string();
        answer.why = match (own, problems.first()) {
            (true, None) => format!("{} by {entry}", told(&pattern)),
            (true, Some(problem)) => format!("{} by {entry}; {}", told(&pattern), problem.message),
            (false, Some(problem)) => {
                answer.rule = problem.rule.map(|rule| rule.to_string()).unwrap_or_default();
                format!("{} by {entry}: {}", told(&pattern), problem.message)
            }
            (false, None) => {
                answer.rule = RuleId::T2.to_string();
                format!("{} by {entry}, which names no Secret", told(&pattern))
            }
        };
        answer
    }
}
