use super::*;

fn host(host: &str) -> (Option<Ingress>, Vec<String>) {
    ingress_v1(&format!(
        "{{rules: [{{host: {host:?}, http: {{paths: [{{path: /, pathType: Prefix, backend: \
         {S}}}]}}}}]}}"
    ))
}

#[test]
fn h1_takes_precise_wildcard_and_empty_hosts() {
    for (text, expected) in [
        ("", HostPattern::Any),
        ("foo.example", HostPattern::Exact("foo.example".into())),
        ("a-1.b", HostPattern::Exact("a-1.b".into())),
        ("xn--mnchen-3ya.de", HostPattern::Exact("xn--mnchen-3ya.de".into())),
        ("*.foo.example", HostPattern::Wildcard("foo.example".into())),
    ] {
        let (ingress, problems) = host(text);
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(ingress.unwrap().rules[0].host, expected, "{text}");
    }
}

#[test]
fn h1_refuses_star_inside_a_label_or_elsewhere() {
    for text in ["*", "*foo.example", "f*o.example", "foo.*.example", "*.*.example", "foo.*", "*."]
    {
        let (ingress, problems) = host(text);
        assert_eq!(problems, ["spec.rules[0].host: InvalidObject"], "{text}");
        assert!(ingress.unwrap().rules.is_empty(), "{text}");
    }
}

#[test]
fn h1_refuses_addresses_ports_and_names_that_are_no_dns_names() {
    let long = format!("{}.example", "a".repeat(250));
    for text in [
        "192.0.2.1",
        "2001:db8::1",
        "[2001:db8::1]",
        "foo.example:8443",
        "foo.example.",
        "Foo.example",
        "foo_bar.example",
        "-foo.example",
        "foo-.example",
        "foo..example",
        ".foo",
        "foo example",
        "münchen.de",
        "foo.example/x",
        &long,
    ] {
        let (ingress, problems) = host(text);
        assert_eq!(problems, ["spec.rules[0].host: InvalidObject"], "{text}");
        assert!(ingress.unwrap().rules.is_empty(), "{text}");
    }
}

#[test]
fn h9_a_rule_without_http_keeps_its_host() {
    let (ingress, problems) = ingress_v1("{rules: [{host: a.example}]}");
    assert_eq!(problems, [""; 0]);
    assert!(ingress.unwrap().rules[0].paths.is_empty());
}

#[test]
fn h4_a_host_whose_paths_are_all_refused_stays_taken() {
    let (ingress, problems) = ingress_v1(&format!(
        "{{rules: [{{host: a.example, http: {{paths: [{{path: x, pathType: Exact, backend: \
         {S}}}]}}}}]}}"
    ));
    assert_eq!(problems, ["spec.rules[0].http.paths[0].path: InvalidObject"]);
    let ingress = ingress.unwrap();
    assert_eq!(ingress.rules[0].host, HostPattern::Exact("a.example".into()));
    assert!(ingress.rules[0].paths.is_empty());
}

#[test]
fn p7_takes_all_three_path_types() {
    for (kind, expected) in [
        ("Exact", PathKind::Exact),
        ("Prefix", PathKind::Prefix),
        ("ImplementationSpecific", PathKind::ImplementationSpecific),
    ] {
        let (ingress, problems) = path_v1("/foo", kind);
        assert_eq!(problems, [""; 0], "{kind}");
        assert_eq!(ingress.unwrap().rules[0].paths[0].kind, expected);
    }
    let (_, problems) = path_v1("/foo", "prefix");
    assert_eq!(problems, ["spec.rules[0].http.paths[0].pathType: InvalidObject"]);
}

#[test]
fn p7_v1_demands_a_path_type() {
    let (ingress, problems) =
        ingress_v1(&format!("{{rules: [{{http: {{paths: [{{path: /, backend: {S}}}]}}}}]}}"));
    assert_eq!(problems, ["spec.rules[0].http.paths[0].pathType: InvalidObject"]);
    assert!(ingress.unwrap().rules[0].paths.is_empty());
}

#[test]
fn p5_implementation_specific_is_free_text_after_the_slash() {
    for text in ["/", "/foo//bar", "/a/../b", "/%2F", "/x(.*)/$", "/\"{}\n;"] {
        let (ingress, problems) = path_v1(text, "ImplementationSpecific");
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(&*ingress.unwrap().rules[0].paths[0].path, text);
    }
    let (_, problems) = path_v1("foo", "ImplementationSpecific");
    assert_eq!(problems, ["spec.rules[0].http.paths[0].path: InvalidObject"]);
}

#[test]
fn p6_an_empty_path_is_for_implementation_specific_alone() {
    let (ingress, problems) = path_v1("", "ImplementationSpecific");
    assert_eq!(problems, [""; 0]);
    assert_eq!(&*ingress.unwrap().rules[0].paths[0].path, "");
    for kind in ["Exact", "Prefix"] {
        let (_, problems) = path_v1("", kind);
        assert_eq!(problems, ["spec.rules[0].http.paths[0].path: InvalidObject"], "{kind}");
    }
}

#[test]
fn exact_and_prefix_refuse_paths_that_have_two_readings() {
    for text in
        ["foo", "/a//b", "//", "/./a", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a/.", "/a/.."]
    {
        for kind in ["Exact", "Prefix"] {
            let (ingress, problems) = path_v1(text, kind);
            let expected = ["spec.rules[0].http.paths[0].path: InvalidObject"];
            assert_eq!(problems, expected, "{kind} {text}");
            assert!(ingress.unwrap().rules[0].paths.is_empty());
        }
    }
    for text in ["/", "/a/", "/a.b/.c", "/a/...", "/%20", "/ünï"] {
        assert_eq!(path_v1(text, "Exact").1, [""; 0], "{text}");
    }
}

#[test]
fn c13_a_bad_rule_or_path_disables_itself_only() {
    let (ingress, problems) = ingress_v1(&format!(
        "{{rules: [{{host: 1.2.3.4}}, 7, {{host: ok.example, http: {{paths: [{{path: /a, pathType: \
         Exact, backend: {S}}}, {{path: b, pathType: Exact, backend: {S}}}, {{path: /c, pathType: \
         Exact, backend: {{}}}}, {{path: /d, pathType: Exact, backend: {S}}}]}}}}, {{http: \
         {{paths: []}}}}]}}"
    ));
    assert_eq!(
        problems,
        [
            "spec.rules[0].host: InvalidObject",
            "spec.rules[1]: InvalidDocument",
            "spec.rules[2].http.paths[1].path: InvalidObject",
            "spec.rules[2].http.paths[2].backend: InvalidObject",
            "spec.rules[3].http.paths: InvalidObject",
        ]
    );
    let ingress = ingress.unwrap();
    assert_eq!(ingress.rules.len(), 1);
    let rule = &ingress.rules[0];
    assert_eq!(rule.index, 2);
    let paths: Vec<_> = rule.paths.iter().map(|p| (p.index, &*p.path)).collect();
    assert_eq!(paths, [(0, "/a"), (3, "/d")]);
}

#[test]
fn c6_an_ingress_whose_rules_are_all_refused_still_has_rules() {
    let (ingress, problems) = ingress_v1(&format!("{{defaultBackend: {S}, rules: [{{host: A}}]}}"));
    let ingress = ingress.unwrap();
    assert_eq!(problems, ["spec.rules[0].host: InvalidObject"]);
    assert!(ingress.has_rules && ingress.rules.is_empty());
    for none in ["", ", rules: []", ", rules: null"] {
        let (ingress, problems) = ingress_v1(&format!("{{defaultBackend: {S}{none}}}"));
        assert_eq!(problems, [""; 0], "{none}");
        assert!(!ingress.unwrap().has_rules, "{none}");
    }
}

#[test]
fn c13_a_bad_tls_entry_disables_itself_only() {
    let (ingress, problems) = ingress_v1(&format!(
        "{{defaultBackend: {S}, tls: [{{hosts: [a.example, '*.b.example'], secretName: one}}, \
         {{hosts: [c.example, '*'], secretName: two}}, {{secretName: Bad_Name}}, {{hosts: \
         [d.example]}}, {{secretName: ''}}]}}"
    ));
    assert_eq!(
        problems,
        ["spec.tls[1].hosts[1]: InvalidObject", "spec.tls[2].secretName: InvalidObject"]
    );
    let ingress = ingress.unwrap();
    let entries: Vec<_> =
        ingress.tls.iter().map(|t| (t.index, t.hosts.len(), t.secret.as_deref())).collect();
    assert_eq!(entries, [(0, 2, Some("one")), (3, 1, None), (4, 0, None)]);
}

#[test]
fn t2_hosts_and_secret_of_a_tls_entry_may_be_empty() {
    let (ingress, problems) = ingress_v1(&format!("{{defaultBackend: {S}, tls: [{{}}]}}"));
    assert_eq!(problems, [""; 0]);
    let entry = &ingress.unwrap().tls[0];
    assert!(entry.hosts.is_empty());
    assert_eq!(entry.secret, None);
}

#[test]
fn a_spec_needs_rules_or_a_default_backend() {
    for spec in ["{}", "null", "{rules: []}", "{tls: [{hosts: [a.example]}]}"] {
        let (ingress, problems) = ingress_v1(spec);
        assert_eq!(problems, ["spec: InvalidObject"], "{spec}");
        assert_eq!(ingress, None, "{spec}");
    }
}

#[test]
fn backends_are_checked() {
    for (backend, expected) in [
        ("{service: {name: s, port: {name: http}}}", ""),
        ("{service: {name: 1s, port: {number: 65535}}}", ""),
        ("{service: {name: s, port: {number: 0, name: http}}}", ""),
        ("{}", "spec.defaultBackend: InvalidObject"),
        ("5", "spec.defaultBackend: InvalidDocument"),
        ("{service: {port: {number: 80}}}", "spec.defaultBackend.service.name: InvalidObject"),
        (
            "{service: {name: S_1, port: {number: 80}}}",
            "spec.defaultBackend.service.name: InvalidObject",
        ),
        (
            "{service: {name: a.b, port: {number: 80}}}",
            "spec.defaultBackend.service.name: InvalidObject",
        ),
        ("{service: {name: s}}", "spec.defaultBackend.service.port: InvalidObject"),
        ("{service: {name: s, port: {}}}", "spec.defaultBackend.service.port: InvalidObject"),
        (
            "{service: {name: s, port: {number: 80, name: http}}}",
            "spec.defaultBackend.service.port: InvalidObject",
        ),
        (
            "{service: {name: s, port: {number: 65536}}}",
            "spec.defaultBackend.service.port.number: InvalidObject",
        ),
        (
            "{service: {name: s, port: {number: '80'}}}",
            "spec.defaultBackend.service.port.number: InvalidDocument",
        ),
        (
            "{service: {name: s, port: {name: sixteen-letters-}}}",
            "spec.defaultBackend.service.port.name: InvalidObject",
        ),
        (
            "{service: {name: s, port: {name: '80'}}}",
            "spec.defaultBackend.service.port.name: InvalidObject",
        ),
        (
            "{service: {name: s, port: {number: 80}}, resource: {kind: K, name: n}}",
            "spec.defaultBackend: InvalidObject",
        ),
        ("{resource: {name: n}}", "spec.defaultBackend.resource.kind: InvalidObject"),
    ] {
        let (ingress, problems) = ingress_v1(&format!("{{defaultBackend: {backend}}}"));
        let ingress = ingress.unwrap();
        if expected.is_empty() {
            assert_eq!(problems, [""; 0], "{backend}");
            assert!(ingress.default_backend.is_some(), "{backend}");
        } else {
            assert_eq!(problems, [expected], "{backend}");
            assert_eq!(ingress.default_backend, None, "{backend}");
        }
    }
}

#[test]
fn c12_a_resource_backend_keeps_its_place() {
    let (ingress, problems) = ingress_v1(
        "{rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {resource: {apiGroup: \
         storage.example, kind: Bucket, name: b}}}]}}]}",
    );
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        ingress.unwrap().rules[0].paths[0].backend,
        Backend::Resource { kind: "Bucket".into(), name: "b".into() }
    );
}

#[test]
fn v1beta1_forms_are_read_in_both_groups() {
    for version in ["networking.k8s.io/v1beta1", "extensions/v1beta1"] {
        let yaml = format!(
            "apiVersion: {version}\nkind: Ingress\nmetadata: {{name: i}}\nspec:\n  backend: \
             {{serviceName: d, servicePort: http}}\n  rules:\n  - http:\n      paths:\n      - \
             backend: {{serviceName: s, servicePort: 80}}\n      - {{path: /x, pathType: Exact, \
             backend: {{serviceName: s, servicePort: 81}}}}\n"
        );
        let (objects, problems) = decoded(&yaml);
        assert_eq!(told(&problems), [""; 0], "{version}");
        let ingress = ingress_of(objects).unwrap();
        assert_eq!(
            ingress.default_backend,
            Some(Backend::Service { name: "d".into(), port: PortRef::Name("http".into()) })
        );
        let paths = &ingress.rules[0].paths;
        assert_eq!((&*paths[0].path, paths[0].kind), ("", PathKind::ImplementationSpecific));
        assert_eq!(paths[0].backend, service_backend("s", 80));
        assert_eq!(paths[1].kind, PathKind::Exact);
    }
}

#[test]
fn v1beta1_backends_are_checked() {
    for (backend, field) in [
        ("{serviceName: s}", "spec.backend.servicePort"),
        ("{serviceName: s, servicePort: 0}", "spec.backend.servicePort"),
        ("{serviceName: s, servicePort: '80'}", "spec.backend.servicePort"),
        ("{servicePort: 80}", "spec.backend"),
        ("{serviceName: '', servicePort: 80}", "spec.backend"),
        ("{service: {name: s, port: {number: 80}}}", "spec.backend"),
    ] {
        let yaml = format!(
            "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {{name: i}}\nspec: \
             {{backend: {backend}}}\n"
        );
        let (objects, problems) = decoded(&yaml);
        assert_eq!(told(&problems), [format!("{field}: InvalidObject")], "{backend}");
        assert_eq!(ingress_of(objects).unwrap().default_backend, None, "{backend}");
    }
}

#[test]
fn k2_class_field_and_annotation_are_both_kept() {
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i, annotations: \
         {{kubernetes.io/ingress.class: other}}}}\nspec: {{ingressClassName: genkan, \
         defaultBackend: {S}}}\n"
    );
    let (objects, problems) = decoded(&yaml);
    assert_eq!(told(&problems), [""; 0]);
    let ingress = ingress_of(objects).unwrap();
    assert_eq!(ingress.class_name.as_deref(), Some("genkan"));
    assert_eq!(ingress.class_annotation.as_deref(), Some("other"));
}

#[test]
fn k2_an_unreadable_class_refuses_the_object() {
    let (ingress, problems) =
        ingress_v1(&format!("{{ingressClassName: Not_A_Name, defaultBackend: {S}}}"));
    assert_eq!(problems, ["spec.ingressClassName: InvalidObject"]);
    assert_eq!(ingress, None);
}

#[test]
fn c1_creation_time_is_read_and_a_bad_one_makes_the_object_youngest() {
    let at = |time: &str| {
        let yaml = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i, \
             creationTimestamp: {time}, generation: 7}}\nspec: {{defaultBackend: {S}}}\n"
        );
        let (objects, problems) = decoded(&yaml);
        let ingress = ingress_of(objects).unwrap();
        assert_eq!(ingress.generation, 7);
        (ingress.created, told(&problems))
    };
    assert_eq!(at("'2020-01-01T00:00:00Z'"), (Some(1_577_836_800), vec![]));
    assert_eq!(at("null"), (None, vec![]));
    let expected = vec!["metadata.creationTimestamp: InvalidObject".to_owned()];
    assert_eq!(at("yesterday"), (None, expected));
}

#[test]
fn c11_references_stay_in_the_namespace() {
    for name in ["other/s", "s.other"] {
        let (ingress, problems) = ingress_v1(&format!(
            "{{defaultBackend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}"
        ));
        assert_eq!(problems, ["spec.defaultBackend.service.name: InvalidObject"], "{name}");
        assert_eq!(ingress.unwrap().default_backend, None);
    }
    let (_, problems) =
        ingress_v1(&format!("{{defaultBackend: {S}, tls: [{{secretName: other/s}}]}}"));
    assert_eq!(problems, ["spec.tls[0].secretName: InvalidObject"]);
}
