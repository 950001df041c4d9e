//! What a request for the status wants to see.

use hashbrown::HashSet;
use percent_encoding::percent_decode_str;

use super::metrics::Detail;
use crate::metrics::Form;

/// Entries of a list when nothing else is asked for, and at most.
const LIMIT: usize = 1_000;
const MOST: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) routes: bool,
    pub(super) clusters: bool,
    pub(super) certificates: bool,
    pub(super) problems: bool,
    /// Only of this namespace, Ingress, Service, or host as an Ingress names it.
    pub(super) namespace: Option<String>,
    pub(super) ingress: Option<String>,
    pub(super) service: Option<String>,
    pub(super) host: Option<String>,
    /// Only routes with one of these ids; empty = all.
    pub(super) ids: HashSet<String>,
    pub(super) order: Order,
    pub(super) offset: usize,
    pub(super) limit: usize,
    /// `output=json`.
    pub(super) json: bool,
    /// `by`, of metrics.
    pub(super) detail: Detail,
    /// `form`, of metrics; absent = as `Accept` says.
    pub(super) form: Option<Form>,
}

/// Of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    /// The busiest first.
    Requests,
}

/// A field of a form that nobody filled in asks for nothing.
fn filled(value: String) -> Option<String> {
    (!value.is_empty()).then_some(value)
}

// === impl Query ===

impl Query {
    /// # Errors
    ///
    /// What is wrong with the query, for the answer.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, String> {
        let mut query = Self::default();
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for pair in pairs {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| format!("{key}: not UTF-8"))?
                .into_owned();
            query.set(key, value)?;
        }
        Ok(query)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let number = |value: &str| {
            value.parse::<usize>().map_err(|_| format!("{key}: {value:?} is not a number"))
        };
        match key {
            "lists" => self.choose(&value)?,
            "namespace" => self.namespace = filled(value),
            "ingress" => self.ingress = filled(value),
            "service" => self.service = filled(value),
            "host" => self.host = filled(value),
            "route" => drop(self.ids.insert(value)),
            "offset" => self.offset = number(&value)?,
            "limit" => self.limit = number(&value)?.min(MOST),
            "order" => {
                self.order = match value.as_str() {
                    "name" => Order::Name,
                    "requests" => Order::Requests,
                    _ => return Err(format!("order: {value:?} is neither name nor requests")),
                }
            }
            "output" => {
                self.json = match value.as_str() {
                    "json" => true,
                    "text" => false,
                    _ => return Err(format!("output: {value:?} is neither json nor text")),
                }
            }
            "by" => {
                self.detail = match value.as_str() {
                    "route" => Detail::Route,
                    "ingress" => Detail::Ingress,
                    "namespace" => Detail::Namespace,
                    "nothing" => Detail::Nothing,
                    _ => {
                        return Err(format!(
                            "by: {value:?} is none of route, ingress, namespace, nothing"
                        ));
                    }
                }
            }
            "form" => {
                self.form = match value.as_str() {
                    "openmetrics" => Some(Form::OpenMetrics),
                    "prometheus" => Some(Form::Prometheus),
                    _ => {
                        return Err(format!(
                            "form: {value:?} is neither openmetrics nor prometheus"
                        ));
                    }
                }
            }
            _ => {
                return Err(format!(
                    "{key:?} is not known; known are lists, namespace, ingress, service, host, \
                     route, order, offset, limit, output, form, by"
                ));
            }
        }
        Ok(())
    }

    /// Only these lists; an empty text chooses none.
    fn choose(&mut self, names: &str) -> Result<(), String> {
        let none = Self {
            routes: false,
            clusters: false,
            certificates: false,
            problems: false,
            ..self.clone()
        };
        *self = none;
        for name in names.split(',').filter(|name| !name.is_empty()) {
            match name {
                "routes" => self.routes = true,
                "clusters" => self.clusters = true,
                "certificates" => self.certificates = true,
                "problems" => self.problems = true,
                _ => {
                    return Err(format!(
                        "lists: {name:?} is none of routes, clusters, certificates, problems"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Default for Query {
    fn default() -> Self {
        Self {
            routes: true,
            clusters: true,
            certificates: true,
            problems: true,
            namespace: None,
            ingress: None,
            service: None,
            host: None,
            ids: HashSet::new(),
            order: Order::Name,
            offset: 0,
            limit: LIMIT,
            json: false,
            form: None,
            detail: Detail::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_filters_pages_and_lists() {
        let query = Query::parse(Some(
            "lists=routes,problems&host=%2A.b.example&order=requests&offset=20&limit=5",
        ));
        let query = query.unwrap();
        assert!(query.routes && query.problems && !query.clusters && !query.certificates);
        assert_eq!(query.host.as_deref(), Some("*.b.example"));
        assert_eq!((query.order, query.offset, query.limit), (Order::Requests, 20, 5));
        let query = Query::parse(Some("route=ns%2Fa%2Fdefault&route=b")).unwrap();
        assert_eq!(query.ids, HashSet::from(["ns/a/default".to_owned(), "b".to_owned()]));
        assert_eq!(Query::parse(None), Ok(Query::default()));
        assert_eq!(Query::parse(Some("limit=1000000")).unwrap().limit, MOST);
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (text, named) in
            [("hots=a", "hots"), ("lists=pods", "pods"), ("limit=x", "limit"), ("order=age", "age")]
        {
            let error = Query::parse(Some(text)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
