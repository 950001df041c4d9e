//! The tallies of routes outlive the routes: an edit makes new routes, and they go on counting
//! where those of the same id have left off.

use std::sync::Arc;

use hashbrown::HashMap;

use super::route::Route;
use super::snapshot::HostRoutes;
use crate::metrics::Tally;

/// Of one host, by id of the route.
#[derive(Debug, Default)]
pub(super) struct Tallies<'a> {
    known: HashMap<&'a str, &'a Arc<Tally>>,
}

// === impl Tallies ===

impl<'a> Tallies<'a> {
    pub(super) fn of(routes: Option<&'a HostRoutes>) -> Self {
        let routes = routes.into_iter().flat_map(|host| host.routes());
        Self { known: routes.map(|route| (&*route.id, &route.tally)).collect() }
    }

    pub(super) fn of_one(route: Option<&'a Arc<Route>>) -> Self {
        Self { known: route.into_iter().map(|route| (&*route.id, &route.tally)).collect() }
    }

    /// That of a route with this id, or a fresh one.
    pub(super) fn get(&self, id: &str) -> Arc<Tally> {
        self.known.get(id).map(|&tally| tally.clone()).unwrap_or_default()
    }
}
