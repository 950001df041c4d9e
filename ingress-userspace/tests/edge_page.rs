//! The page of the administration in a real browser.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::path::Path;

use genkan::testing::lab::EdgeLab;
use genkan::testing::story::{Ingress, Story};
use genkan::testing::{require_root, require_tool};

/// Of the edge's own loopback: nobody else is there.
const LISTEN: &str = "127.0.0.1:9180";

/// What chromium is told so that it asks nobody but the page.
const QUIET: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,1024",
];

/// `GENKAN_WRITE_GOLDEN=1` puts the picture into the documents.
#[test]
fn a_browser_shows_the_tables_and_runs_nothing_of_what_objects_say() {
    if !require_root() || !require_tool("chromium") {
        return;
    }
    let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), 2);
    story.write_services();
    let hostile = "/<script>document.title='owned'</script>";
    let shop = Ingress::new("shop").rule("shop.example", "/", "pods").path(
        Some("shop.example"),
        hostile,
        "ImplementationSpecific",
        "missing",
    );
    story.manifests.write("shop.yaml", &shop.yaml());
    story.configure(|config| config.admin.listen = Some(LISTEN.parse().unwrap()));
    story.start();
    for vip in EdgeLab::VIPS {
        assert_eq!(story.get(vip, "shop.example", "/").status, 200);
    }

    let profile = tempfile::tempdir().unwrap();
    let browse = |target: &str, more: &str| {
        let profile = format!("--user-data-dir={}", profile.path().display());
        let url = format!("http://{LISTEN}{target}");
        let arguments = [&QUIET[..], &[&profile, more, &url]].concat();
        story.lab.edge.output("chromium", &arguments)
    };
    let dom = browse("/", "--dump-dom");
    for part in [
        "<title>Genkan: ready</title>",
        "<td>shop.example</td>",
        "&lt;script&gt;document.title='owned'&lt;/script&gt;",
        "ServiceNotFound",
        "tcp_syn ",
        "<table id=\"workers\">",
    ] {
        assert!(dom.contains(part), "{part} is missing in:\n{dom}");
    }
    assert!(!dom.contains("<script"), "{dom}");
    let found = browse("/?host=other.example", "--dump-dom");
    assert!(!found.contains("<td>shop.example</td>"), "{found}");

    let picture = profile.path().join("page.png");
    browse("/", &format!("--screenshot={}", picture.display()));
    let picture = std::fs::read(picture).unwrap();
    assert!(picture.starts_with(b"\x89PNG"), "no picture");
    if std::env::var_os("GENKAN_WRITE_GOLDEN").is_some() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/docs/page.png");
        std::fs::write(docs, picture).unwrap();
    }
}
