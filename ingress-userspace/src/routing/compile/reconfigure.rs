//! Other settings under the same objects, and where objects stand: what changes without an object.

use std::mem;

use crate::model::{ObjectRef, Origin, Problem};

use super::{Compiled, Compiler, Settings};

// === impl Compiler ===

impl Compiler {
    /// Compiles under other settings what they touch. Objects, last good certificates and what
    /// waits for its moment stay (T9, K8); a setting that is as before costs nothing.
    pub fn set_settings(&mut self, settings: Settings) -> Compiled {
        let old = mem::replace(&mut self.settings, settings);
        self.mark(&old);
        self.finish()
    }

    /// Every field is named here: a new one has to say what it touches.
    fn mark(&mut self, old: &Settings) {
        let Settings {
            compat,
            class_names,
            controller,
            serve_classless,
            default_certificate,
            https_redirect,
            hsts,
            verify_upstream,
            balance,
            // Holds for Secrets that are deleted from now on.
            deleted_secret_grace: _,
            endpoints,
            custom_headers,
        } = old;
        let new = &self.settings;
        let other_classes = *class_names != new.class_names
            || *controller != new.controller
            || *serve_classless != new.serve_classless;
        let other_routes =
            *compat != new.compat || *https_redirect != new.https_redirect || *hsts != new.hsts;
        let other_addresses = *endpoints != new.endpoints;
        let other_clusters = *compat != new.compat
            || *verify_upstream != new.verify_upstream
            || *balance != new.balance
            || other_addresses;
        let other_headers = *custom_headers != new.custom_headers;
        self.dirty.default_certificate |= *default_certificate != new.default_certificate;

        if other_classes {
            let all: Vec<ObjectRef> = self.ingresses.keys().cloned().collect();
            for ingress in all {
                self.judge_class(&ingress);
            }
        }
        if other_headers {
            for ingress in self.config_maps.all_users() {
                self.refresh(&ingress);
            }
        }
        if other_routes {
            self.dirty.hosts.extend(self.hosts.keys().cloned());
            self.dirty.catch_all = true;
        }
        if other_clusters {
            self.dirty.clusters.extend(self.clusters.ids());
        }
        if other_addresses {
            self.dirty.endpoints.extend(self.clusters.endpoint_sets().cloned());
        }
    }

    /// Problems of objects, with the place where each object stands now.
    pub(super) fn located(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        for problem in problems.iter_mut().filter(|problem| problem.origin == Origin::Cluster) {
            let origin = problem.object.as_ref().and_then(|object| self.origins.get(object));
            if let Some(origin) = origin {
                problem.origin = origin.clone();
            }
        }
        problems.sort_unstable();
        problems
    }
}
