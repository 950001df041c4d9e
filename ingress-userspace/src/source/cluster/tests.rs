use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::config::cluster::CacheConfig;
use crate::config::{Compat, Config};
use crate::model::{Kind, Object, ObjectRef, Problem, Reason};
use crate::testing::api_server::ApiServer;
use crate::testing::ca::TestCa;
use crate::testing::deadline::DEADLINE;

/// A cluster, and what a source has said about it so far.
struct World {
    server: ApiServer,
    directory: TempDir,
    config: Config,
    source: Option<ClusterSource>,
    objects: BTreeMap<ObjectRef, Object>,
    problems: Vec<Problem>,
    updates: usize,
}

impl World {
    fn new(yaml: &str) -> Self {
        let server = ApiServer::start();
        server.apply(CLASS).apply(yaml);
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.cluster.cache = CacheConfig::At(directory.path().join("cache"));
        config.cluster.cache_on_disk = true;
        Self {
            server,
            directory,
            config,
            source: None,
            objects: BTreeMap::new(),
            problems: Vec::new(),
            updates: 0,
        }
    }

    /// A source without anything that an earlier one has said.
    async fn watch(&mut self) -> &mut Self {
        self.source = None;
        (self.objects, self.updates) = (BTreeMap::new(), 0);
        let access = Access::Kubeconfig(self.server.kubeconfig(self.directory.path()));
        let pace = Pace {
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(50),
            refresh: Duration::from_millis(50),
            ..Pace::default()
        };
        // Nothing here waits for these; what is late fails by the deadline.
        let (patience, relist) = (Duration::from_secs(2), Duration::from_secs(1));
        let timing = Timing { pace, patience, relist, ..Timing::default() };
        let source = ClusterSource::start_with(access, &self.config, timing).await.unwrap();
        self.source = Some(source);
        self
    }

    async fn started(yaml: &str) -> Self {
        let mut world = Self::new(yaml);
        world.watch().await.step().await;
        world
    }

    async fn step(&mut self) -> Update {
        let source = self.source.as_mut().expect("it is watched");
        let update = tokio::time::timeout(DEADLINE, source.next()).await.expect("an update");
        self.take(&update);
        update
    }

    fn take(&mut self, update: &Update) {
        for object in update.change.upserts.clone() {
            self.objects.insert(object.reference(), object);
        }
        for object in &update.change.removals {
            self.objects.remove(object);
        }
        self.problems.clone_from(&update.problems);
        self.updates += 1;
    }

    /// Steps until it holds.
    async fn until(&mut self, holds: impl Fn(&Self) -> bool) -> &mut Self {
        while !holds(self) {
            self.step().await;
        }
        self
    }

    fn has(&self, kind: Kind, name: &str) -> bool {
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        self.objects.contains_key(&ObjectRef::new(kind, namespace, name))
    }

    fn names(&self) -> Vec<String> {
        self.objects.keys().map(ToString::to_string).collect()
    }

    fn facts(&self) -> Facts {
        self.source.as_ref().expect("it is watched").standing().facts()
    }

    /// Polls what the source shows of itself.
    async fn shown(&self, what: &str, holds: impl Fn(&Facts) -> bool) {
        let polled = tokio::time::timeout(DEADLINE, async {
            while !holds(&self.facts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(polled.await.is_ok(), "{what}: {:?}", self.facts());
    }
}

const CLASS: &str = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\n\
    metadata: {name: genkan}\nspec: {controller: genkan.io/ingress-controller}\n";

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{ports: [{{port: 80}}]}}\n"
    )
}

fn ingress(name: &str, secrets: &[&str]) -> String {
    let tls: Vec<String> =
        secrets.iter().map(|secret| format!("{{secretName: {secret}}}")).collect();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n\
         metadata: {{name: {name}, namespace: shop}}\nspec:\n  ingressClassName: genkan\n  \
         tls: [{}]\n  rules: [{{host: {name}.example}}]\n",
        tls.join(", ")
    )
}

fn secret(name: &str) -> String {
    format!("---\n{}", TestCa::new().issue(&["a.example"]).secret_yaml("shop", name))
}

#[tokio::test]
async fn first_update_is_whole_and_reads_no_secret_that_nobody_names() {
    let yaml = [ingress("a", &["x", "gone"]), service("web"), secret("x"), secret("other")];
    let mut world = World::new(&yaml.concat());
    world.watch().await.step().await;
    let all = ["Ingress shop/a", "IngressClass genkan", "Service shop/web", "Secret shop/x"];
    assert_eq!(world.names(), all);
    let requests = world.server.requests();
    let secrets = requests.iter().filter(|asked| asked.plural == "secrets");
    for asked in secrets {
        assert_ne!(asked.verb, "list");
        assert!(["x", "gone"].map(Some).contains(&asked.name.as_deref()), "{asked:?}");
    }
    assert_eq!(world.facts().served, Served::Server);
}

#[tokio::test]
async fn changes_are_followed() {
    let mut world = World::started(&service("web")).await;
    world.server.apply(&service("api"));
    world.until(|world| world.has(Kind::Service, "shop/api")).await;
    world.server.delete("services", "shop", "web");
    world.until(|world| !world.has(Kind::Service, "shop/web")).await;
    assert_eq!(world.server.count("list", "services"), 1);
}

/// Otherwise a host would show another certificate until the Secret has come.
#[tokio::test]
async fn an_ingress_comes_with_the_secret_that_it_names() {
    let mut world = World::started(&[ingress("a", &[]), secret("x")].concat()).await;
    world.server.apply(&ingress("a", &["x"]));
    let update = world.step().await;
    let kinds: Vec<Kind> = update.change.upserts.iter().map(|o| o.reference().kind).collect();
    assert!(kinds.contains(&Kind::Ingress) && kinds.contains(&Kind::Secret), "{kinds:?}");
    world.server.apply(&ingress("a", &[]));
    world.until(|world| !world.has(Kind::Secret, "shop/x")).await;
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let mut world = World::new("");
    for number in 0..1201 {
        world.server.apply(&service(&format!("s{number}")));
    }
    world.watch().await.step().await;
    assert_eq!(world.objects.len(), 1202);
    assert_eq!(world.server.count("list", "services"), 3);
}

#[tokio::test]
async fn dropped_watch_goes_on_where_it_was() {
    for torn in [false, true] {
        let mut world = World::started(&service("web")).await;
        world.server.drop_watches(torn);
        world.server.apply(&service("api"));
        world.until(|world| world.has(Kind::Service, "shop/api")).await;
        assert_eq!(world.server.count("list", "services"), 1, "it is not listed again");
    }
}

/// 410 Gone: what was missed is found by a full list, and nothing else is seen of it.
#[tokio::test]
async fn forgotten_version_is_listed_again() {
    let mut world = World::started(&[service("web"), service("old")].concat()).await;
    world.server.delete("services", "shop", "old");
    world.server.apply(&service("new"));
    world.server.forget_versions();
    world.until(|w| w.has(Kind::Service, "shop/new") && !w.has(Kind::Service, "shop/old")).await;
    assert!(world.has(Kind::Service, "shop/web"));
    world.shown("lists are counted", |facts| facts.kinds[&Kind::Service].lists >= 2).await;
}

/// K8.
#[tokio::test]
async fn class_goes_with_a_full_list() {
    let mut world = World::started("").await;
    world.server.delete("ingressclasses", "", "genkan");
    while world.has(Kind::IngressClass, "genkan") {
        let update = world.step().await;
        let removes = !update.change.removals.is_empty();
        assert!(!removes || update.full, "{update:?}");
    }
    assert_eq!(world.server.count("list", "ingressclasses"), 2);
}

#[tokio::test]
async fn absent_server_is_waited_for_and_changes_nothing_later() {
    let mut world = World::new(&service("web"));
    world.server.stop();
    world.watch().await;
    world
        .shown("why it waits", |facts| {
            facts.served == Served::Nothing
                && facts.failures.iter().any(|why| why.contains("refused"))
        })
        .await;
    world.server.resume().unwrap();
    world.step().await;
    assert!(world.has(Kind::Service, "shop/web"));

    world.server.stop();
    world.shown("it is told", |facts| facts.failing_since.is_some()).await;
    assert_eq!(world.updates, 1);
    world.server.apply(&service("api"));
    world.server.resume().unwrap();
    world.until(|world| world.has(Kind::Service, "shop/api")).await;
    world.shown("it is over", |facts| facts.failing_since.is_none()).await;
}

#[tokio::test]
async fn cache_serves_while_the_server_is_absent_and_is_replaced_in_one_step() {
    let yaml = [ingress("a", &["x"]), service("web"), service("old"), secret("x")];
    let mut world = World::started(&yaml.concat()).await;
    let before = world.names();
    world.server.stop();
    world.server.delete("services", "shop", "old");
    world.server.apply(&service("new"));

    world.watch().await.step().await;
    assert_eq!(world.names(), before);
    assert!(matches!(world.facts().served, Served::Cache { .. }));
    let first = world.updates;
    world.server.resume().unwrap();
    world.until(|world| world.has(Kind::Service, "shop/new")).await;
    assert_eq!(world.updates, first + 1, "no half of a list was seen");
    assert!(!world.has(Kind::Service, "shop/old"));
    assert!(world.has(Kind::Secret, "shop/x"));
    assert_eq!(world.facts().served, Served::Server);
    // The file follows: what has gone does not come back with the next start.
    world.server.stop();
    world.watch().await.step().await;
    assert!(world.has(Kind::Service, "shop/new") && !world.has(Kind::Service, "shop/old"));
}

#[tokio::test]
async fn slow_list_does_not_keep_the_cache_from_serving() {
    let mut world = World::started(&service("web")).await;
    world.server.delay_lists(Duration::from_secs(3600));
    world.watch().await.step().await;
    assert!(world.has(Kind::Service, "shop/web"));
    assert!(matches!(world.facts().served, Served::Cache { .. }));
}

#[tokio::test]
async fn without_cache_nothing_is_written() {
    let mut world = World::new(&service("web"));
    world.config.cluster.cache = CacheConfig::Off;
    world.watch().await.step().await;
    let names = |path: &Path| {
        let entries = std::fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    assert_eq!(names(world.directory.path()), ["kubeconfig"]);
}

#[tokio::test]
async fn role_that_names_its_secrets_is_enough() {
    let mut world = World::new(&[ingress("a", &["x", "z"]), secret("x"), secret("z")].concat());
    world.server.forbid("list", "secrets");
    world.server.permit_names("secrets", &["x"]);
    world.watch().await.step().await;
    assert!(world.has(Kind::Secret, "shop/x") && !world.has(Kind::Secret, "shop/z"));
    let forbidden: Vec<_> =
        world.problems.iter().filter(|problem| problem.reason == Reason::Forbidden).collect();
    assert_eq!(forbidden.len(), 1, "{:?}", world.problems);
    assert_eq!(forbidden[0].object, Some(ObjectRef::new(Kind::Secret, "shop", "z")));
    // A refusal is no absence: the cache that is there by now is not asked.
    world.watch().await.step().await;
    assert_eq!(world.facts().served, Served::Server);
    world.server.permit_names("secrets", &["x", "z"]);
    world.until(|world| world.has(Kind::Secret, "shop/z") && world.problems.is_empty()).await;
}

#[tokio::test]
async fn secret_that_may_be_got_and_not_watched_is_refreshed() {
    let mut world = World::new(&[ingress("a", &["x"]), secret("x")].concat());
    world.server.forbid("watch", "secrets");
    world.watch().await.step().await;
    assert!(world.has(Kind::Secret, "shop/x"));
    world.server.delete("secrets", "shop", "x");
    world.until(|world| !world.has(Kind::Secret, "shop/x")).await;
}

#[tokio::test]
async fn many_secrets_share_a_watch() {
    let names: Vec<String> = (0..5).map(|number| format!("s{number}")).collect();
    let mut yaml: Vec<String> = names.iter().map(|name| ingress(name, &[name])).collect();
    yaml.extend(names.iter().skip(1).map(|name| secret(name)));
    let opaque = TestCa::new().issue(&["a.example"]).secret_yaml("shop", "s0");
    yaml.push(format!("---\n{}", opaque.replace("kubernetes.io/tls", "Opaque")));
    yaml.push(secret("unnamed"));
    let mut world = World::new(&yaml.concat());
    world.config.cluster.named_watches = 4;
    world.watch().await;
    world.until(|w| names.iter().all(|name| w.has(Kind::Secret, &format!("shop/{name}")))).await;
    assert!(!world.has(Kind::Secret, "shop/unnamed"));
    assert_eq!(world.facts().kinds[&Kind::Secret].watches, 2, "one shared, one refreshed");
    // One that nobody named before is found, and then followed.
    world.server.apply(&ingress("more", &["unnamed"]));
    world.until(|world| world.has(Kind::Secret, "shop/unnamed")).await;
    world.server.delete("secrets", "shop", "s1");
    world.until(|world| !world.has(Kind::Secret, "shop/s1")).await;
}

#[tokio::test]
async fn token_for_namespaces_is_enough() {
    let elsewhere = service("web").replace("shop", "other");
    let mut world =
        World::new(&[ingress("a", &["x"]), service("web"), secret("x"), elsewhere].concat());
    world.server.forbid("list", "ingressclasses");
    world.config.cluster.namespaces = vec!["shop".to_owned(), "empty".to_owned()];
    world.watch().await.step().await;
    assert!(world.has(Kind::IngressClass, "genkan"), "assumed");
    assert!(world.has(Kind::Service, "shop/web") && !world.has(Kind::Service, "other/web"));
    assert!(world.has(Kind::Secret, "shop/x"));
}

#[tokio::test]
async fn list_that_is_forbidden_is_no_empty_list() {
    let mut world = World::started(&service("web")).await;
    world.server.forbid("list", "services");
    world.watch().await.step().await;
    assert!(world.has(Kind::Service, "shop/web"), "from the cache");
    world.shown("why", |facts| facts.failures.iter().any(|why| why.contains("403"))).await;
    world.server.permit("list", "services");
    world.shown("it is listed", |facts| facts.served == Served::Server).await;
}

#[tokio::test]
async fn another_way_of_reading_is_followed_or_refused() {
    let world = &mut World::started(&ingress("a", &[])).await;
    let nginx = Config { compat: Compat::Nginx, ..world.config.clone() };
    let update = world.source.as_ref().unwrap().configure(&nginx).await.unwrap();
    assert_eq!(update.change.upserts.len(), 2, "{:?}", update.change);
    world.server.stop();
    let before = world.config.clone();
    assert!(world.source.as_ref().unwrap().configure(&before).await.is_err());
    // Nothing is lost by it.
    world.server.apply(&service("web"));
    world.server.resume().unwrap();
    world.until(|world| world.has(Kind::Service, "shop/web")).await;
    assert!(world.has(Kind::Ingress, "shop/a"));
}

#[tokio::test]
async fn bad_object_disables_only_itself() {
    let bad = ingress("bad", &[]).replace("bad.example", "not a host");
    let world = World::started(&[ingress("good", &[]), bad].concat()).await;
    assert!(world.has(Kind::Ingress, "shop/good"));
    let problem = &world.problems[0];
    assert_eq!(problem.object, Some(ObjectRef::new(Kind::Ingress, "shop", "bad")));
    assert_eq!(problem.origin, crate::model::Origin::Cluster);
}
