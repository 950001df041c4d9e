use super::*;
use crate::admin::status::{Object, Problem, Readiness};

/// What somebody who may write an Ingress could try.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&";

fn page<T>(items: Vec<T>) -> Option<Page<T>> {
    Some(Page { total: items.len(), offset: 0, items })
}

fn hostile() -> Status {
    let text = || HOSTILE.to_owned();
    Status {
        readiness: Readiness {
            ready: true,
            conditions: vec![Condition {
                name: text().into(),
                state: ConditionState::Bad,
                message: text().into(),
            }],
        },
        problems: page(vec![Problem {
            object: Some(Object { kind: text().into(), namespace: text(), name: text() }),
            file: Some(text()),
            line: Some(7),
            field: text(),
            reason: text().into(),
            rule: Some(text().into()),
            message: text(),
        }]),
        clusters: page(vec![Cluster {
            name: text(),
            namespace: text(),
            service: text(),
            protocol: text().into(),
            balance: text().into(),
            state: text().into(),
            endpoints: Vec::new(),
        }]),
        ..Status::default()
    }
}

#[test]
fn no_text_of_an_object_becomes_markup() {
    let query = Query { host: Some(HOSTILE.to_owned()), ..Query::default() };
    let html = render(&hostile(), &query);
    for markup in ["<script>", "<img", "onerror=alert(1)>", "\"'>"] {
        assert!(!html.contains(markup), "{markup} in {html}");
    }
    assert!(html.contains("value=\"&quot;&#39;&gt;&lt;script&gt;"), "{html}");
    assert!(html.matches("&lt;script&gt;alert(1)").count() >= 12, "{html}");
}

#[test]
fn the_page_holds_nothing_inline_and_nothing_of_elsewhere() {
    let html = render(&hostile(), &Query::default());
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(html.contains("<script src=\"/page.js\" defer></script>"));
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("style="));
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    assert!(POLICY.starts_with("default-src 'none'") && !POLICY.contains("unsafe"));
}

#[test]
fn the_script_makes_no_markup_of_text() {
    for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!SCRIPT.contains(way), "{way}");
    }
}

#[test]
fn parts_of_a_list_say_so() {
    let mut status = hostile();
    status.problems.as_mut().unwrap().total = 500;
    assert!(render(&status, &Query::default()).contains("<p>1 of 500</p>"));
    assert!(render(&Status::default(), &Query::default()).contains("not ready"));
}
