use super::*;

fn cut(text: &str) -> Vec<(u32, &str)> {
    split(text).into_iter().map(|document| (document.line, document.text.trim())).collect()
}

#[test]
fn cuts_a_stream_at_its_markers() {
    assert_eq!(cut("a: 1\n---\nb: 2\n"), [(1, "a: 1"), (3, "---\nb: 2")]);
    assert_eq!(cut("---\na: 1\n"), [(2, "---\na: 1")]);
    assert_eq!(cut("--- {a: 1}\n"), [(1, "--- {a: 1}")]);
    assert_eq!(cut("a: 1\r\n---\r\nb: 2\r\n"), [(1, "a: 1"), (3, "---\r\nb: 2")]);
    assert_eq!(cut("a: 1\n...\nb: 2"), [(1, "a: 1"), (3, "b: 2")]);
    assert_eq!(cut("\u{feff}a: 1"), [(1, "a: 1")]);
}

#[test]
fn leaves_documents_without_content_out() {
    assert_eq!(cut(""), []);
    assert_eq!(cut("# only\n\n---\n# comments\n--- # here\n"), []);
    assert_eq!(cut("---\n---\n# c\n\na: 1\n---\n"), [(5, "---\n# c\n\na: 1")]);
    assert_eq!(cut("%YAML 1.2\n---\na: 1"), [(3, "---\na: 1")]);
}

#[test]
fn takes_only_whole_markers_at_the_start_of_a_line() {
    for text in ["a: |\n  ---\n  b\n", "a: x---\n", "---a: 1\n", "----\n"] {
        assert_eq!(split(text).len(), 1, "{text:?}");
    }
}

#[test]
fn lines_count_from_the_start_of_the_file() {
    let documents = split("a: 1\n---\n# c\nb:\n  c: 2\n");
    assert_eq!(documents[1].line_of("b.c"), 5);
    assert_eq!(documents[1].line_of("b.d"), 4);
    assert_eq!(documents[1].line_of("z"), 4);
}

#[test]
fn a_fault_names_its_line_and_reason() {
    let documents = split("a: 1\n---\nb:\n  - c: [1\nd: 2\n");
    assert!(documents[0].parse_yaml().is_ok());
    let fault = documents[1].parse_yaml().unwrap_err();
    assert!((4..=5).contains(&fault.line), "{fault:?}");
    assert!(fault.reason.starts_with("not YAML: "), "{fault:?}");
    assert!(!fault.reason.contains('\n'), "{fault:?}");

    let fault = Document::json("{\"a\": 1,\n \"b\": }").parse_json().unwrap_err();
    assert_eq!(fault.line, 2);
}

#[test]
fn anchors_aliases_merges_and_comments_are_read() {
    let text = "base: &b {x: 1}\nuse:\n  <<: *b # here\n  y: 2\nagain: *b\n";
    let value = split(text)[0].parse_yaml().unwrap();
    assert_eq!(value["use"], serde_json::json!({"x": 1, "y": 2}));
    assert_eq!(value["again"], value["base"]);
}

#[test]
fn doubled_keys_and_alias_bombs_are_refused() {
    assert!(split("a: 1\na: 2\n")[0].parse_yaml().is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        bomb += &format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", "));
    }
    assert!(split(&bomb)[0].parse_yaml().is_err());
}
