//! The two tables of texts give the same answers; the rules themselves are tested in `compile`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::routing::{Action, ClusterId};

fn route(id: usize) -> Arc<Route> {
    Arc::new(Route {
        id: id.to_string().into(),
        namespace: "n".into(),
        ingress: "i".into(),
        path: "".into(),
        kind: None,
        action: Action::Forward(ClusterId(0)),
        rewrite: None,
        https_redirect: None,
        hsts: None,
        filters: None,
        tally: Arc::default(),
    })
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["/", "a", "b", "/a", "/b", "ab"]), 0..5)
        .prop_map(|parts| format!("/{}", parts.concat()).replace("//", "/"))
}

fn way() -> impl Strategy<Value = PathMatch> {
    prop::sample::select(vec![
        PathMatch::Exact,
        PathMatch::Prefix,
        PathMatch::Elements,
        PathMatch::Bytes,
    ])
}

fn answer(found: Option<Found<'_>>) -> Option<(bool, usize, String)> {
    found.map(|found| match found {
        Found::Exact(route) => (true, 0, route.id.to_string()),
        Found::Prefix(length, route) => (false, length, route.id.to_string()),
    })
}

proptest! {
    #[test]
    fn few_and_many_rules_are_matched_alike(
        rules in prop::collection::btree_map((text(), way()), Just(()), 0..12),
        paths in prop::collection::vec(text(), 1..20),
    ) {
        let rules: BTreeMap<_, _> = rules;
        let rules: Vec<PathRule> = rules
            .into_keys()
            .enumerate()
            .map(|(id, (text, way))| PathRule { text: text.into(), way, route: route(id) })
            .collect();
        let (few, many) = (Few::new(&rules).unwrap(), Many::new(rules));
        for path in paths {
            prop_assert_eq!(answer(few.find(&path)), answer(many.find(&path)), "{}", path);
        }
    }
}
