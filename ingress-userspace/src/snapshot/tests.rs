//! Door and link over a real socket, each with a publisher of its own.

use std::net::TcpListener;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::door::{Door, Event, Place, Session};
use super::link::{Link, Target, Told};
use super::wire::Lending;
use super::*;
use crate::config::Config;
use crate::model::{Kind, Object};
use crate::routing::fixture::{ingress, ready_service, removals, upserts};
use crate::routing::{Compiler, RequestHost, Settings};

const DEADLINE: Duration = Duration::from_secs(20);

fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// An agent without kernel side.
struct Agent {
    compiler: Compiler,
    publisher: Publisher,
    version: u64,
    place: Place,
    _directory: TempDir,
}

impl Agent {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let group = nix::unistd::getegid().as_raw();
        let place = Place { path: directory.path().join("proxy.sock"), user: user(), group };
        let compiler = Compiler::new(Settings::default());
        let publisher = Publisher::new(0);
        Self { compiler, publisher, version: 0, place, _directory: directory }
    }

    fn door(&self) -> Door {
        Door::open(&self.place, self.publisher.clone(), &Config::default(), None).unwrap()
    }

    fn publish(&mut self, objects: impl IntoIterator<Item = Object>) {
        let mut snapshot = self.compiler.apply(upserts(objects), 0).snapshot;
        self.version += 1;
        snapshot.version = self.version;
        self.publisher.publish(snapshot);
    }

    fn target(&self) -> Target {
        Target { path: self.place.path.clone(), user: user() }
    }
}

fn host(name: &str) -> Object {
    ingress(name).prefix(&format!("{name}.example"), "/", "s:80").object()
}

fn serves(publisher: &Publisher, name: &str) -> bool {
    publisher.current().route(RequestHost::Name(&format!("{name}.example")), "/").is_some()
}

async fn told<T>(link: &mut Link, wanted: impl Fn(Told) -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = wanted(link.told().await) {
                return found;
            }
        }
    };
    timeout(DEADLINE, wait).await.expect("the agent has not said it in time")
}

async fn served(link: &mut Link, wanted: u64) -> bool {
    told(link, |told| match told {
        Told::Served { version, first } if version == wanted => Some(first),
        _ => None,
    })
    .await
}

async fn event<T>(door: &mut Door, wanted: impl Fn(Event) -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = wanted(door.event().await) {
                return found;
            }
        }
    };
    timeout(DEADLINE, wait).await.expect("the proxy has not done it in time")
}

#[tokio::test]
async fn a_proxy_follows_its_agent_and_acknowledges_each_version_that_it_serves() {
    let mut agent = Agent::new();
    agent.publish(ready_service("s", "10.0.0.1").into_iter().chain([host("a")]));
    let mut door = agent.door();
    let publisher = Publisher::new(1);
    let mut link = Link::start(agent.target()).unwrap();
    link.publish_to(publisher.clone());
    assert!(served(&mut link, 1).await, "the first is all there is");
    let acknowledged = |wanted| {
        move |event| match event {
            Event::Served { version, .. } => (version == wanted).then_some(()),
            _ => None,
        }
    };
    event(&mut door, acknowledged(1)).await;
    assert!(serves(&publisher, "a") && !serves(&publisher, "b"));
    agent.publish([host("b")]);
    assert!(!served(&mut link, 2).await);
    event(&mut door, acknowledged(2)).await;
    assert!(serves(&publisher, "a") && serves(&publisher, "b"));
}

#[tokio::test]
async fn an_agent_that_comes_back_finds_its_proxy_serving_and_brings_it_up_to_date() {
    let mut agent = Agent::new();
    agent.publish([host("a"), host("b")]);
    let door = agent.door();
    let publisher = Publisher::new(1);
    let mut link = Link::start(agent.target()).unwrap();
    link.publish_to(publisher.clone());
    served(&mut link, 1).await;
    drop(door);
    told(&mut link, |told| matches!(told, Told::Lost { .. }).then_some(())).await;
    assert!(serves(&publisher, "a"), "what it has is served");

    // A new one, which begins to count anew and has seen another world.
    agent.compiler.apply(removals([(Kind::Ingress, "b")]), 0);
    agent.version = 0;
    agent.publish([host("c")]);
    let _door = agent.door();
    let first = told(&mut link, |told| match told {
        Told::Served { first, .. } => Some(first),
        _ => None,
    });
    assert!(first.await);
    let serves = ["a", "b", "c"].map(|name| serves(&publisher, name));
    assert_eq!(serves, [true, false, true]);
}

#[tokio::test]
async fn sockets_settings_and_orders_come_through() {
    let mut agent = Agent::new();
    agent.publish([host("a")]);
    let mut door = agent.door();
    door.set_ports(vec![4711]);
    let mut link = Link::start(agent.target()).unwrap();
    link.publish_to(Publisher::new(1));
    let ports = told(&mut link, |told| match told {
        Told::Welcome { ports, .. } => Some(ports),
        _ => None,
    });
    assert_eq!(ports.await, [4711]);
    let settings = |wanted| {
        move |told| match told {
            Told::Settings(settings) => (settings.number == wanted).then_some(settings),
            _ => None,
        }
    };
    let first = told(&mut link, settings(1)).await;
    assert!(!first.widen);
    let mut config = Config::default();
    config.limits.connections = 7;
    assert_eq!(door.set_config(&config, true), 2);
    let second = told(&mut link, settings(2)).await;
    assert!(second.widen);
    assert_eq!(second.config().unwrap().limits.connections, 7);
    link.sender().following(2);
    let number = event(&mut door, |event| match event {
        Event::Following { number, .. } => Some(number),
        _ => None,
    });
    assert_eq!(number.await, 2);

    // More than one message may hold.
    let listeners: Vec<TcpListener> =
        (0..70).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let lent: Vec<(usize, &TcpListener)> = listeners.iter().enumerate().collect();
    link.sender().lend(&[0, 1], &lent, Lending::First);
    let mut received = Vec::new();
    let mut from: Option<Session> = None;
    while received.len() < 70 {
        let (session, sockets) = event(&mut door, |event| match event {
            Event::Listeners { session, sockets, .. } => Some((session, sockets)),
            _ => None,
        })
        .await;
        from = Some(session);
        received.extend(sockets);
    }
    for (worker, socket) in &received {
        assert_eq!(socket.local_addr().unwrap(), listeners[*worker].local_addr().unwrap());
    }
    let session = from.unwrap();
    session.supersede();
    told(&mut link, |told| matches!(told, Told::Superseded).then_some(())).await;
    assert!(link.sender().leave());
    let leaving = event(&mut door, |event| match event {
        Event::Leaving { session } => Some(session),
        _ => None,
    });
    leaving.await.let_go();
    told(&mut link, |told| matches!(told, Told::Left).then_some(())).await;
    drop(link);
    event(&mut door, |event| matches!(event, Event::Gone { .. }).then_some(())).await;
}

#[tokio::test]
async fn who_is_somebody_else_is_not_let_in_and_not_listened_to() {
    let mut agent = Agent::new();
    agent.publish([host("a")]);
    let lost = |told| match told {
        Told::Lost { why } => Some(why),
        Told::Welcome { .. } => panic!("let in"),
        _ => None,
    };
    let mut strict = agent.place.clone();
    strict.user = user() + 1;
    let door = Door::open(&strict, agent.publisher.clone(), &Config::default(), None).unwrap();
    let mut link = Link::start(agent.target()).unwrap();
    told(&mut link, lost).await;
    drop((door, link));

    let _door = agent.door();
    let mut link = Link::start(Target { user: user() + 1, ..agent.target() }).unwrap();
    let why = told(&mut link, lost).await;
    assert!(why.contains("the agent's user is"), "{why}");
}

#[tokio::test]
async fn a_socket_that_does_not_listen_on_loopback_ends_the_connection() {
    let mut agent = Agent::new();
    agent.publish([host("a")]);
    let mut door = agent.door();
    let mut link = Link::start(agent.target()).unwrap();
    link.publish_to(Publisher::new(1));
    served(&mut link, 1).await;
    let outside = TcpListener::bind("0.0.0.0:0").unwrap();
    link.sender().lend(&[0], &[(0, &outside)], Lending::First);
    let refused = event(&mut door, |event| match event {
        Event::Gone { .. } => Some(true),
        Event::Listeners { .. } => Some(false),
        _ => None,
    });
    assert!(refused.await);
}

#[test]
fn one_agent_has_the_socket_and_only_the_proxys_group_may_use_it() {
    use std::os::unix::fs::PermissionsExt;
    let agent = Agent::new();
    let _door = agent.door();
    let second = Door::open(&agent.place, agent.publisher.clone(), &Config::default(), None);
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    let mode = std::fs::metadata(&agent.place.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}
