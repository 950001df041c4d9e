//! TLS towards clients: which certificate, which protocol, resumption, change under load.
#![allow(clippy::unwrap_used, reason = "tests panic where a promise is broken")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use genkan::testing::backend::Backend;
use genkan::testing::ca::TestCa;
use genkan::testing::client::{self, get};
use genkan::testing::edge::Edge;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const ALPN: &[&str] = &["http/1.1"];

/// Hosts `a.example` and `*.w.example` with certificates of their own, `plain.example` without.
struct Site {
    edge: Edge,
    ca: TestCa,
    _backend: Backend,
}

impl Site {
    fn new(change: impl FnOnce(&mut genkan::config::Config)) -> Self {
        let edge = Edge::builder().workers(2).config(change).start();
        let (ca, backend) = (TestCa::new(), Backend::http1("pod"));
        edge.service("pod", None, &[backend.address()]);
        for (host, secret) in [("a.example", "a"), ("*.w.example", "w")] {
            edge.apply(&ca.issue(&[host]).secret_yaml("default", secret));
            let tls = format!("tls: [{{hosts: [\"{host}\"], secretName: {secret}}}]");
            edge.ingress(host, "pod", &tls);
        }
        edge.ingress("plain.example", "pod", "");
        Self { edge, ca, _backend: backend }
    }

    async fn handshake(&self, name: &str) -> io::Result<TlsStream<TcpStream>> {
        client::tls(self.edge.https(), self.ca.client_config(ALPN), name).await
    }

    /// The certificate shown for a name, whoever signed it.
    async fn shown(&self, name: Option<&str>) -> CertificateDer<'static> {
        let stream = anyone(self.edge.https(), name, ALPN).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

/// A handshake that takes any certificate; without a name no SNI is sent.
async fn anyone(
    address: SocketAddr,
    name: Option<&str>,
    alpn: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::clone(&TestCa::new().client_config(alpn));
    config.dangerous().set_certificate_verifier(Arc::new(Anyone));
    config.enable_sni = name.is_some();
    client::tls(address, Arc::new(config), name.unwrap_or("none.example")).await
}

#[tokio::test]
async fn t4_precise_name_then_wildcard_then_default() {
    let site = Site::new(|_| {});
    let (precise, wildcard) =
        (site.shown(Some("a.example")).await, site.shown(Some("x.w.example")).await);
    let default = site.shown(None).await;
    assert_ne!(precise, wildcard);
    assert_ne!(precise, default);
    for (name, expected) in [
        ("A.EXAMPLE", &precise),
        ("y.w.example", &wildcard),
        ("w.example", &default),
        ("x.y.w.example", &default),
        ("b.example", &default),
        ("plain.example", &default),
        ("127.0.0.1", &default),
    ] {
        assert_eq!(&site.shown(Some(name)).await, expected, "{name}");
    }
    for name in ["a.example", "q.w.example"] {
        site.handshake(name).await.expect("signed by the CA for this name");
    }
}

#[tokio::test]
async fn t5_unknown_name_gets_the_default_certificate() {
    let site = Site::new(|_| {});
    assert!(site.handshake("unknown.example").await.is_err(), "nobody trusts it");
    let mut sender =
        client::http1_over(anyone(site.edge.https(), Some("unknown.example"), ALPN).await.unwrap())
            .await;
    let got = sender.send_request(get("a.example", "/")).await.unwrap();
    assert_eq!(got.status(), 200, "the route is chosen by Host");
}

#[tokio::test]
async fn t5_strict_names_end_with_alert_112() {
    let site = Site::new(|c| c.tls.strict_sni = true);
    for name in [Some("unknown.example"), None] {
        let error = anyone(site.edge.https(), name, ALPN).await.unwrap_err();
        let alert = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
        assert_eq!(
            alert,
            Some(&rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName)),
            "{name:?}"
        );
    }
    site.handshake("a.example").await.unwrap();
}

/// T9: a name of a `tls` entry is known, also while its Secret is missing or wrong.
#[tokio::test]
async fn t5_strict_names_without_a_usable_certificate_are_shown_the_self_signed_one() {
    let site = Site::new(|c| c.tls.strict_sni = true);
    let wrong = site.ca.issue(&["other.example"]);
    site.edge
        .apply(&wrong.secret_yaml("default", "wrong"))
        .ingress("missing.example", "pod", "tls: [{hosts: [missing.example], secretName: none}]")
        .ingress("none.example", "pod", "tls: [{hosts: [none.example]}]")
        .ingress("wrong.example", "pod", "tls: [{hosts: [wrong.example], secretName: wrong}]");
    let shown = site.shown(Some("missing.example")).await;
    for name in ["none.example", "wrong.example"] {
        assert_eq!(site.shown(Some(name)).await, shown, "{name}");
    }
    assert_ne!(shown, wrong.certificate_der());
    assert!(anyone(site.edge.https(), Some("unknown.example"), ALPN).await.is_err());

    // Its Secret comes later.
    let good = site.ca.issue(&["missing.example"]);
    site.edge.apply(&good.secret_yaml("default", "none"));
    assert_eq!(site.shown(Some("missing.example")).await, good.certificate_der());
}

#[tokio::test]
async fn t5_strictness_is_read_live() {
    let site = Site::new(|_| {});
    anyone(site.edge.https(), Some("unknown.example"), ALPN).await.unwrap();
    site.edge.set(|s| s.tls.strict_sni = true);
    assert!(anyone(site.edge.https(), Some("unknown.example"), ALPN).await.is_err());
}

#[tokio::test]
async fn t14_tls_1_2_and_1_3_without_early_data() {
    let site = Site::new(|_| {});
    for (version, protocol) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(site.ca.roots())
            .with_no_client_auth();
        let stream = client::tls(site.edge.https(), Arc::new(config), "a.example").await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(protocol));
    }
}

#[tokio::test]
async fn t15_alpn() {
    let site = Site::new(|_| {});
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["h2"], Some("h2")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = anyone(site.edge.https(), Some("a.example"), offered).await.unwrap();
        let got = stream.get_ref().1.alpn_protocol().map(|p| std::str::from_utf8(p).unwrap());
        assert_eq!(got, agreed, "{offered:?}");
    }
    let error = anyone(site.edge.https(), Some("a.example"), &["spdy/3", "h3"]).await.unwrap_err();
    let alert = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    assert_eq!(
        alert,
        Some(&rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol))
    );
}

#[tokio::test]
async fn t15_without_alpn_http1_is_spoken() {
    let site = Site::new(|_| {});
    let mut stream = anyone(site.edge.https(), Some("a.example"), &[]).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn sessions_resume_on_another_worker() {
    let site = Site::new(|_| {});
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(site.ca.roots())
            .with_no_client_auth();
        let config = Arc::new(config);
        for (worker, kind) in [(0, HandshakeKind::Full), (1, HandshakeKind::Resumed)] {
            let address = site.edge.https_of(worker);
            let stream = client::tls(address, config.clone(), "a.example").await.unwrap();
            let handshake = stream.get_ref().1.handshake_kind();
            // Tickets come with the answer.
            let mut sender = client::http1_over(stream).await;
            let response = sender.send_request(get("a.example", "/")).await.unwrap();
            client::read(response).await.unwrap();
            assert_eq!(handshake, Some(kind), "{version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t16_certificates_are_swapped_under_load() {
    let site = Arc::new(Site::new(|_| {}));
    let before = site.shown(Some("a.example")).await;
    let mut running = client::http1_over(site.handshake("a.example").await.unwrap()).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (site, stop, served) = (site.clone(), stop.clone(), served.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let stream = site.handshake("a.example").await.unwrap();
                    let mut sender = client::http1_over(stream).await;
                    let answer = sender.send_request(get("a.example", "/")).await.unwrap();
                    assert_eq!(answer.status(), 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..10 {
        let (so_far, old) = (served.load(Ordering::Relaxed), site.shown(Some("a.example")).await);
        site.edge.apply(&site.ca.issue(&["a.example"]).secret_yaml("default", "a"));
        assert_ne!(site.shown(Some("a.example")).await, old, "new handshakes use it at once");
        while served.load(Ordering::Relaxed) < so_far + 10 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert_ne!(site.shown(Some("a.example")).await, before);
    running.ready().await.unwrap();
    assert_eq!(running.send_request(get("a.example", "/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn t11_http_is_redirected_for_hosts_with_tls() {
    let site = Site::new(|c| c.compat = genkan::config::Compat::Nginx);
    for (host, path, location) in [
        ("a.example", "/", Some("https://a.example")),
        ("A.example:8080", "/x/?y=1", Some("https://a.example/x/?y=1")),
        ("a.example", "/x/", Some("https://a.example/x")),
        ("q.w.example", "/x", Some("https://q.w.example/x")),
        ("plain.example", "/", None),
    ] {
        let got = client::ask(site.edge.http(), get(host, path)).await;
        let (status, wanted) = (got.status.as_u16(), if location.is_some() { 308 } else { 200 });
        assert_eq!(status, wanted, "{host}{path}");
        let got = got.headers.get("location").map(|l| l.to_str().unwrap().to_owned());
        assert_eq!(got.as_deref(), location, "{host}{path}");
    }
}

/// Another port than 443 is named, because no client would look for it; where no port speaks HTTPS
/// a redirect would lead nowhere.
#[tokio::test]
async fn t11_redirect_leads_to_the_port_of_the_vip_that_speaks_https() {
    let site = Site::new(|_| {});
    let ask = async || {
        let got = client::ask(site.edge.http(), get("a.example", "/x")).await;
        let location = got.headers.get("location").map(|l| l.to_str().unwrap().to_owned());
        (got.status.as_u16(), location)
    };
    assert_eq!(ask().await, (308, Some("https://a.example/x".to_owned())));
    let vip = site.edge.http().ip();
    site.edge.set(|s| s.https_ports = [(vip, 8443)].into_iter().collect());
    assert_eq!(ask().await, (308, Some("https://a.example:8443/x".to_owned())));
    site.edge.set(|s| s.https_ports.clear());
    assert_eq!(ask().await, (200, None));
}

#[tokio::test]
async fn t11_options_of_no_path_are_redirected_to_the_host() {
    let site = Site::new(|c| c.compat = genkan::config::Compat::Nginx);
    let mut stream = TcpStream::connect(site.edge.http()).await.unwrap();
    stream.write_all(b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.contains("location: https://a.example\r\n"), "{answer}");
}

#[tokio::test]
async fn t6_another_host_than_that_of_the_handshake_is_421_in_strict_mode() {
    for (strict, sni, host, status) in [
        (true, "a.example", "a.example", 200),
        (true, "a.example", "x.w.example", 421),
        (true, "a.example", "plain.example", 421),
        (true, "x.w.example", "y.w.example", 200),
        (false, "a.example", "x.w.example", 200),
    ] {
        let site = Site::new(|c| c.tls.strict_sni = strict);
        let mut sender = client::http1_over(site.handshake(sni).await.unwrap()).await;
        let got = sender.send_request(get(host, "/")).await.unwrap();
        assert_eq!(got.status(), status, "{sni} then {host}");
    }
}

#[tokio::test]
async fn t13_hsts_on_https_answers_when_asked_for() {
    for (hsts, wanted) in [(true, true), (false, false)] {
        let site = Site::new(|c| c.tls.hsts = Some(hsts));
        let mut sender = client::http1_over(site.handshake("a.example").await.unwrap()).await;
        let got = sender.send_request(get("a.example", "/")).await.unwrap();
        assert_eq!(got.headers().contains_key("strict-transport-security"), wanted);
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_let_go() {
    let site = Site::new(|c| c.timeouts.client_header = std::time::Duration::from_millis(100));
    let mut stream = TcpStream::connect(site.edge.https()).await.unwrap();
    let closed = tokio::time::timeout(client::PATIENCE, stream.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    let mut plain = TcpStream::connect(site.edge.https()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "no answer in clear on a TLS port");
}

/// Takes any certificate.
#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
