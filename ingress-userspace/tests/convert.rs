//! Old manifests after `genkan convert`: as committed, and with the meaning that they had.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise, with its place")]

use std::path::{Path, PathBuf};

use genkan::model::convert::convert;
use genkan::model::decode::{self, Settings};
use genkan::model::{Object, Origin};
use genkan::source::manifests;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/v1beta1")
}

/// Name and text of every example.
fn texts() -> Vec<(String, String)> {
    let texts = manifests::texts(&examples()).unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    texts.into_iter().map(|(path, text)| (name(&path), text.unwrap())).collect()
}

/// `GENKAN_WRITE_GOLDEN=1` writes the expected files.
#[test]
fn the_examples_become_the_committed_files() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert");
    let write = std::env::var_os("GENKAN_WRITE_GOLDEN").is_some();
    let mut compared = 0;
    for (name, text) in texts() {
        let converted = convert(&text, false);
        assert!(converted.notes.iter().all(|note| !note.lost), "{name}: {:?}", converted.notes);
        if converted.objects == 0 {
            assert_eq!(converted.text, text, "{name} has nothing to convert");
            continue;
        }
        let path = golden.join(&name);
        if write {
            std::fs::write(&path, &converted.text).unwrap();
        }
        assert_eq!(converted.text, std::fs::read_to_string(&path).unwrap(), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 5, "01, 02, 03, 05 and the excerpt 06");
}

#[test]
fn a_converted_manifest_means_what_it_meant() {
    let settings = Settings { nginx_annotations: true, ..Settings::default() };
    for (name, text) in texts() {
        let ingresses = |text: &str| -> Vec<Object> {
            let documents = genkan::yaml::document::split(text);
            let values = documents.iter().map(|document| document.parse_yaml().unwrap());
            values
                .filter(|value| value.get("kind").is_some())
                .flat_map(|value| decode::decode(&value, &Origin::Cluster, &settings))
                .inspect(|decoded| assert!(decoded.problems.len() <= 2, "{:?}", decoded.problems))
                .flat_map(|decoded| decoded.objects)
                .collect()
        };
        assert_eq!(ingresses(&convert(&text, false).text), ingresses(&text), "{name}");
    }
}

#[test]
fn converting_twice_changes_nothing_more() {
    for (name, text) in texts() {
        let once = convert(&text, false).text;
        let twice = convert(&once, false);
        assert_eq!((twice.objects, twice.text), (0, once), "{name}");
    }
}
