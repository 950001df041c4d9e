use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::model::{Object, Reason};

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"
    )
}

fn names(update: &Update) -> Vec<String> {
    let mut names: Vec<_> =
        update.change.upserts.iter().map(|o| o.reference().name.to_string()).collect();
    names.sort();
    names
}

fn port(update: &Update, name: &str) -> Option<u16> {
    update.change.upserts.iter().find_map(|object| match object {
        Object::Service(service) if &*service.object.name == name => {
            service.ports.first().map(|port| port.port)
        }
        _ => None,
    })
}

fn start(directory: &Path) -> (ManifestSource, Update) {
    ManifestSource::start(directory, Settings::default()).unwrap()
}

/// Updates until `wanted` holds for all of them merged.
async fn until(source: &mut ManifestSource, wanted: impl Fn(&Update) -> bool) -> Update {
    let mut all = Update::default();
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !wanted(&all) {
            all.merge(source.next().await);
        }
    });
    if waited.await.is_err() {
        panic!("not seen: {all:?}");
    }
    all
}

#[test]
fn reads_subdirectories_and_leaves_hidden_names_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::create_dir(dir.path().join(".git")).unwrap();
    for (path, name) in [
        ("one.yaml", "one"),
        ("a/two.yml", "two"),
        ("a/b/three.yaml", "three"),
        (".hidden.yaml", "hidden"),
        (".git/x.yaml", "git"),
        ("notes.txt", "notes"),
        ("back.yaml~", "backup"),
    ] {
        fs::write(dir.path().join(path), service(name, 80)).unwrap();
    }
    let json = serde_json::json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "four"}, "spec": {"ports": [{"port": 1}]}});
    fs::write(dir.path().join("four.json"), json.to_string()).unwrap();
    symlink(dir.path(), dir.path().join("a/loop")).unwrap();
    let update = load(dir.path(), &Settings::default()).unwrap();
    assert_eq!(names(&update), ["four", "one", "three", "two"]);
    assert_eq!(update.problems, []);
}

#[test]
fn a_missing_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert_eq!(load(&missing, &Settings::default()).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(ManifestSource::start(&missing, Settings::default()).is_err());
}

#[tokio::test]
async fn sees_created_edited_replaced_and_removed_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.yaml");
    let (mut source, first) = start(dir.path());
    assert!(first.change.is_empty());

    fs::write(&file, service("s", 1)).unwrap();
    until(&mut source, |u| port(u, "s") == Some(1)).await;

    fs::write(&file, service("s", 2)).unwrap();
    until(&mut source, |u| port(u, "s") == Some(2)).await;

    let temporary = dir.path().join(".s.yaml.tmp");
    fs::write(&temporary, service("s", 3)).unwrap();
    fs::rename(&temporary, &file).unwrap();
    until(&mut source, |u| port(u, "s") == Some(3)).await;

    fs::remove_file(&file).unwrap();
    until(&mut source, |u| u.change.removals.len() == 1).await;
}

#[tokio::test]
async fn sees_files_in_new_and_renamed_directories() {
    let dir = tempfile::tempdir().unwrap();
    let (mut source, _) = start(dir.path());
    fs::create_dir_all(dir.path().join("x/y/z")).unwrap();
    fs::write(dir.path().join("x/y/z/s.yaml"), service("deep", 1)).unwrap();
    until(&mut source, |u| port(u, "deep") == Some(1)).await;

    fs::rename(dir.path().join("x"), dir.path().join("w")).unwrap();
    fs::write(dir.path().join("w/y/z/s.yaml"), service("deep", 2)).unwrap();
    until(&mut source, |u| port(u, "deep") == Some(2)).await;

    fs::remove_dir_all(dir.path().join("w")).unwrap();
    until(&mut source, |u| u.change.removals.len() == 1).await;
}

/// What the kubelet does: files are symlinks into `..data`, a symlink that is swapped whole.
#[tokio::test]
async fn sees_a_config_map_swap() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("..1")).unwrap();
    fs::write(at("..1/s.yaml"), service("s", 1)).unwrap();
    symlink("..1", at("..data")).unwrap();
    symlink("..data/s.yaml", at("s.yaml")).unwrap();
    let (mut source, first) = start(dir.path());
    assert_eq!(port(&first, "s"), Some(1));

    for version in 2..5_u16 {
        let new = format!("..{version}");
        fs::create_dir(at(&new)).unwrap();
        fs::write(at(&new).join("s.yaml"), service("s", version)).unwrap();
        symlink(&new, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at(&format!("..{}", version - 1))).unwrap();
        let all = until(&mut source, |u| port(u, "s") == Some(version)).await;
        assert_eq!(all.change.removals, []);
    }
}

#[tokio::test]
async fn loses_no_edit_of_many_and_reads_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut source, _) = start(dir.path());
    for round in 1..=20_u16 {
        for file in 0..20 {
            let path = dir.path().join(format!("{file}.yaml"));
            fs::write(path, service(&format!("s{file}"), round)).unwrap();
        }
    }
    let complete = |u: &Update| (0..20).all(|n| port(u, &format!("s{n}")) == Some(20));
    until(&mut source, complete).await;
}

#[tokio::test]
async fn merges_what_nobody_has_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let (mut source, _) = start(dir.path());
    fs::write(dir.path().join("a.yaml"), service("a", 1)).unwrap();
    until(&mut source, |u| port(u, "a") == Some(1)).await;
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    // The removal is in the slot when the next edit comes.
    tokio::time::timeout(Duration::from_secs(20), source.slot.filled()).await.unwrap();
    fs::write(dir.path().join("b.yaml"), service("b", 1)).unwrap();
    let all = until(&mut source, |u| port(u, "b") == Some(1)).await;
    assert_eq!(all.change.removals.len(), 1);
    assert_eq!(names(&all), ["b"]);
}

#[tokio::test]
async fn other_settings_decode_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i\n  annotations: {nginx.ingress.kubernetes.io/use-regex: \"true\"}\nspec: {defaultBackend: {service: {name: s, port: {number: 80}}}}\n";
    fs::write(dir.path().join("i.yaml"), text).unwrap();
    let (mut source, first) = start(dir.path());
    let regex = |u: &Update| {
        u.change
            .upserts
            .iter()
            .any(|o| matches!(o, Object::Ingress(i) if i.options.rewrite.use_regex))
    };
    assert!(!regex(&first));
    let update =
        source.reread(Settings { nginx_annotations: true, ..Settings::default() }).await.unwrap();
    assert!(regex(&update));
    // A file that was being written meanwhile is decoded by the new settings, too.
    let update = source.reread(Settings::default()).await.unwrap();
    assert!(!regex(&update) && update.change.upserts.len() == 1);
}

#[tokio::test]
async fn a_rereading_returns_what_is_new_with_all_problems() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.yaml");
    fs::write(&file, service("s", 1)).unwrap();
    fs::write(dir.path().join("bad.yaml"), "kind: [").unwrap();
    let (mut source, _) = start(dir.path());
    let update = source.reread(Settings::default()).await.unwrap();
    assert!(update.change.is_empty());
    assert_eq!(update.problems.len(), 1);
    // Another file in its place is whole, whatever its events have said so far.
    let staged = dir.path().join(".new");
    fs::write(&staged, service("s", 2)).unwrap();
    fs::rename(&staged, &file).unwrap();
    let update = source.reread(Settings::default()).await.unwrap();
    assert_eq!(port(&update, "s"), Some(2), "at once");
}

/// A command has emptied its output file and thinks; then it writes in two steps.
#[tokio::test]
async fn a_file_that_is_open_for_writing_takes_nothing_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.yaml");
    fs::write(&path, format!("{}---\n{}", service("a", 1), service("b", 1))).unwrap();
    let (mut source, _) = start(dir.path());
    let mut file = fs::File::create(&path).unwrap();
    // Everything is looked at because of the other file's directory.
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/c.yaml"), service("c", 1)).unwrap();
    let all = until(&mut source, |u| port(u, "c") == Some(1)).await;
    assert_eq!(all.change.removals, [], "nothing is gone while the file is empty");
    file.write_all(service("a", 2).as_bytes()).unwrap();
    fs::write(dir.path().join("d/c.yaml"), service("c", 2)).unwrap();
    let all = until(&mut source, |u| port(u, "c") == Some(2)).await;
    assert_eq!(all.change.removals, [], "nor while half is there");
    let update = source.reread(Settings::default()).await.unwrap();
    assert_eq!(update.change.removals, [], "nor on demand");
    file.write_all(format!("---\n{}", service("b", 2)).as_bytes()).unwrap();
    drop(file);
    let all = until(&mut source, |u| port(u, "b") == Some(2)).await;
    assert_eq!((port(&all, "a"), all.change.removals.len()), (Some(2), 0));
}

#[tokio::test]
async fn a_file_that_is_emptied_or_cut_for_good_loses_its_objects() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.yaml");
    fs::write(&path, format!("{}---\n{}", service("a", 1), service("b", 1))).unwrap();
    let (mut source, _) = start(dir.path());
    fs::write(&path, service("a", 1)).unwrap();
    until(&mut source, |u| u.change.removals.len() == 1).await;
    fs::write(&path, "").unwrap();
    until(&mut source, |u| u.change.removals.len() == 1).await;
}

#[tokio::test]
async fn an_unreadable_file_keeps_its_objects_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.yaml");
    fs::write(&file, service("s", 1)).unwrap();
    let (mut source, _) = start(dir.path());
    fs::write(&file, "kind: Service\nmetadata: {name: [\n").unwrap();
    let all = until(&mut source, |u| !u.problems.is_empty()).await;
    assert_eq!(all.problems[0].reason, Reason::InvalidDocument);
    assert!(all.change.is_empty(), "{all:?}");

    fs::write(&file, service("s", 2)).unwrap();
    let all = until(&mut source, |u| port(u, "s") == Some(2)).await;
    assert_eq!(all.problems, []);
}
