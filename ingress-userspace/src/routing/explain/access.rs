//! What the access rules of a route do with a request of anybody.

use super::steps::Step;
use crate::routing::access::{Access, Auth, Limits};
use crate::routing::cors::{Cors, Origins};

pub(super) fn cors(cors: &Cors, steps: &mut Vec<Step>) {
    let effect = match &cors.origins {
        Origins::Any => "204 for OPTIONS; answers can be read by every origin".to_owned(),
        Origins::Listed(origins) => format!(
            "204 for OPTIONS of a listed origin ({} listed); only those can read answers",
            origins.len()
        ),
    };
    steps.push(Step::new("enable-cors", effect));
}

pub(super) fn access(access: &Access, steps: &mut Vec<Step>) {
    let Access { limits, sources, auth, satisfy_any } = access;
    if let Some(limits) = limits {
        self::limits(limits, steps);
    }
    let (basic, either) = (*auth != Auth::None, *satisfy_any && *auth != Auth::None);
    if sources.is_some() {
        let effect = match either {
            true => "a source of the allow list needs no password",
            false => "403 for sources that the lists refuse",
        };
        steps.push(Step::new("source-range", effect));
    }
    if basic {
        let effect = match auth {
            Auth::Unusable => "503: its Secret is not usable",
            _ => "401 without a right user and password",
        };
        let answers = *auth == Auth::Unusable;
        steps.push(Step { answers, ..Step::new("auth-type", effect) });
    }
}

fn limits(limits: &Limits, steps: &mut Vec<Step>) {
    let Limits { id: _, rates, connections, exempt } = limits;
    let but = if exempt.is_empty() { "" } else { ", but for exempt sources" };
    for (name, rate) in ["limit-rps", "limit-rpm"].into_iter().zip(rates) {
        if let Some(rate) = rate {
            let effect = format!(
                "refused when more than {} requests of a client wait to drain, one in {:?}{but}",
                rate.burst / rate.period,
                std::time::Duration::from_nanos(rate.period)
            );
            steps.push(Step::new(name, effect));
        }
    }
    if let Some(most) = connections {
        let effect = format!("refused when {most} requests of a client are under way{but}");
        steps.push(Step::new("limit-connections", effect));
    }
}
