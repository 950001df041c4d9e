//! A story with everything that clients do going on: `shop.example` with TLS, WebSocket and gRPC.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{EdgeLab, Ingress, Story};
use crate::testing::backend::{Answer, Backend, Protocol};
use crate::testing::ca::TestCa;
use crate::testing::traffic::{Mix, Tally, Traffic};

/// A story and its clients.
pub struct Load {
    traffic: Option<Traffic>,
    pub ca: TestCa,
    pub story: Story,
    /// The gRPC server beside pod 0.
    pub grpc: Backend,
}

// === impl Load ===

impl Load {
    pub const HOST: &str = "shop.example";
    /// The stream whose messages come back.
    pub const GRPC_PATH: &str = "/test.Echo/Stream";
    const GRPC_PORT: u16 = 8081;

    /// Objects and pods of the story. Nothing runs yet.
    pub fn new(program: impl AsRef<Path>, pods: usize) -> Self {
        let mut story = Story::new(program, pods);
        story.write_services();
        let ca = TestCa::new();
        let leaf = ca.issue(&[Self::HOST]);
        story.manifests.write("secret.yaml", &leaf.secret_yaml("default", "shop"));
        story.manifests.write("shop.yaml", &Self::ingress().yaml());
        story.manifests.write("grpc.yaml", &grpc_service(story.lab.pod_addresses(0)[0]));
        let any = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), Self::GRPC_PORT);
        let grpc = story.lab.pods[0].run(|| Backend::bind("grpc", Protocol::H2c, any).unwrap());
        let echo = Answer::mirror().with_header("content-type", "application/grpc");
        grpc.on(Self::GRPC_PATH, echo.with_trailer("grpc-status", "0"));
        story.configure(|config| {
            config.tls.https_redirect = Some(false);
            // A client that is counted must not end by the number of its requests.
            config.limits.keep_alive_requests = u64::from(u32::MAX);
            config.access_log = serde_json::from_str(r#""off""#).unwrap();
        });
        Self { traffic: None, ca, story, grpc }
    }

    /// What the clients ask for.
    pub fn ingress() -> Ingress {
        Ingress::new("shop").tls("shop", &[Self::HOST]).rule(Self::HOST, "/", "pods").rule(
            Self::HOST,
            "/test.Echo",
            "grpc",
        )
    }

    /// Clients of all kinds that take an announced leave, and whose sessions are short.
    pub fn mix(&self) -> Mix {
        Mix {
            https: Some((SocketAddr::new(EdgeLab::VIP6, 443), self.ca.client_config(&["h2"]))),
            path: "/cart".to_owned(),
            websocket_path: Some("/chat".to_owned()),
            grpc_path: Some(Self::GRPC_PATH.to_owned()),
            http1_clients: 3,
            fresh_clients: 3,
            http2_clients: 2,
            websockets: 3,
            grpc_streams: 2,
            session: Some(Duration::from_secs(2)),
            goodbyes: true,
            ..Mix::of(Self::HOST, SocketAddr::new(EdgeLab::VIP4, 80))
        }
    }

    /// Starts the clients, and waits for their first requests.
    pub fn start_traffic(&mut self, mix: Mix) {
        let client = self.story.lab.client.clone();
        let traffic = Traffic::start(mix, move || client.enter());
        traffic.wait_for_requests(20);
        self.traffic = Some(traffic);
    }

    /// Panics when no client runs.
    pub fn traffic(&self) -> &Traffic {
        self.traffic.as_ref().expect("clients run")
    }

    /// Lets the clients finish what they do.
    pub fn finish(&mut self) -> Arc<Tally> {
        self.traffic.take().expect("clients run").finish()
    }
}

fn grpc_service(pod: IpAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: grpc\nspec:\n  ports:\n  - name: grpc\n\
         \x20   port: 80\n    targetPort: {port}\n    appProtocol: kubernetes.io/h2c\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: grpc\n  labels:\n\
         \x20   kubernetes.io/service-name: grpc\naddressType: IPv4\nports:\n- name: grpc\n  port: \
         {port}\n  appProtocol: kubernetes.io/h2c\nendpoints:\n- addresses: [\"{pod}\"]\n",
        port = Load::GRPC_PORT
    )
}
