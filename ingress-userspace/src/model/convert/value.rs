//! What an object of an old version is in v1, as a value.

use serde_json::{Map, Value, json};

use super::Note;

pub(super) const V1: &str = "networking.k8s.io/v1";
pub(super) const DEFAULT_PATH_TYPE: &str = "ImplementationSpecific";

/// Said of a path type that was filled in.
pub(super) const FILLED_IN: &str = "not given, the default of v1beta1";

/// A document in its new version.
pub(super) struct Converted {
    pub(super) value: Value,
    /// Objects that changed.
    pub(super) objects: usize,
    pub(super) notes: Vec<Note>,
}

/// What a mapping is, by its version and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Ingress,
    IngressClass,
    /// Part of an old Ingress, without version and kind.
    Excerpt,
    List,
    Other,
}

pub(super) fn convert(document: &Value) -> Converted {
    let mut converted = Converted { value: document.clone(), objects: 0, notes: Vec::new() };
    object(&mut converted.value, "", None, &mut converted.objects, &mut converted.notes);
    converted
}

/// `inherited`: version and kind of items that a typed list stands for.
pub(super) fn subject(value: &Value, inherited: Option<(&str, &str)>) -> Subject {
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let version = text("apiVersion").or_else(|| inherited.map(|(version, _)| version));
    let kind = text("kind").or_else(|| inherited.map(|(_, kind)| kind));
    match (kind, version) {
        (Some("Ingress"), Some("extensions/v1beta1" | "networking.k8s.io/v1beta1")) => {
            Subject::Ingress
        }
        (Some("IngressClass"), Some("networking.k8s.io/v1beta1")) => Subject::IngressClass,
        (Some(kind), Some(_)) if kind.ends_with("List") && value.get("items").is_some() => {
            Subject::List
        }
        (None, None) if is_excerpt(value) => Subject::Excerpt,
        (Some(_) | None, Some(_) | None) => Subject::Other,
    }
}

/// What the items of a typed list inherit.
pub(super) fn inherited(list: &Value) -> Option<(&str, &str)> {
    let version = list.get("apiVersion")?.as_str()?;
    let kind = list.get("kind")?.as_str()?.strip_suffix("List")?;
    (!kind.is_empty()).then_some((version, kind))
}

fn is_excerpt(value: &Value) -> bool {
    let Some(spec) = value.get("spec") else { return false };
    let is_old = |backend: Option<&Value>| backend.is_some_and(|b| b.get("serviceName").is_some());
    let rules = spec.get("rules").and_then(Value::as_array).into_iter().flatten();
    let mut paths = rules.flat_map(|rule| paths(rule).into_iter().flatten());
    is_old(spec.get("backend")) || paths.any(|path| is_old(path.get("backend")))
}

fn paths(rule: &Value) -> Option<&Vec<Value>> {
    rule.get("http")?.get("paths")?.as_array()
}

fn object(
    value: &mut Value,
    at: &str,
    outer: Option<(&str, &str)>,
    objects: &mut usize,
    notes: &mut Vec<Note>,
) {
    let subject = subject(value, outer);
    match subject {
        Subject::Other => return,
        Subject::List => {
            let of_items = inherited(value).map(|(v, k)| (v.to_owned(), k.to_owned()));
            let of_items = of_items.as_ref().map(|(v, k)| (v.as_str(), k.as_str()));
            let before = *objects;
            if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
                for (index, item) in items.iter_mut().enumerate() {
                    object(item, &format!("{at}items[{index}]."), of_items, objects, notes);
                }
            }
            let is_old = of_items.is_some_and(|(version, _)| version.ends_with("/v1beta1"));
            if is_old && *objects > before {
                value["apiVersion"] = V1.into();
            }
            return;
        }
        Subject::Ingress | Subject::IngressClass => {
            if let Some(version) = value.get_mut("apiVersion") {
                *version = V1.into();
            }
        }
        Subject::Excerpt => notes.push(Note::filled(
            at.trim_end_matches('.').to_owned(),
            "no apiVersion and kind: taken as a part of an Ingress",
        )),
    }
    *objects += 1;
    if subject != Subject::IngressClass
        && let Some(Value::Object(fields)) = value.get_mut("spec")
    {
        spec(fields, &format!("{at}spec"), notes);
    }
}

fn spec(spec: &mut Map<String, Value>, at: &str, notes: &mut Vec<Note>) {
    if spec.contains_key("backend") {
        if spec.contains_key("defaultBackend") {
            let message = "both `backend` and `defaultBackend` are given";
            notes.push(Note::lost(format!("{at}.backend"), message));
        } else if let Some(mut old) = spec.remove("backend") {
            backend(&mut old, &format!("{at}.backend"), notes);
            spec.insert("defaultBackend".to_owned(), old);
        }
    }
    let Some(Value::Array(rules)) = spec.get_mut("rules") else { return };
    for (number, rule) in rules.iter_mut().enumerate() {
        let paths = rule.get_mut("http").and_then(|http| http.get_mut("paths"));
        let Some(Value::Array(paths)) = paths else { continue };
        for (index, path) in paths.iter_mut().enumerate() {
            let Value::Object(path) = path else { continue };
            let at = format!("{at}.rules[{number}].http.paths[{index}]");
            if needs_path_type(path.get("pathType")) {
                path.insert("pathType".to_owned(), DEFAULT_PATH_TYPE.into());
                notes.push(Note::filled(format!("{at}.pathType"), FILLED_IN));
            }
            if let Some(old) = path.get_mut("backend") {
                backend(old, &format!("{at}.backend"), notes);
            }
        }
    }
}

pub(super) fn needs_path_type(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_null() || value.as_str() == Some(""))
}

fn backend(value: &mut Value, at: &str, notes: &mut Vec<Note>) {
    let Value::Object(fields) = value else { return };
    let is_given = |value: Option<&Value>| {
        value.is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    };
    let (name, port) = (fields.get("serviceName"), fields.get("servicePort"));
    if name.is_none() && port.is_none() {
        return;
    }
    if fields.contains_key("service") {
        let message = "both `serviceName` and `service` are given";
        notes.push(Note::lost(at.to_owned(), message));
        return;
    }
    if !is_given(name) {
        if is_given(fields.get("resource")) {
            fields.remove("serviceName");
            fields.remove("servicePort");
        } else {
            let message = "`serviceName` is missing or empty, v1 has no backend without a name";
            notes.push(Note::lost(at.to_owned(), message));
        }
        return;
    }
    if !is_given(port) {
        let message = "`servicePort` is missing, v1 has no Service backend without a port";
        notes.push(Note::lost(at.to_owned(), message));
        return;
    }
    let (Some(name), Some(port)) = (fields.remove("serviceName"), fields.remove("servicePort"))
    else {
        return;
    };
    let port = match (numeric(&port), port) {
        (Some(number), _) => {
            let message = format!("the text {number:?} is no port name, taken as the number");
            notes.push(Note::filled(format!("{at}.servicePort"), message));
            json!({"number": number})
        }
        (None, Value::String(text)) => json!({"name": text}),
        (None, number) => json!({"number": number}),
    };
    fields.insert("service".to_owned(), json!({"name": name, "port": port}));
}

/// A port number that is written as text.
pub(super) fn numeric(port: &Value) -> Option<u16> {
    port.as_str()?.parse().ok()
}
