use clap::Parser;

use super::*;

#[derive(Parser)]
struct Alone {
    #[command(flatten)]
    arguments: Arguments,
}

const MANIFESTS: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations: {kubernetes.io/ingress.class: genkan}
spec:
  rules:
  - host: shop.example
    http:
      paths:
      - path: /
        pathType: Prefix
        backend: {service: {name: shop, port: {number: 80}}}
      - path: /cart
        pathType: Exact
        backend: {service: {name: missing, port: {number: 80}}}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
- addresses: [10.0.0.1]
- addresses: [10.0.0.2]
  conditions: {ready: false}
";
const CONFIG: &str = "vips: [{name: edge, addresses: [203.0.113.80], deny: [198.51.100.0/24]}]\n";

fn run(arguments: &[&str]) -> (ExitCode, String) {
    run_with(|config| (vec!["--config".to_owned(), config.to_owned()], vec![]), arguments)
}

/// `given`: flags and environment, from the path of the configuration file.
fn run_with(
    given: impl FnOnce(&str) -> (Vec<String>, Vec<(String, String)>),
    arguments: &[&str],
) -> (ExitCode, String) {
    let dir = tempfile::tempdir().unwrap();
    let (manifests, config) = (dir.path().join("m"), dir.path().join("genkan.yaml"));
    std::fs::create_dir(&manifests).unwrap();
    std::fs::write(manifests.join("shop.yaml"), MANIFESTS).unwrap();
    std::fs::write(&config, CONFIG).unwrap();
    let (manifests, config) = (manifests.to_str().unwrap(), config.to_str().unwrap());
    let (flags, environment) = given(config);
    let always = ["explain", "--manifests", manifests].into_iter();
    let all = always.chain(flags.iter().map(String::as_str)).chain(arguments.iter().copied());
    let arguments = Alone::parse_from(all).arguments;
    let mut out = Vec::new();
    let code = arguments.execute(environment, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    (code, out.replace(&format!("{manifests}/"), ""))
}

#[test]
fn the_answer_names_file_line_rule_endpoints_and_vips() {
    let (code, out) = run(&["http://shop.example/item?n=1", "--client", "192.0.2.1"]);
    assert_eq!(code, ExitCode::SUCCESS, "{out}");
    let expected = "\
GET http://shop.example/item?n=1
answer: sent to default/shop:80

won: shop.yaml:11: Ingress default/shop spec.rules[0].http.paths[0]: Prefix \"/\" of shop.example -> shop:80: the longest that matches (P3)
  + shop.example, 1 Ingress: the most precise that has rules (H5)

endpoints of default/shop:80 (ready, HTTP/1.1, round robin)
  + 10.0.0.1:8080: ready (E4), EndpointSlice default/shop-1
  - 10.0.0.2:8080: not ready (E4), EndpointSlice default/shop-1

VIPs
  + edge (203.0.113.80): no rule names it

not taken
  shop.yaml:14: Ingress default/shop spec.rules[0].http.paths[1]: Exact \"/cart\" of shop.example -> missing:80: it does not match the path (P2)

problems of the winner
";
    assert!(out.starts_with(expected), "{out}");
}

#[test]
fn an_error_or_a_refused_client_is_exit_code_1() {
    let (code, out) = run(&["http://shop.example/cart"]);
    assert_eq!(code, ExitCode::FAILURE);
    assert!(out.contains("answer: 503: the Service does not exist (C9)\n"), "{out}");
    let (code, out) = run(&["http://shop.example/", "--client", "198.51.100.7"]);
    assert_eq!(code, ExitCode::FAILURE);
    assert!(out.contains("  - edge (203.0.113.80): denied by 198.51.100.0/24\n"), "{out}");
    let (code, out) = run(&["http://shop.example:8080/"]);
    assert_eq!(code, ExitCode::FAILURE);
    assert!(out.contains("the port is not served so"), "{out}");
}

#[test]
fn the_configuration_is_that_of_the_flag_then_of_the_variable_then_the_defaults() {
    let variable = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let asked = ["http://shop.example/", "--client", "198.51.100.7"];
    let (code, out) = run_with(|file| (vec![], variable("GENKAN_CONFIG", file)), &asked);
    assert_eq!(code, ExitCode::FAILURE, "{out}");
    assert!(out.contains("denied by 198.51.100.0/24"), "{out}");

    let flag = |file: &str| vec!["--config".to_owned(), file.to_owned()];
    let (_, out) = run_with(|file| (flag(file), variable("GENKAN_CONFIG", "none-such")), &asked);
    assert!(out.contains("denied by 198.51.100.0/24"), "{out}");

    let (code, out) = run_with(|_| (vec![], vec![]), &asked);
    assert_eq!(code, ExitCode::SUCCESS, "{out}");
    let classes = variable("GENKAN_CLASSES__NAMES", "[other]");
    let (code, out) = run_with(|_| (vec![], classes), &asked);
    assert_eq!(code, ExitCode::FAILURE, "{out}");
}

#[test]
fn host_header_and_server_name_may_differ_from_the_url() {
    let (_, out) = run(&[
        "https://203.0.113.80/item",
        "-H",
        "Host: Shop.example",
        "--sni",
        "other.example",
        "-o",
        "json",
    ]);
    let answer: Answer = serde_json::from_str(&out).unwrap();
    assert_eq!(answer.explanation.host.as_deref(), Some("shop.example"));
    let certificate = answer.explanation.certificate.unwrap();
    assert_eq!(certificate.server_name.as_deref(), Some("other.example"));
    assert_eq!(answer.vips[0].vip, "edge");
}

#[test]
fn what_is_no_url_is_a_mistake_of_the_caller() {
    for url in ["shop.example", "ftp://shop.example/", "/path"] {
        assert_eq!(run(&[url]).0, ExitCode::from(USAGE), "{url}");
    }
}
