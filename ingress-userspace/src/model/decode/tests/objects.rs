//! Metadata, lists, versions, classes and Services.

use super::*;

#[test]
fn kinds_that_are_not_ours_give_nothing() {
    for (version, kind) in [
        ("apps/v1", "Deployment"),
        ("v1", "PersistentVolumeClaim"),
        ("serving.knative.dev/v1", "Service"),
        ("config.openshift.io/v1", "Ingress"),
    ] {
        let yaml = format!("apiVersion: {version}\nkind: {kind}\nspec: 5\n");
        assert_eq!(decoded(&yaml), (vec![], vec![]), "{kind}");
    }
}

#[test]
fn config_maps_are_their_texts() {
    let map = |data: &str| {
        decoded(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\n{data}"))
    };
    for (data, count) in
        [("", 0), ("data: {}", 0), ("data: {a: x, b: ''}\nbinaryData: {c: eA==}", 2)]
    {
        let (objects, problems) = map(data);
        assert_eq!(problems, vec![], "{data}");
        match &objects[..] {
            [Object::ConfigMap(map)] => assert_eq!(map.data.len(), count, "{data}"),
            other => panic!("{other:?}"),
        }
    }
    let (objects, problems) = map("data: {a: 5}");
    assert!(objects.is_empty());
    assert_eq!(told(&problems), ["data[a]: InvalidDocument"]);
}

#[test]
fn our_kinds_in_unknown_versions_are_reported() {
    for (version, kind) in [
        ("networking.k8s.io/v2", "Ingress"),
        ("extensions/v1", "Ingress"),
        ("discovery.k8s.io/v1alpha1", "EndpointSlice"),
        ("v2", "Service"),
    ] {
        let yaml = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n");
        let (objects, problems) = decoded(&yaml);
        assert!(objects.is_empty());
        assert_eq!(told(&problems), ["apiVersion: UnsupportedKind"], "{version}");
        assert_eq!(problems[0].object.as_ref().map(|o| &*o.name), Some("x"));
    }
}

#[test]
fn documents_that_are_no_objects_are_reported() {
    for (yaml, expected) in [
        ("spec: {}", "apiVersion: InvalidDocument"),
        ("apiVersion: v1", "kind: InvalidDocument"),
        ("kind: Service", "apiVersion: InvalidDocument"),
        ("[1, 2]", ": InvalidDocument"),
        ("just text", ": InvalidDocument"),
        ("{apiVersion: 1, kind: Service}", "apiVersion: InvalidDocument"),
    ] {
        let (objects, problems) = decoded(yaml);
        assert!(objects.is_empty());
        assert_eq!(told(&problems), [expected], "{yaml}");
    }
}

#[test]
fn metadata_is_checked() {
    for (metadata, expected) in [
        ("null", "metadata: InvalidObject"),
        ("{}", "metadata.name: InvalidObject"),
        ("{name: ''}", "metadata.name: InvalidObject"),
        ("{name: 5}", "metadata.name: InvalidDocument"),
        ("{name: Not_Valid}", "metadata.name: InvalidObject"),
        ("{name: a, namespace: a.b}", "metadata.namespace: InvalidObject"),
    ] {
        let yaml = format!("apiVersion: v1\nkind: Service\nmetadata: {metadata}\n");
        let (objects, problems) = decoded(&yaml);
        assert!(objects.is_empty());
        assert_eq!(told(&problems), [expected], "{metadata}");
    }
}

#[test]
fn a_missing_namespace_is_default() {
    let (objects, _) = decoded("apiVersion: v1\nkind: Service\nmetadata: {name: s}\n");
    assert_eq!(objects[0].reference(), ObjectRef::new(Kind::Service, "default", "s"));
}

#[test]
fn lists_are_taken_apart_and_a_bad_item_disables_itself_only() {
    let yaml = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: \
                {name: a}}\n- {apiVersion: v1, kind: Service, metadata: {name: B}}\n- \
                {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Service, metadata: \
                {name: c}}]}\n- 5\n";
    let (objects, problems) = decoded(yaml);
    let names: Vec<_> = objects.iter().map(|o| o.reference().name.to_string()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(
        told(&problems),
        ["items[1].metadata.name: InvalidObject", "items[3]: InvalidDocument"]
    );
}

#[test]
fn items_of_a_typed_list_take_its_type() {
    let yaml = "apiVersion: v1\nkind: ServiceList\nitems: [{metadata: {name: a}}]\n";
    let (objects, problems) = decoded(yaml);
    assert_eq!(told(&problems), [""; 0]);
    assert_eq!(objects.len(), 1);
    let (_, problems) = decoded("apiVersion: v1\nkind: List\nitems: {}\n");
    assert_eq!(told(&problems), ["items: InvalidDocument"]);
}

#[test]
fn k1_a_class_has_a_controller() {
    let class = |spec: &str| {
        decoded(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: c, \
             annotations: {{ingressclass.kubernetes.io/is-default-class: 'true'}}}}\nspec: {spec}\n"
        ))
    };
    let (objects, problems) = class("{controller: genkan.io/ingress-controller}");
    assert_eq!(told(&problems), [""; 0]);
    let Object::IngressClass(read) = &objects[0] else { panic!("{objects:?}") };
    assert_eq!((&*read.name, read.is_default), ("c", true));
    assert_eq!(&*read.controller, "genkan.io/ingress-controller");
    let long = format!("{{controller: a.b/{}}}", "c".repeat(250));
    for spec in ["{}", "{controller: genkan}", "{controller: a.b/}", "{controller: A.b/c}", &long] {
        let (objects, problems) = class(spec);
        assert!(objects.is_empty(), "{spec}");
        assert_eq!(told(&problems), ["spec.controller: InvalidObject"], "{spec}");
    }
}

fn service(spec: &str) -> (Option<Service>, Vec<String>) {
    let (objects, problems) =
        decoded(&format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {spec}\n"));
    let service = objects.into_iter().find_map(|object| match object {
        Object::Service(service) => Some(service),
        _ => None,
    });
    (service, told(&problems))
}

#[test]
fn c10_ports_of_a_service_are_read_with_their_targets() {
    let (read, problems) = service(
        "{ports: [{name: a, port: 80}, {name: b, port: 81, targetPort: 8081}, {name: c, port: 82, \
         targetPort: web}, {name: d, port: 83, targetPort: 0, appProtocol: https}, {name: u, \
         port: 53, protocol: UDP}]}",
    );
    assert_eq!(problems, [""; 0]);
    let read = read.unwrap();
    let ports: Vec<_> = read.ports.iter().map(|p| (&*p.name, p.port, p.target_port)).collect();
    assert_eq!(
        ports,
        [("a", 80, Some(80)), ("b", 81, Some(8081)), ("c", 82, None), ("d", 83, Some(83))]
    );
    assert_eq!(read.ports[3].app_protocol.as_deref(), Some("https"));
}

#[test]
fn c13_a_bad_port_of_a_service_disables_itself_only() {
    let (read, problems) = service(
        "{ports: [{name: a}, {name: b, port: 70000}, {name: c, port: 1, targetPort: '8080'}, \
         {name: C_, port: 1}, {name: d, port: 2}, {name: d, port: 3}, {name: e, port: 4}]}",
    );
    assert_eq!(
        problems,
        [
            "spec.ports[0].port: InvalidObject",
            "spec.ports[1].port: InvalidObject",
            "spec.ports[2].targetPort: InvalidObject",
            "spec.ports[3].name: InvalidObject",
            "spec.ports[5].name: InvalidObject",
        ]
    );
    let ports: Vec<_> = read.unwrap().ports.iter().map(|p| p.port).collect();
    assert_eq!(ports, [2, 4]);
}

#[test]
fn e8_headless_services_and_those_without_selector_are_services_like_others() {
    for spec in ["{clusterIP: None, ports: [{port: 80}]}", "{selector: null, ports: [{port: 80}]}"]
    {
        let (read, problems) = service(spec);
        assert_eq!(problems, [""; 0]);
        assert_eq!(read.unwrap().ports[0].port, 80);
    }
    let (read, _) = service("{clusterIP: None}");
    assert!(read.unwrap().ports.is_empty());
}

#[test]
fn e3_publish_not_ready_addresses_is_read() {
    assert!(service("{publishNotReadyAddresses: true}").0.unwrap().publish_not_ready);
    assert!(!service("{}").0.unwrap().publish_not_ready);
}

#[test]
fn e15_external_names_are_told_apart() {
    let (read, _) = service("{type: ExternalName, externalName: db.example}");
    assert_eq!(read.unwrap().external_name.as_deref(), Some("db.example"));
    let (read, problems) = service("{type: ExternalName}");
    assert_eq!((read, problems), (None, vec!["spec.externalName: InvalidObject".to_owned()]));
    let (read, problems) = service("{type: Other}");
    assert_eq!((read, problems), (None, vec!["spec.type: InvalidObject".to_owned()]));
}
