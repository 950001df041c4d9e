use std::os::unix::fs::PermissionsExt;

use super::super::resource;
use super::*;
use crate::model::Kind;

const SERVER: &str = "https://192.0.2.1:6443/";

fn item(name: &str, version: &str, padding: usize) -> Item {
    let text = format!(
        r#"{{"apiVersion": "v1", "kind": "Service", "padding": "{}",
            "metadata": {{"name": "{name}", "namespace": "shop", "resourceVersion": "{version}"}}}}"#,
        "x".repeat(padding)
    );
    serde_json::from_str(&text).unwrap()
}

fn object(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Service, "shop", name)
}

/// Names and versions, sorted.
fn read_back(path: &Path) -> Vec<String> {
    let kept = read(path, SERVER).unwrap().expect("there is a file");
    let shown = |item: &Item| {
        let reference = item.reference(&resource::SERVICES).unwrap();
        format!("{} {}", reference.name, item.version())
    };
    let mut items: Vec<String> = kept.items.iter().map(shown).collect();
    items.sort();
    items
}

#[test]
fn the_last_state_of_each_object_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut cache = Cache::begin(&path, SERVER, true).unwrap();
    for (name, version) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
        cache.put(&object(name), &item(name, version, 0)).unwrap();
    }
    cache.remove(&object("c")).unwrap();
    cache.remove(&object("never")).unwrap();
    assert!(read(&path, SERVER).unwrap().is_none(), "it is not complete yet");
    cache.publish().unwrap();
    assert_eq!(read_back(&path), ["a 3", "b 2"]);
    cache.put(&object("d"), &item("d", "5", 0)).unwrap();
    assert_eq!(read_back(&path), ["a 3", "b 2", "d 5"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn outdated_lines_are_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut cache = Cache::begin(&path, SERVER, true).unwrap();
    cache.put(&object("kept"), &item("kept", "1", 100)).unwrap();
    cache.publish().unwrap();
    for version in 0..200 {
        cache.put(&object("busy"), &item("busy", &version.to_string(), 100 << 10)).unwrap();
    }
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(length, cache.length());
    assert!(length < SLACK + (300 << 10), "{length}");
    assert_eq!(read_back(&path), ["busy 199", "kept 1"]);
}

#[test]
fn a_successors_file_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut old = Cache::begin(&path, SERVER, true).unwrap();
    old.publish().unwrap();
    let mut new = Cache::begin(&path, SERVER, true).unwrap();
    new.put(&object("new"), &item("new", "1", 0)).unwrap();
    new.publish().unwrap();
    for version in 0..30 {
        old.put(&object("old"), &item("old", &version.to_string(), 100 << 10)).unwrap();
    }
    assert_eq!(read_back(&path), ["new 1"]);
}

#[test]
fn a_line_that_was_not_finished_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut cache = Cache::begin(&path, SERVER, true).unwrap();
    cache.put(&object("a"), &item("a", "1", 0)).unwrap();
    cache.publish().unwrap();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"+{\"metadata\": {\"na").unwrap();
    assert_eq!(read_back(&path), ["a 1"]);
}

#[test]
fn what_is_another_servers_or_open_to_others_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    Cache::begin(&path, SERVER, true).unwrap().publish().unwrap();
    let error = read(&path, "https://192.0.2.2:6443/").err().expect("refused").to_string();
    assert!(error.contains(SERVER), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(read(&path, SERVER).is_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(read(&link, SERVER).is_err());
}

#[test]
fn keys_are_written_to_a_disk_only_when_that_is_wanted() {
    let in_memory = tempfile::tempdir_in("/dev/shm").unwrap();
    assert!(Cache::begin(&in_memory.path().join("cache"), SERVER, false).is_ok());
    // The sources are on a disk.
    let on_disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = on_disk.path().join("cache");
    let error = Cache::begin(&path, SERVER, false).expect_err("refused").to_string();
    assert!(error.contains("tmpfs"), "{error}");
    assert_eq!(fs::read_dir(on_disk.path()).unwrap().count(), 0);
    assert!(Cache::begin(&path, SERVER, true).is_ok());
}
