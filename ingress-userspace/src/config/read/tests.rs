use std::time::Duration;

use super::*;
use crate::config::{Compat, PortProtocol};

fn parsed(text: &str) -> Result<Config, Vec<String>> {
    parse(text, Path::new("genkan.yaml"), &Overrides::default())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn refused(text: &str) -> String {
    parsed(text).unwrap_err().join("\n")
}

const VIP: &str = "vips:\n- name: edge\n  addresses: [192.0.2.1, 2001:db8::1]\n";

#[test]
fn no_vips_have_to_be_said() {
    assert_eq!(parsed("vips: []\n"), Ok(Config::default()));
    for text in ["", "# nothing\n", "---\n", "~\n", "\n \n"] {
        assert_eq!(
            refused(text),
            "genkan.yaml: the file is empty: no `vips` are given; `vips: []` says that there are none",
            "{text:?}"
        );
    }
    for text in ["{}\n", "compat: nginx\n"] {
        assert_eq!(
            refused(text),
            "genkan.yaml: no `vips` are given; `vips: []` says that there are none",
            "{text:?}"
        );
    }
    let mut overrides = Overrides::default();
    overrides.set("--set", "vips", "[]");
    assert_eq!(parse("", Path::new("c"), &overrides), Ok(Config::default()));
}

#[test]
fn reads_values_units_and_defaults() {
    let text = format!(
        "{VIP}  interfaces: [eth0]\n  deny: [198.51.100.0/24]\ncompat: nginx\n\
         timeouts: {{client_header: 1500ms, drain: 2m, keep_alive: 30}}\n\
         limits: {{request_body: 8m}}\nadmin: {{socket: off, listen: '[::1]:9000'}}\nendpoints: {{allow: [127.0.0.0/8]}}\n"
    );
    let config = parsed(&text).unwrap();
    assert_eq!(config.compat, Compat::Nginx);
    assert_eq!(config.timeouts.client_header, Duration::from_millis(1500));
    assert_eq!(config.timeouts.drain, Duration::from_secs(120));
    assert_eq!(config.timeouts.keep_alive, Duration::from_secs(30));
    assert_eq!(config.limits.request_body, 8 << 20);
    assert_eq!(config.admin.socket.path(), None);
    assert_eq!(config.admin.listen, Some("[::1]:9000".parse().unwrap()));
    let ports: Vec<_> = config.vips[0].ports.iter().map(|p| (p.port, p.protocol)).collect();
    assert_eq!(ports, [(80, PortProtocol::Http), (443, PortProtocol::Https)]);
}

#[test]
fn a_written_configuration_reads_back() {
    let config = parsed(VIP).unwrap();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(parsed(&text), Ok(config));
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    for (text, expected) in [
        ("vip: []\n", "genkan.yaml:1: vip: unknown key `vip`, did you mean `vips`?"),
        (
            "timeouts:\n  drain: 5s\n  keepalive: 5s\n",
            "genkan.yaml:3: timeouts.keepalive: unknown key `keepalive`, did you mean `keep_alive`?",
        ),
        (
            "compat: ngnix\n",
            "genkan.yaml:1: compat: `ngnix` is none of none, nginx, did you mean `nginx`?",
        ),
    ] {
        assert_eq!(refused(text), expected);
    }
    let far = refused("workers: {threads: 4}\n");
    assert!(far.contains("unknown key `threads`; known here: count"), "{far}");
}

#[test]
fn a_value_of_another_type_names_line_and_field() {
    for (text, start) in [
        ("limits:\n  request_body: 8x\n", "genkan.yaml:2: limits.request_body: "),
        ("workers:\n\n  count: many\n", "genkan.yaml:3: workers.count: "),
        ("vips:\n- name: a\n  addresses: [1.2.3]\n", "genkan.yaml:3: vips[0].addresses[0]: "),
        ("vips:\n- addresses: [1.2.3.4]\n", "genkan.yaml:2: vips[0]: `name` is missing"),
        ("timeouts: {drain: -5}\n", "genkan.yaml:1: timeouts.drain: "),
    ] {
        let text = refused(text);
        assert!(text.starts_with(start), "{text}\nwanted: {start}");
    }
}

#[test]
fn text_that_is_no_yaml_names_its_line() {
    let text = refused("timeouts:\n  drain: [\n");
    assert!(text.starts_with("genkan.yaml:"), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn a_missing_file_is_named() {
    let errors = read(Path::new("/nonexistent/genkan.yaml"), &Overrides::default()).unwrap_err();
    assert!(errors[0].to_string().starts_with("/nonexistent/genkan.yaml: "), "{}", errors[0]);
}

#[test]
fn every_fault_of_the_checks_is_told_with_its_line() {
    let text = "vips:\n- name: a\n  addresses: [127.0.0.1, 192.0.2.1]\n  ports:\n  - {port: 0, \
                protocol: http}\n- name: a\n  addresses: [192.0.2.1]\n";
    assert_eq!(
        parsed(text).unwrap_err(),
        [
            "genkan.yaml:3: vips[0].addresses[0]: 127.0.0.1 is a loopback address, no VIP",
            "genkan.yaml:5: vips[0].ports[0].port: 0 is not a port: 1 to 65535",
            "genkan.yaml:6: vips[1].name: \"a\" is the name of vips[0] too",
            "genkan.yaml:7: vips[1].addresses[0]: 192.0.2.1 is in vips[0].addresses[1] too",
        ]
    );
}

#[test]
fn the_checks_refuse_what_types_cannot() {
    let nine: String = (1..=9).map(|port| format!("{{port: {port}, protocol: http}}, ")).collect();
    for (text, field) in [
        ("vips: [{name: A, addresses: [192.0.2.1]}]".to_owned(), "vips[0].name"),
        ("vips: [{name: a, addresses: []}]".to_owned(), "vips[0].addresses"),
        ("vips: [{name: a, addresses: [0.0.0.0]}]".to_owned(), "vips[0].addresses[0]"),
        ("vips: [{name: a, addresses: [224.0.0.1]}]".to_owned(), "vips[0].addresses[0]"),
        ("vips: [{name: a, addresses: ['ff02::1']}]".to_owned(), "vips[0].addresses[0]"),
        ("vips: [{name: a, addresses: ['fe80::1']}]".to_owned(), "vips[0].addresses[0]"),
        ("vips: [{name: a, addresses: ['::ffff:192.0.2.1']}]".to_owned(), "vips[0].addresses[0]"),
        (format!("{VIP}  ports: []\n"), "vips[0].ports"),
        (format!("{VIP}  ports: [{nine}]\n"), "vips[0].ports"),
        (
            format!(
                "{VIP}  ports: [{{port: 80, protocol: http}}, {{port: 80, protocol: https}}]\n"
            ),
            "vips[0].ports[1].port",
        ),
        (format!("{VIP}  interfaces: [eth0, eth0]\n"), "vips[0].interfaces[1]"),
        (format!("{VIP}  interfaces: [averyveryverylongname]\n"), "vips[0].interfaces[0]"),
        (format!("{VIP}  allow: [192.0.2.1/24]\n"), "vips[0].allow[0]"),
        (
            "vips: [{name: a, addresses: [192.0.2.1], deny: ['2001:db8::/32']}]".to_owned(),
            "vips[0].deny[0]",
        ),
        (
            format!("{VIP}  new_flow_budget: {{per_second: 0, burst: 1}}\n"),
            "vips[0].new_flow_budget.per_second",
        ),
        ("classes: {names: ['']}".to_owned(), "classes.names[0]"),
        ("classes: {controller: genkan}".to_owned(), "classes.controller"),
        ("workers: {count: 0}".to_owned(), "workers.count"),
        ("workers: {count: 100000}".to_owned(), "workers.count"),
        ("timeouts: {client_header: 0}".to_owned(), "timeouts.client_header"),
        ("timeouts: {upstream_read: 1000h}".to_owned(), "timeouts.upstream_read"),
        ("limits: {request_line: 1}".to_owned(), "limits.request_line"),
        ("limits: {connections: 0}".to_owned(), "limits.connections"),
        ("tls: {default_certificate: cert}".to_owned(), "tls.default_certificate"),
        ("steering: {cpumap: 100000}".to_owned(), "steering.cpumap"),
        ("access_log: {format: '$statu'}".to_owned(), "access_log.format"),
        ("access_log: {format: common}".to_owned(), "access_log.format"),
        ("access_log: {fields: [time, tim]}".to_owned(), "access_log.fields[1]"),
        ("access_log: {fields: [time, time]}".to_owned(), "access_log.fields[1]"),
        ("access_log: {format: combined, fields: [time]}".to_owned(), "access_log.fields"),
        ("admin: {socket: run/admin.sock}".to_owned(), "admin.socket"),
        (format!("admin: {{socket: /{}}}", "a".repeat(100)), "admin.socket"),
        ("admin: {group: ''}".to_owned(), "admin.group"),
        ("admin: {listen: '10.0.0.1:9000'}".to_owned(), "admin.listen"),
        ("admin: {listen: '127.0.0.1:0'}".to_owned(), "admin.listen"),
    ] {
        let text = if text.contains("vips") { text } else { format!("vips: []\n{text}") };
        let errors = parse(&text, Path::new("c"), &Overrides::default()).expect_err(&text);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, [field], "{text}");
    }
}

#[test]
fn https_of_a_vip_is_443_or_the_lowest_port_that_speaks_it() {
    let ports = |list: &str| parsed(&format!("{VIP}  ports: [{list}]\n")).unwrap().vips.remove(0);
    let (http, https) = ("{port: 80, protocol: http}", "{port: 9443, protocol: https}");
    let (lower, own) = ("{port: 8443, protocol: https}", "{port: 443, protocol: https}");
    assert_eq!(ports(http).https_port(), None);
    assert_eq!(ports(&format!("{http}, {https}, {lower}")).https_port(), Some(8443));
    assert_eq!(ports(&format!("{https}, {own}, {lower}")).https_port(), Some(443));
    assert_eq!(ports("{port: 443, protocol: http}").https_port(), None);
}
