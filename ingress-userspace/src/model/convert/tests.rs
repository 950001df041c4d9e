use super::*;

/// The text and `line: note` of each note.
fn converted(text: &str) -> (String, Vec<String>) {
    let converted = convert(text, false);
    let notes = converted.notes.iter().map(|note| format!("{}: {note}", note.line)).collect();
    (converted.text, notes)
}

/// The text, when all notes are about path types.
fn quietly(text: &str) -> String {
    let (text, notes) = converted(text);
    let loud: Vec<_> = notes.iter().filter(|note| !note.ends_with(value::FILLED_IN)).collect();
    assert!(loud.is_empty(), "{loud:?}");
    text
}

const HEAD: &str = "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\nspec:\n";
const NEW_HEAD: &str =
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec:\n";

#[test]
fn layout_and_comments_stay_in_every_common_style() {
    for (before, after) in [
        (
            "  # the default\n  backend:  # here\n    serviceName: s  # name\n    servicePort: 80 # port\n",
            "  # the default\n  defaultBackend:  # here\n    service:\n      name: s  # name\n      port:\n        number: 80 # port\n",
        ),
        (
            "  backend:\n    servicePort: http\n    # between\n    serviceName: s\n",
            "  defaultBackend:\n    service:\n      port:\n        name: http\n    # between\n      name: s\n",
        ),
        (
            "  backend: {serviceName: s, servicePort: 80}\n",
            "  defaultBackend: {service: {name: s, port: {number: 80}}}\n",
        ),
        (
            "  backend: {\"servicePort\":\"http\",\"serviceName\":\"s\"}\n",
            "  defaultBackend: {service: {port: {\"name\":\"http\"},\"name\":\"s\"}}\n",
        ),
        (
            "  rules:\n  - http:\n      paths:\n      - path: /a   # why\n        backend:\n          serviceName: s\n          servicePort: 80\n",
            "  rules:\n  - http:\n      paths:\n      - path: /a   # why\n        pathType: ImplementationSpecific # genkan: not given, the default of v1beta1\n        backend:\n          service:\n            name: s\n            port:\n              number: 80\n",
        ),
        (
            "  rules:\n    - http:\n        paths:\n          - backend:\n              serviceName: s\n              servicePort: 80\n",
            "  rules:\n    - http:\n        paths:\n          - pathType: ImplementationSpecific # genkan: not given, the default of v1beta1\n            backend:\n              service:\n                name: s\n                port:\n                  number: 80\n",
        ),
        (
            "  rules:\n  - http: {paths: [{path: /a, pathType: Exact, backend: {serviceName: s, servicePort: 80}}]}\n",
            "  rules:\n  - http: {paths: [{path: /a, pathType: Exact, backend: {service: {name: s, port: {number: 80}}}}]}\n",
        ),
        (
            "  rules:\n  - http: {paths: [{path: /a, backend: {serviceName: s, servicePort: 80}}]}\n",
            "  rules:\n  # genkan: spec.rules[0].http.paths[0].pathType: not given, the default of v1beta1\n  - http: {paths: [{pathType: ImplementationSpecific, path: /a, backend: {service: {name: s, port: {number: 80}}}}]}\n",
        ),
    ] {
        assert_eq!(quietly(&format!("{HEAD}{before}")), format!("{NEW_HEAD}{after}"));
    }
}

#[test]
fn line_ends_are_those_of_the_file() {
    let text =
        format!("{HEAD}  backend:\n    serviceName: s\n    servicePort: 80").replace('\n', "\r\n");
    let after = quietly(&text);
    assert!(
        after.ends_with("service:\r\n      name: s\r\n      port:\r\n        number: 80"),
        "{after:?}"
    );
}

#[test]
fn what_is_not_an_old_ingress_passes_through_byte_by_byte() {
    for text in [
        "",
        "# only a comment\n",
        "\u{feff}kind: Service # x\n\n---\n---\n# c\nkind:   Secret\n...\n",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: {backend: {serviceName: s}}\n",
        "apiVersion: example.com/v1beta1\nkind: Ingress\nspec: {backend: {serviceName: s}}\n",
        "- a\n- b\n",
    ] {
        assert_eq!(converted(text), (text.to_owned(), vec![]));
    }
}

#[test]
fn only_old_documents_of_a_stream_change() {
    let others = "# top\nkind:   Service # x\n---\n";
    let text =
        format!("{others}{HEAD}  backend: {{serviceName: s, servicePort: 80}}\n---\n{others}");
    let after = quietly(&text);
    assert!(after.starts_with(others) && after.ends_with(others), "{after}");
    assert_eq!(after.matches("networking.k8s.io/v1\n").count(), 1);
}

#[test]
fn unknown_fields_metadata_and_status_are_kept() {
    let text = "kind: Ingress\nmetadata:\n  annotations: {a/b: \"1\"}\n  labels: {x: 'y'}\napiVersion: \
                \"extensions/v1beta1\"\nunknown: [1, {two: 3}]\nspec:\n  other: true\n  backend:\n    \
                serviceName: s\n    servicePort: 80\n    weight: 3\nstatus: {loadBalancer: {}}\n";
    let before: Value = Document { first_line: 1, line: 1, text }.parse_yaml().unwrap();
    let converted = convert(text, false);
    assert_eq!(converted.objects, 1);
    let after = &converted.values[0];
    for field in ["metadata", "unknown", "status"] {
        assert_eq!(after[field], before[field], "{field}");
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        assert!(converted.text.contains(line), "{field}");
    }
    assert_eq!(after["spec"]["defaultBackend"]["weight"], 3);
    assert_eq!(after["spec"]["other"], true);
    assert!(
        converted.text.contains("apiVersion: \"networking.k8s.io/v1\"\n"),
        "{}",
        converted.text
    );
}

#[test]
fn lists_and_classes_are_converted() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.k8s.io/v1beta1\n  kind: \
                IngressClass\n  metadata: {name: c}\n  spec: {controller: a.b/c}\n- apiVersion: \
                extensions/v1beta1\n  kind: Ingress\n  metadata: {name: i}\n  spec:\n    backend:\n      \
                serviceName: s\n      servicePort: 80\n- kind: Service\n  apiVersion: v1\n";
    let after = quietly(text);
    assert_eq!(after.matches("apiVersion: networking.k8s.io/v1\n").count(), 2, "{after}");
    assert!(after.contains("    defaultBackend:\n      service:\n        name: s\n"), "{after}");
    assert!(after.starts_with("apiVersion: v1\nkind: List\n"));

    let typed = "apiVersion: extensions/v1beta1\nkind: IngressList\nitems:\n- metadata: {name: i}\n  \
                 spec: {backend: {serviceName: s, servicePort: 80}}\n";
    let after = quietly(typed);
    assert!(after.starts_with("apiVersion: networking.k8s.io/v1\nkind: IngressList\n"), "{after}");
    assert!(after.contains("defaultBackend: {service: "), "{after}");
}

#[test]
fn a_document_that_cannot_be_edited_is_written_anew_and_says_so() {
    let merged = format!(
        "# above\n{HEAD}  x: &b {{servicePort: 80}}\n  backend:\n    <<: *b\n    serviceName: s # c\n"
    );
    let (after, _) = converted(&merged);
    assert!(after.starts_with("# above\n# genkan: written anew: "), "{after}");
    let read: Value = Document { first_line: 1, line: 1, text: &after }.parse_yaml().unwrap();
    assert_eq!(read["spec"]["defaultBackend"]["service"]["port"]["number"], 80);

    let json = "{\"apiVersion\":\"extensions/v1beta1\",\"kind\":\"Ingress\",\"metadata\":{\"name\":\"a\"},\
                \"spec\":{\"backend\":{\"serviceName\":\"s\",\"servicePort\":\"web\"}}}";
    let after = convert(json, true).text;
    assert!(after.contains("apiVersion: networking.k8s.io/v1\n"), "{after}");
    let read: Value = Document { first_line: 1, line: 1, text: &after }.parse_yaml().unwrap();
    assert_eq!(read["spec"]["defaultBackend"]["service"]["port"]["name"], "web");
}

#[test]
fn what_v1_cannot_say_is_named_and_left_as_it_is() {
    let path = |rest: &str| {
        format!(
            "  rules:\n  - http:\n      paths:\n      - path: /a\n        pathType: Exact\n        {rest}"
        )
    };
    for (spec, note) in [
        (
            "  backend:\n    serviceName: s\n".to_owned(),
            "5: NOT CONVERTED: spec.backend: `servicePort` is missing",
        ),
        (
            "  backend: {servicePort: 80}\n".to_owned(),
            "5: NOT CONVERTED: spec.backend: `serviceName` is missing or empty",
        ),
        (
            "  backend: {serviceName: '', servicePort: 80}\n".to_owned(),
            "5: NOT CONVERTED: spec.backend: `serviceName` is missing or empty",
        ),
        (
            "  backend: {serviceName: s, servicePort: 80}\n  defaultBackend: {}\n".to_owned(),
            "5: NOT CONVERTED: spec.backend: both",
        ),
        (
            path("backend: {serviceName: s, servicePort: 80, service: {}}\n"),
            "10: NOT CONVERTED: spec.rules[0].http.paths[0].backend: both",
        ),
        (
            path("backend: {serviceName: S_, servicePort: 80}\n"),
            "10: NOT CONVERTED: spec.rules[0].http.paths[0].backend.service.name: v1 refuses this",
        ),
        (
            path("backend: {serviceName: s, servicePort: 0}\n"),
            "10: NOT CONVERTED: spec.rules[0].http.paths[0].backend.service.port: v1 refuses this",
        ),
    ] {
        let (text, notes) = converted(&format!("{HEAD}{spec}"));
        assert!(notes.iter().any(|found| found.starts_with(note)), "{spec}: {notes:?}");
        assert!(text.contains("# genkan: NOT CONVERTED: "), "{text}");
    }
    let (text, notes) = converted("kind: Ingress\n---\na: [\n");
    assert!(
        notes[0].starts_with("3: NOT CONVERTED: passed through unchanged: not YAML"),
        "{notes:?}"
    );
    assert_eq!(text, "kind: Ingress\n---\na: [\n");
}

#[test]
fn a_resource_backend_needs_no_service_and_a_number_in_quotes_is_a_number() {
    let resource = "  backend:\n    serviceName: \"\"\n    resource: {kind: Bucket, name: b}\n";
    let converted = convert(&format!("{HEAD}{resource}"), false);
    assert_eq!(
        converted.values[0]["spec"]["defaultBackend"],
        serde_json::json!({"resource": {"kind": "Bucket", "name": "b"}})
    );
    assert!(converted.notes.iter().all(|note| !note.lost), "{:?}", converted.notes);

    let (text, notes) = self::converted(&format!(
        "{HEAD}  backend:\n    serviceName: s\n    servicePort: \"80\"\n"
    ));
    assert!(text.contains("        number: 80\n"), "{text}");
    assert!(
        text.contains("# genkan: spec.backend.servicePort: the text 80 is no port name"),
        "{text}"
    );
    assert_eq!(notes.len(), 1);
}

#[test]
fn no_text_of_a_document_ends_a_comment() {
    let text = format!("{HEAD}  backend: {{\"serviceName\": \"a\\nb: c\", servicePort: 80}}\n");
    let after = convert(&text, false);
    let read: Value = Document { first_line: 1, line: 1, text: &after.text }.parse_yaml().unwrap();
    assert_eq!(read, after.values[0]);
}
