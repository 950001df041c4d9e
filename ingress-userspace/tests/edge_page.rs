//! The page of the administration in a real browser.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genkan::testing::lab::EdgeLab;
use genkan::testing::story::{Ingress, Request, Story};
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
    "--window-size=1280,1140",
];

/// The page's own clock: time passes when nothing is under way, so polls come one after the other.
const POLLS: &str = "--virtual-time-budget=130000";

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
    let browse = |target: &str, more: &[&str]| {
        let profile = format!("--user-data-dir={}", profile.path().display());
        let url = format!("http://{LISTEN}{target}");
        let arguments = [&QUIET[..], &[&profile], more, &[&url]].concat();
        story.lab.edge.output("chromium", &arguments)
    };
    let parts = [
        "<title>Genkan: ready</title>",
        "<td>shop.example</td>",
        "&lt;script&gt;document.title='owned'&lt;/script&gt;",
        "ServiceNotFound",
        "tcp_syn ",
        "<table id=\"workers\">",
    ];
    let without_script = |target: &str| {
        let request = Request::get("127.0.0.1", target).header("accept", "text/html");
        let html = request.send(story.edge(), LISTEN.parse().unwrap()).unwrap().body;
        let html = String::from_utf8(html.to_vec()).unwrap();
        let frame = profile.path().join("frame.html");
        std::fs::write(&frame, in_sandbox(&html)).unwrap();
        let url = format!("file://{}", frame.display());
        let profile = format!("--user-data-dir={}", profile.path().display());
        let arguments = [&QUIET[..], &[&profile, "--dump-dom", &url]].concat();
        unescaped(&story.lab.edge.output("chromium", &arguments))
    };
    let plain = without_script("/");
    assert!(!plain.contains("<svg") && !plain.contains("No answer"), "{plain}");
    let found = without_script("/?host=other.example");
    assert!(found.contains("<table id=\"workers\">") && !found.contains("<td>shop.example</td>"));

    let before = requests_of(&plain);
    let dom = under_traffic(&story, || browse("/", &[POLLS, "--dump-dom"]));
    for part in parts {
        assert!(plain.contains(part), "{part} is missing without script in:\n{plain}");
        assert!(dom.contains(part), "{part} is missing in:\n{dom}");
    }
    assert_eq!(dom.matches("<script").count(), 1, "{dom}");
    assert!(!dom.contains("No answer"), "{dom}");
    for plot in ["requests", "errors", "connections", "dropped", "packets"] {
        let svg = dom.split("<svg").find(|svg| svg.contains(&format!("data-plot=\"{plot}\"")));
        let svg = svg.unwrap_or_else(|| panic!("no plot of {plot} in:\n{dom}"));
        assert!(svg.contains(" d=\"M"), "{plot} has no points: {svg}");
    }
    let plots = ["", "edge: "].map(|of| format!("{of}Requests per second"));
    let others = ["Errors (5xx) per second", "edge: Packets per second"].map(str::to_owned);
    for moved in plots.into_iter().chain(others) {
        let (_, label) = dom.split_once(&format!("aria-label=\"{moved}: ")).unwrap();
        let (_, highest) = label.split_once("highest ").unwrap();
        assert!(!highest.starts_with("0\""), "{moved} has not moved in:\n{dom}");
    }
    // Nobody reloads: the cell is of a later answer than its row.
    let after = requests_of(&dom);
    assert!(after > before, "{after} requests after {before}");

    let picture = profile.path().join("page.png");
    let screenshot = format!("--screenshot={}", picture.display());
    under_traffic(&story, || browse("/", &[POLLS, &screenshot]));
    let picture = std::fs::read(picture).unwrap();
    assert!(picture.starts_with(b"\x89PNG"), "no picture");
    if std::env::var_os("GENKAN_WRITE_GOLDEN").is_some() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/docs/page.png");
        std::fs::write(docs, picture).unwrap();
    }
}

/// Requests, errors and packets that are dropped for as long as the browser looks.
fn under_traffic(story: &Story, look: impl FnOnce() -> String) -> String {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for vip in EdgeLab::VIPS {
                    for _ in 0..4 {
                        story.get(vip, "shop.example", "/");
                    }
                    story.get(
                        vip,
                        "shop.example",
                        "/%3Cscript%3Edocument.title='owned'%3C/script%3E",
                    );
                    story.connect(vip, 81, Duration::from_millis(1));
                }
            }
        });
        // Also when it panics, or the scope would wait for ever.
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(look));
        done.store(true, Ordering::Relaxed);
        seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A document that shows what a browser makes of the page when it runs no script: `--dump-dom` needs
/// scripts itself (`scriptEnabled=false` shows nothing), so only the frame is without.
fn in_sandbox(html: &str) -> String {
    let html = html.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!DOCTYPE html><meta charset=utf-8><iframe sandbox=allow-same-origin srcdoc=\"{html}\">\
         </iframe><pre></pre><script>onload = () => {{\
         const seen = document.querySelector('iframe').contentDocument.documentElement.outerHTML;\
         document.querySelector('iframe').remove();\
         document.querySelector('pre').textContent = seen; }}</script>"
    )
}

fn unescaped(dom: &str) -> String {
    let seen = dom.split_once("<pre>").unwrap().1.split_once("</pre>").unwrap().0;
    seen.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The number in the table's row of the first route.
fn requests_of(dom: &str) -> u64 {
    let (_, row) = dom.split_once("<td>default/pods:80</td><td>").unwrap();
    row.split_once('<').unwrap().0.parse().unwrap()
}

/// The functions of the script in the browser, without a process to ask.
#[test]
fn restarts_make_no_negative_rates_silence_is_told_and_rows_are_filtered() {
    if !require_tool("chromium") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/page");
    let script = ["rates.js", "live.js"].map(|f| std::fs::read_to_string(scripts.join(f)).unwrap());
    std::fs::write(directory.path().join("page.js"), script.join("\n")).unwrap();
    let page = directory.path().join("page.html");
    std::fs::write(&page, HARNESS).unwrap();
    let profile = format!("--user-data-dir={}", directory.path().join("profile").display());
    let mut chromium = Command::new("chromium");
    chromium.args(QUIET).args([&profile, "--virtual-time-budget=3000", "--dump-dom"]);
    let output = chromium.arg(format!("file://{}", page.display())).output().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom.split_once("<pre>").unwrap().1.split_once("</pre>").unwrap().0;
    let expected = [
        // 20 requests and 2 dropped packets in 2 seconds.
        r#"{"requests":10,"errors":0,"dropped":1}"#,
        // Another process, and counters that go back.
        "null",
        r#"{"requests":null,"errors":0,"dropped":null}"#,
        // What is not known is a gap.
        r#""M233.9 26.3L236.0 13.7M240.0 1.0""#,
        // The filter leaves the first of two hosts.
        "[false,true]",
    ];
    assert_eq!(found, format!("[{}]", expected.join(",")));
    assert!(dom.contains("No answer since "), "{dom}");
}

const HARNESS: &str = r#"<!DOCTYPE html><meta charset="utf-8"><pre></pre>
<table id="routes"><tbody><tr><td>Shop.example<tr><td>other.example</tbody></table>
<div id="filter"></div><div id="live" data-drops="denied" data-snapshot="1"></div>
<script src="page.js"></script><script>
const status = (pid, uptime, requests, denied) => ({
  process: { pid, uptime }, traffic: { requests, answers: {} },
  vips: [{
    name: "edge", verdicts: { denied, tcp_syn: 5 }, traffic: { requests, by_worker: [1, 2] },
  }],
});
const total = (before, now) => rates(before, now, ["denied"])?.total ?? null;
const field = document.querySelector("input");
field.value = "shop";
field.dispatchEvent(new Event("input"));
document.querySelector("pre").textContent = JSON.stringify([
  total(status(1, 1, 10, 4), status(1, 3, 30, 6)),
  total(status(1, 9, 10, 4), status(2, 10, 40, 9)),
  total(status(1, 1, 10, 4), status(1, 3, 5, 0)),
  line([null, 1, 2, null, 3]),
  rowsOf("routes").map((row) => row.hidden),
]);
</script>"#;
