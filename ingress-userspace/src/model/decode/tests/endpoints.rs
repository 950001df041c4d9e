use super::*;

fn sets(yaml: &str) -> (Vec<EndpointSet>, Vec<String>) {
    let (objects, problems) = decoded(yaml);
    let sets = objects
        .into_iter()
        .map(|object| match object {
            Object::Endpoints(set) => set,
            other => panic!("{other:?}"),
        })
        .collect();
    (sets, told(&problems))
}

fn slice(rest: &str) -> (Vec<EndpointSet>, Vec<String>) {
    sets(&format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s-1, labels: \
         {{kubernetes.io/service-name: s}}}}\n{rest}\n"
    ))
}

fn addresses(set: &EndpointSet) -> Vec<String> {
    set.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
}

#[test]
fn e1_a_slice_belongs_to_the_service_of_its_label() {
    let (sets, problems) = slice("addressType: IPv4\nendpoints: []");
    assert_eq!(problems, [""; 0]);
    assert_eq!(&*sets[0].service, "s");

    let unlabelled = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: \
                      x}\naddressType: IPv4\n";
    assert_eq!(decoded(unlabelled), (vec![], vec![]));
}

#[test]
fn e2_only_the_first_address_counts() {
    let (sets, problems) =
        slice("addressType: IPv4\nendpoints: [{addresses: [192.0.2.1, 192.0.2.2]}]");
    assert_eq!(problems, [""; 0]);
    assert_eq!(addresses(&sets[0]), ["192.0.2.1"]);
}

#[test]
fn e2_fqdn_slices_are_ignored_and_reported() {
    let (sets, problems) = slice("addressType: FQDN\nendpoints: [{addresses: [a.example]}]");
    assert_eq!(problems, ["addressType: InvalidEndpoint"]);
    assert_eq!(sets, []);
}

#[test]
fn e2_addresses_are_of_the_slices_family() {
    let (sets, problems) = slice(
        "addressType: IPv6\nendpoints: [{addresses: [192.0.2.1]}, {addresses: ['2001:db8::1']}, \
         {addresses: [x]}, {addresses: []}, {}]",
    );
    assert_eq!(
        problems,
        [
            "endpoints[0].addresses[0]: InvalidEndpoint",
            "endpoints[2].addresses[0]: InvalidEndpoint",
            "endpoints[3].addresses: InvalidEndpoint",
            "endpoints[4].addresses: InvalidEndpoint",
        ]
    );
    assert_eq!(addresses(&sets[0]), ["2001:db8::1"]);
}

#[test]
fn e3_conditions_have_defaults() {
    for (conditions, expected) in [
        ("{}", (true, true, false)),
        ("null", (true, true, false)),
        ("{ready: true}", (true, true, false)),
        ("{ready: false}", (false, false, false)),
        ("{ready: false, serving: true}", (false, true, false)),
        ("{ready: false, serving: true, terminating: true}", (false, true, true)),
        ("{ready: null, serving: null, terminating: null}", (true, true, false)),
        ("{serving: false}", (true, false, false)),
    ] {
        let (sets, problems) = slice(&format!(
            "addressType: IPv4\nendpoints: [{{addresses: [192.0.2.1], conditions: {conditions}}}]"
        ));
        assert_eq!(problems, [""; 0], "{conditions}");
        let e = &sets[0].endpoints[0];
        assert_eq!((e.ready, e.serving, e.terminating), expected, "{conditions}");
    }
}

#[test]
fn e6_ports_have_names_and_maybe_no_number() {
    let (sets, problems) = slice(
        "addressType: IPv4\nports: [{name: http, port: 8080, appProtocol: kubernetes.io/h2c}, \
         {port: 1}, {name: any}, {name: u, port: 53, protocol: UDP}, {name: bad, port: 0}, \
         {name: worse, protocol: ICMP}]\nendpoints: []",
    );
    assert_eq!(problems, ["ports[4].port: InvalidObject", "ports[5].protocol: InvalidObject"]);
    let ports: Vec<_> =
        sets[0].ports.iter().map(|p| (&*p.name, p.port, p.app_protocol.as_deref())).collect();
    assert_eq!(
        ports,
        [("http", Some(8080), Some("kubernetes.io/h2c")), ("", Some(1), None), ("any", None, None)]
    );
}

#[test]
fn e8_a_pod_is_named_when_the_endpoint_has_one() {
    let (sets, _) = slice(
        "addressType: IPv4\nendpoints: [{addresses: [192.0.2.1], targetRef: {kind: Pod, name: \
         p}}, {addresses: [192.0.2.2], targetRef: {kind: Node, name: n}}, {addresses: [192.0.2.3]}]",
    );
    let pods: Vec<_> = sets[0].endpoints.iter().map(|e| e.pod.as_deref()).collect();
    assert_eq!(pods, [Some("p"), None, None]);
}

/// Whether an address may be served is the compiler's to say: it depends on more than the object.
#[test]
fn e9_addresses_are_read_in_their_canonical_form_with_their_place() {
    let (sets, problems) = slice(
        "addressType: IPv4\nendpoints: [{addresses: [nonsense]}, {addresses: \
         ['::ffff:127.0.0.1']}, {addresses: [192.0.2.1]}]",
    );
    assert_eq!(problems, ["endpoints[0].addresses[0]: InvalidEndpoint"]);
    assert_eq!(addresses(&sets[0]), ["127.0.0.1", "192.0.2.1"]);
    let places: Vec<_> = sets[0].endpoints.iter().map(|endpoint| endpoint.index).collect();
    assert_eq!(places, [1, 2]);
}

#[test]
fn e8_legacy_endpoints_keep_a_set_for_each_subset() {
    let yaml = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\nsubsets:\n- addresses: [{ip: \
                192.0.2.1, targetRef: {kind: Pod, name: p}}]\n  notReadyAddresses: [{ip: \
                192.0.2.2}]\n  ports: [{port: 80}]\n- addresses: [{ip: x}, {ip: \
                192.0.2.3}]\n  ports: [{name: b, port: 81}]\n";
    let (sets, problems) = sets(yaml);
    assert_eq!(problems, ["subsets[1].addresses[0].ip: InvalidEndpoint"]);
    assert_eq!(sets.len(), 2);
    assert!(sets.iter().all(|set| &*set.service == "s"));
    assert_ne!(sets[0].object, sets[1].object);
    assert_eq!(addresses(&sets[0]), ["192.0.2.1", "192.0.2.2"]);
    let ready: Vec<_> = sets[0].endpoints.iter().map(|e| (e.ready, e.serving)).collect();
    assert_eq!(ready, [(true, true), (false, false)]);
    assert_eq!(sets[0].endpoints[0].pod.as_deref(), Some("p"));
    assert_eq!(addresses(&sets[1]), ["192.0.2.3"]);
    assert_eq!(sets[1].ports[0].port, Some(81));
}

#[test]
fn slices_of_v1beta1_are_read() {
    let yaml = "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: x, \
                labels: {kubernetes.io/service-name: s}}\naddressType: IPv4\nendpoints: \
                [{addresses: [192.0.2.1], topology: {kubernetes.io/hostname: n}}]\n";
    let (sets, problems) = sets(yaml);
    assert_eq!(problems, [""; 0]);
    assert_eq!(addresses(&sets[0]), ["192.0.2.1"]);
}
