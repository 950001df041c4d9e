//! Images of one layer as OCI archives (image-spec v1.1), which containerd, Podman, skopeo and
//! Docker import.
//!
//! An archive is a tar of blobs named after their SHA-256, found from `index.json`. `manifest.json`
//! repeats that for Docker before version 25. The same image gives the same bytes.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::PROGRAMS;
use super::archive::{self, File, Tree};

/// What an image is, but for its files.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// `HOST/NAME:TAG`.
    pub(crate) reference: String,
    pub(crate) entrypoint: Vec<String>,
    /// `UID` or `UID:GID`; empty is root.
    pub(crate) user: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) files: Tree,
}

// === impl Image ===

impl Image {
    /// Writes the archive whole or not at all. Returns the digest of the image's manifest.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn write(&self, to: &Path) -> Result<String> {
        let (archive, digest) = self.archive()?;
        let fresh = to.with_extension(format!("partial-{}", std::process::id()));
        fs::write(&fresh, archive).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, to).with_context(|| format!("write {}", to.display()))?;
        Ok(digest)
    }

    fn archive(&self) -> Result<(Vec<u8>, String)> {
        let mut blobs = Blobs::default();
        let layer = archive::pack(&self.files)?;
        let uncompressed = digest(&layer);
        let layer = blobs.add("application/vnd.oci.image.layer.v1.tar+gzip", compress(&layer)?);
        let config = self.config(&uncompressed).to_string().into_bytes();
        let config = blobs.add("application/vnd.oci.image.config.v1+json", config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer],
        });
        let mut descriptor = blobs
            .add("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes());
        let of_manifest = descriptor["digest"].as_str().unwrap_or_default().to_owned();
        let tag = self.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        descriptor["annotations"] = json!({
            "io.containerd.image.name": self.reference,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [descriptor],
        });
        let for_docker = json!([{
            "Config": path_of(&config),
            "RepoTags": [self.reference],
            "Layers": [path_of(&layer)],
        }]);
        blobs.put("oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes());
        blobs.put("index.json", index.to_string().into_bytes());
        blobs.put("manifest.json", for_docker.to_string().into_bytes());
        Ok((archive::pack(&blobs.files)?, of_manifest))
    }

    fn config(&self, layer: &str) -> Value {
        let labels: serde_json::Map<String, Value> =
            self.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "User": self.user,
                "WorkingDir": "/",
                "Env": [format!("PATH=/{PROGRAMS}:/usr/bin:/bin")],
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        })
    }
}

/// Content by its digest.
#[derive(Default)]
struct Blobs {
    files: Tree,
}

// === impl Blobs ===

impl Blobs {
    /// Returns the descriptor of the blob.
    fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let descriptor = json!({
            "mediaType": media_type,
            "digest": digest(&content),
            "size": content.len(),
        });
        self.put(&path_of(&descriptor), content);
        descriptor
    }

    fn put(&mut self, path: &str, content: Vec<u8>) {
        self.files.insert(path.to_owned(), File { content, mode: 0o644 });
    }
}

/// `sha256:…`.
fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex_sha256(content))
}

pub(crate) fn hex_sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the archive has the blob of a descriptor.
fn path_of(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap_or_default().replace(':', "/"))
}

/// Without a time or a name in the header.
fn compress(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
    encoder.write_all(content).context("compress a layer")?;
    encoder.finish().context("compress a layer")
}

/// As Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn image() -> Image {
        Image {
            reference: "localhost/thing:1".to_owned(),
            entrypoint: vec!["/thing".to_owned()],
            user: "65534".to_owned(),
            labels: Vec::new(),
            files: Tree::from([(
                "thing".to_owned(),
                File { content: b"program".to_vec(), mode: 0o755 },
            )]),
        }
    }

    fn unpack(archive: &[u8]) -> Tree {
        let mut files = Tree::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let mode = entry.header().mode().unwrap();
            files.insert(entry.path().unwrap().display().to_string(), File { content, mode });
        }
        files
    }

    fn json_of(files: &Tree, path: &str) -> Value {
        serde_json::from_slice(&files[path].content).unwrap()
    }

    #[test]
    fn the_same_image_gives_the_same_bytes() {
        assert_eq!(image().archive().unwrap(), image().archive().unwrap());
    }

    #[test]
    fn every_blob_has_the_size_and_digest_that_refer_to_it() {
        let (archive, digest_of_manifest) = image().archive().unwrap();
        let files = unpack(&archive);
        let index = json_of(&files, "index.json");
        let manifest = &index["manifests"][0];
        assert_eq!(manifest["digest"], digest_of_manifest);
        let manifest_blob = json_of(&files, &path_of(manifest));
        for descriptor in [manifest, &manifest_blob["config"], &manifest_blob["layers"][0]] {
            let blob = &files[&path_of(descriptor)].content;
            assert_eq!(descriptor["digest"], digest(blob));
            assert_eq!(descriptor["size"], blob.len());
        }
    }

    #[test]
    fn the_layer_is_what_the_configuration_says() {
        let files = unpack(&image().archive().unwrap().0);
        let index = json_of(&files, "index.json");
        let manifest = json_of(&files, &path_of(&index["manifests"][0]));
        let config = json_of(&files, &path_of(&manifest["config"]));
        let compressed = &files[&path_of(&manifest["layers"][0])].content;
        let mut layer = Vec::new();
        flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        assert_eq!(config["config"]["User"], "65534");
        assert_eq!(unpack(&layer)["thing"].mode, 0o755);
    }

    #[test]
    fn docker_finds_the_same_blobs() {
        let files = unpack(&image().archive().unwrap().0);
        let entry = json_of(&files, "manifest.json")[0].clone();
        assert_eq!(entry["RepoTags"][0], "localhost/thing:1");
        assert!(files.contains_key(entry["Config"].as_str().unwrap()));
        assert!(files.contains_key(entry["Layers"][0].as_str().unwrap()));
    }
}
