use super::file::DOCUMENT_LIMIT;
use super::*;
use crate::model::{Object, SecretCertificate};
use crate::testing::ca::TestCa;

fn text(path: &str, text: &str) -> (PathBuf, Content) {
    (PathBuf::from(path), Content::Text(text.to_owned()))
}

fn gone(path: &str) -> (PathBuf, Content) {
    (PathBuf::from(path), Content::Gone)
}

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"
    )
}

fn apply(catalog: &mut Catalog, contents: Vec<(PathBuf, Content)>) -> Update {
    catalog.apply(contents, &Settings::default())
}

/// `name:port` of each Service that came, `-name` of each that went.
fn changes(update: &Update) -> Vec<String> {
    let came = update.change.upserts.iter().map(|object| match object {
        Object::Service(service) => format!("{}:{}", service.object.name, service.ports[0].port),
        other => other.reference().to_string(),
    });
    let went = update.change.removals.iter().map(|reference| format!("-{}", reference.name));
    let mut changes: Vec<_> = came.chain(went).collect();
    changes.sort();
    changes
}

fn told(update: &Update) -> Vec<String> {
    update.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_gives_the_objects_of_its_documents() {
    let mut catalog = Catalog::default();
    let both = format!("# head\n{}---\n{}", service("a", 1), service("b", 2));
    assert_eq!(changes(&apply(&mut catalog, vec![text("f.yaml", &both)])), ["a:1", "b:2"]);
    assert_eq!(changes(&apply(&mut catalog, vec![gone("f.yaml")])), ["-a", "-b"]);
}

#[test]
fn only_what_differs_is_handed_on() {
    let mut catalog = Catalog::default();
    let both = format!("{}---\n{}", service("a", 1), service("b", 2));
    apply(&mut catalog, vec![text("f.yaml", &both)]);
    assert_eq!(changes(&apply(&mut catalog, vec![text("f.yaml", &both)])), [""; 0]);
    let edited = format!("{}---\n{}", service("a", 1), service("b", 3));
    assert_eq!(changes(&apply(&mut catalog, vec![text("f.yaml", &edited)])), ["b:3"]);
    let shorter = service("b", 3);
    assert_eq!(changes(&apply(&mut catalog, vec![text("f.yaml", &shorter)])), ["-a"]);
    let moved = vec![gone("f.yaml"), text("g.yaml", &shorter)];
    assert_eq!(changes(&apply(&mut catalog, moved)), [""; 0]);
}

/// Where each object stands, as told by an update.
fn places(update: &Update) -> Vec<String> {
    let told = update.change.origins.iter();
    let mut places: Vec<_> =
        told.map(|(object, origin)| format!("{} {origin}", object.name)).collect();
    places.sort();
    places
}

#[test]
fn shifted_documents_tell_their_place_and_nothing_else() {
    let mut catalog = Catalog::default();
    let (a, b) = (service("a", 1), service("b", 2));
    let update = apply(&mut catalog, vec![text("f.yaml", &format!("{a}---\n{b}"))]);
    assert_eq!(places(&update), ["a f.yaml:1", "b f.yaml:6"]);
    let update = apply(&mut catalog, vec![text("f.yaml", &format!("# head\n---\n{a}---\n{b}"))]);
    assert_eq!(changes(&update), [""; 0]);
    assert_eq!(places(&update), ["a f.yaml:3", "b f.yaml:8"]);
    let swapped = format!("# head\n---\n{b}---\n{a}");
    let update = apply(&mut catalog, vec![text("f.yaml", &swapped)]);
    assert_eq!(changes(&update), [""; 0]);
    let update = apply(&mut catalog, vec![text("f.yaml", &swapped)]);
    assert!(update.change.is_empty(), "{update:?}");
    let moved = vec![gone("f.yaml"), text("g.yaml", &b)];
    let update = apply(&mut catalog, moved);
    assert_eq!(changes(&update), ["-a"]);
    assert_eq!(places(&update), ["b g.yaml:1"]);
}

#[test]
fn problems_move_with_their_document() {
    let mut catalog = Catalog::default();
    let bad = "apiVersion: v1\nkind: Service\nmetadata:\n  name: A\n";
    let update = apply(&mut catalog, vec![text("f.yaml", bad)]);
    assert!(told(&update)[0].starts_with("f.yaml:4: "), "{:?}", told(&update));
    let update =
        apply(&mut catalog, vec![text("f.yaml", &format!("{}---\n{bad}", service("s", 1)))]);
    assert!(told(&update)[0].starts_with("f.yaml:9: "), "{:?}", told(&update));
    let update = apply(&mut catalog, vec![text("f.yaml", bad)]);
    assert!(told(&update)[0].starts_with("f.yaml:4: "), "{:?}", told(&update));
}

/// Both texts are known; which of them has the name depends on their order alone.
#[test]
fn documents_of_one_name_that_change_places_change_their_winner() {
    let mut catalog = Catalog::default();
    let (one, two) = (service("s", 1), service("s", 2));
    apply(&mut catalog, vec![text("f.yaml", &format!("{one}---\n{two}"))]);
    let update = apply(&mut catalog, vec![text("f.yaml", &format!("{two}---\n{one}"))]);
    assert_eq!(changes(&update), ["s:2"]);
    assert!(told(&update)[0].starts_with("f.yaml:6: "), "{:?}", told(&update));
}

/// A file of a whole cluster: an edit costs what it changes and the reading of the bytes.
#[test]
fn one_of_10_000_documents_is_decoded_and_handed_on_alone() {
    let mut catalog = Catalog::default();
    let mut documents: Vec<String> = (0..10_000).map(|n| service(&format!("s{n}"), 1)).collect();
    let file = |documents: &[String]| vec![text("f.yaml", &documents.join("---\n"))];
    assert_eq!(apply(&mut catalog, file(&documents)).change.upserts.len(), 10_000);
    documents[5_000] = service("s5000", 2);
    let update = apply(&mut catalog, file(&documents));
    assert_eq!(changes(&update), ["s5000:2"]);
    assert_eq!(update.change.origins.len(), 0);
    documents.insert(0, service("first", 1));
    let update = apply(&mut catalog, file(&documents));
    assert_eq!(changes(&update), ["first:1"]);
    assert_eq!(update.change.origins.len(), 10_001, "all others stand elsewhere");
    documents.remove(0);
    documents[7] = "kind: [\n".to_owned();
    let update = apply(&mut catalog, file(&documents));
    assert_eq!(
        (changes(&update).len(), update.problems.len()),
        (0, 1),
        "a fault takes nothing away"
    );
}

#[test]
fn of_two_with_one_name_the_first_by_path_stays_and_both_files_are_named() {
    let mut catalog = Catalog::default();
    let update = apply(
        &mut catalog,
        vec![text("b.yaml", &service("s", 2)), text("a.yaml", &format!("\n{}", service("s", 1)))],
    );
    assert_eq!(changes(&update), ["s:1"]);
    assert_eq!(
        told(&update),
        ["b.yaml:1: Service default/s: already defined in a.yaml:2; that one stays \
          (DuplicateObject)"]
    );

    // One that comes later in time and earlier in order takes the name.
    let refused = service("s", 1).replace("spec: {", "spec: {type: Other, ");
    let update = apply(&mut catalog, vec![text("0.yaml", &refused)]);
    assert!(update.change.is_empty(), "a document that gives no object claims no name");
    let update = apply(&mut catalog, vec![text("0.yaml", &service("s", 9))]);
    assert_eq!(changes(&update), ["s:9"]);
    assert_eq!(update.problems.len(), 2);
}

#[test]
fn of_two_with_one_name_the_second_follows_the_first() {
    let mut catalog = Catalog::default();
    let both = format!("{}---\n{}", service("s", 1), service("s", 2));
    let update = apply(&mut catalog, vec![text("a.yaml", &both)]);
    assert_eq!(changes(&update), ["s:1"]);
    assert!(
        told(&update)[0].starts_with("a.yaml:6: Service default/s: already defined in a.yaml:1")
    );

    apply(&mut catalog, vec![text("b.yaml", &service("s", 3))]);
    let update = apply(&mut catalog, vec![text("a.yaml", &service("s", 2))]);
    assert_eq!(changes(&update), ["s:2"]);
    assert_eq!(update.problems.len(), 1);
    let update = apply(&mut catalog, vec![gone("a.yaml")]);
    assert_eq!(changes(&update), ["s:3"]);
    assert_eq!(told(&update), [""; 0]);
}

#[test]
fn names_in_other_namespaces_and_kinds_are_other_names() {
    let mut catalog = Catalog::default();
    let other = service("s", 2).replace("name: s", "name: s, namespace: other");
    let update =
        apply(&mut catalog, vec![text("a.yaml", &service("s", 1)), text("b.yaml", &other)]);
    assert_eq!(changes(&update), ["s:1", "s:2"]);
    assert_eq!(told(&update), [""; 0]);
}

#[test]
fn a_bad_document_disables_itself_only() {
    let mut catalog = Catalog::default();
    let mixed = format!("{}---\nkind: [\n---\n{}---\nfoo: 1\n", service("a", 1), service("b", 2));
    let update = apply(&mut catalog, vec![text("f.yaml", &mixed)]);
    assert_eq!(changes(&update), ["a:1", "b:2"]);
    let told = told(&update);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("f.yaml:6: not YAML") || told[0].starts_with("f.yaml:7: not YAML"));
    assert!(told[1].starts_with("f.yaml:13: apiVersion: missing"), "{told:?}");
}

#[test]
fn problems_name_the_line_of_the_field() {
    let mut catalog = Catalog::default();
    let text_of = "\n# c\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: \
                   i\nspec:\n  rules:\n  - host: ok\n  - host: 1.2.3.4\n";
    let update = apply(&mut catalog, vec![text("f.yaml", text_of)]);
    assert!(told(&update)[0].starts_with("f.yaml:10: Ingress default/i: spec.rules[1].host: "));
    let json = "{\"apiVersion\": \"v1\", \"kind\": \"Service\",\n \"metadata\": {\n  \"name\": \
                \"A\"}}";
    let update = apply(&mut catalog, vec![text("f.yaml", ""), text("g.json", json)]);
    assert!(told(&update)[0].starts_with("g.json:3: Service default/A: metadata.name: "));
}

#[test]
fn a_half_written_file_takes_nothing_away() {
    let mut catalog = Catalog::default();
    let whole = format!("{}---\n{}", service("a", 1), service("b", 2));
    apply(&mut catalog, vec![text("f.yaml", &whole)]);

    let half = format!("{}---\napiVersion: v1\nkind: [Serv", service("a", 3));
    let update = apply(&mut catalog, vec![text("f.yaml", &half)]);
    assert_eq!(changes(&update), ["a:3"]);
    assert_eq!(update.problems.len(), 1);
    // Still broken, in another way.
    let update = apply(&mut catalog, vec![text("f.yaml", "{")]);
    assert_eq!(changes(&update), [""; 0]);
    let unreadable = (PathBuf::from("f.yaml"), Content::Unreadable("denied".to_owned()));
    let update = apply(&mut catalog, vec![unreadable]);
    assert_eq!(changes(&update), [""; 0]);
    assert_eq!(told(&update), ["f.yaml: denied (InvalidDocument)"]);

    let update = apply(&mut catalog, vec![text("f.yaml", &service("b", 2))]);
    assert_eq!(changes(&update), ["-a"]);
    assert_eq!(told(&update), [""; 0]);
}

#[test]
fn what_a_broken_file_keeps_goes_with_the_file() {
    let mut catalog = Catalog::default();
    apply(&mut catalog, vec![text("f.yaml", &service("a", 1))]);
    apply(&mut catalog, vec![text("f.yaml", "{")]);
    let update = apply(&mut catalog, vec![gone("f.yaml")]);
    assert_eq!(changes(&update), ["-a"]);
    assert_eq!(told(&update), [""; 0]);
}

#[test]
fn t9_a_broken_update_keeps_the_last_good_pair() {
    let ca = TestCa::new();
    let (good, next) = (ca.issue(&["a.example"]), ca.issue(&["a.example"]));
    let mut catalog = Catalog::default();
    let yaml = good.secret_yaml("default", "s");
    assert_eq!(apply(&mut catalog, vec![text("s.yaml", &yaml)]).change.upserts.len(), 1);

    let broken = yaml.replace("tls.key: ", "tls.key: '!'\n  ca.crt: ");
    let update = apply(&mut catalog, vec![text("s.yaml", &broken)]);
    assert!(update.change.is_empty(), "{:?}", update.change);
    assert_eq!(update.problems[0].reason, Reason::SecretInvalid);

    // What else it holds is served all the same.
    let other = yaml.replace("tls.key: ", "tls.key: '!'\n  other: ");
    let update = apply(&mut catalog, vec![text("s.yaml", &other)]);
    let [Object::Secret(secret)] = &update.change.upserts[..] else { panic!("{update:?}") };
    assert_eq!(secret.certificate, SecretCertificate::Unreadable);

    let renewed = next.secret_yaml("default", "s");
    let update = apply(&mut catalog, vec![text("s.yaml", &renewed)]);
    assert_eq!(update.change.upserts.len(), 1);
    assert_eq!(update.problems, []);
    let update = apply(&mut catalog, vec![gone("s.yaml")]);
    assert_eq!(changes(&update), ["-s"]);
}

#[test]
fn an_object_that_is_refused_goes() {
    let mut catalog = Catalog::default();
    apply(&mut catalog, vec![text("f.yaml", &service("a", 1))]);
    let refused = service("a", 1).replace("spec: {", "spec: {type: Other, ");
    let update = apply(&mut catalog, vec![text("f.yaml", &refused)]);
    assert_eq!(changes(&update), ["-a"]);
    assert_eq!(update.problems.len(), 1);
}

#[test]
fn legacy_endpoints_lose_the_subsets_that_go() {
    let subsets = |subsets: &str| {
        format!("apiVersion: v1\nkind: Endpoints\nmetadata: {{name: s}}\nsubsets: [{subsets}]\n")
    };
    let one = "{addresses: [{ip: 192.0.2.1}], ports: [{port: 1}]}";
    let mut catalog = Catalog::default();
    let update = apply(&mut catalog, vec![text("f.yaml", &subsets(&format!("{one}, {one}")))]);
    assert_eq!(update.change.upserts.len(), 2);
    let update = apply(&mut catalog, vec![text("f.yaml", &subsets(one))]);
    assert_eq!((update.change.upserts.len(), update.change.removals.len()), (0, 1));
}

#[test]
fn a_document_beyond_the_limit_is_refused() {
    let mut catalog = Catalog::default();
    let big = format!("{}x: {}\n", service("a", 1), "y".repeat(DOCUMENT_LIMIT));
    let update =
        apply(&mut catalog, vec![text("f.yaml", &format!("{}---\n{big}", service("b", 2)))]);
    assert_eq!(changes(&update), ["b:2"]);
    assert!(told(&update)[0].contains("at most 33554432 are read"), "{:?}", told(&update));
}

/// The state after any order of edits is the one that reading afresh gives.
#[test]
fn edits_in_any_order_end_where_a_fresh_reading_does() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut catalog = Catalog::default();
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut state: BTreeMap<ObjectRef, Object> = BTreeMap::new();
        let mut origins: BTreeMap<ObjectRef, Origin> = BTreeMap::new();
        let mut last = Update::default();
        for _ in 0..30 {
            let path = format!("{}.yaml", random.u8(0..4));
            let content = if random.u8(0..4) == 0 {
                files.remove(&path);
                Content::Gone
            } else {
                let documents: Vec<_> = (0..random.u8(0..4))
                    .map(|_| service(&format!("s{}", random.u8(0..3)), random.u16(1..4)))
                    .collect();
                files.insert(path.clone(), documents.join("---\n"));
                Content::Text(files[&path].clone())
            };
            last = apply(&mut catalog, vec![(path.into(), content)]);
            for object in last.change.upserts.clone() {
                state.insert(object.reference(), object);
            }
            for reference in &last.change.removals {
                assert!(state.remove(reference).is_some(), "seed {seed}: removed twice");
                origins.remove(reference);
            }
            origins.extend(last.change.origins.clone());
        }
        let contents = files.iter().map(|(path, content)| text(path, content)).collect();
        let fresh = apply(&mut Catalog::default(), contents);
        let expected: BTreeMap<_, _> =
            fresh.change.upserts.into_iter().map(|o| (o.reference(), o)).collect();
        assert_eq!(state, expected, "seed {seed}");
        let expected: BTreeMap<_, _> = fresh.change.origins.into_iter().collect();
        assert_eq!(origins, expected, "seed {seed}");
        assert_eq!(last.problems, fresh.problems, "seed {seed}");
    }
}
