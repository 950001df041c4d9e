//! The cache as the coordinator sees it: it never fails, it only ends.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cache::{self, Cache};
use super::item::Item;
use super::resource;
use crate::config::cluster::ClusterConfig;
use crate::model::{Kind, ObjectRef};

pub(super) struct Memory {
    path: PathBuf,
    /// `None` when it is off, or has failed.
    cache: Option<Cache>,
    is_recalled: bool,
}

/// What an earlier process knew; classes and Ingresses first, since they say what else is wanted.
pub(super) struct Recalled {
    pub(super) items: Vec<(ObjectRef, Item)>,
    pub(super) written: SystemTime,
}

// === impl Memory ===

impl Memory {
    pub(super) fn begin(config: &ClusterConfig, server: &str) -> Self {
        let path = config.cache.path().map(Path::to_owned).unwrap_or_default();
        let cache = config.cache.path().and_then(|path| {
            Cache::begin(path, server, config.cache_on_disk)
                .inspect_err(|error| {
                    tracing::warn!("{}: there is no cache: {error}", path.display());
                })
                .ok()
        });
        Self { path, cache, is_recalled: false }
    }

    pub(super) fn put(&mut self, object: &ObjectRef, item: &Item) {
        self.write(|cache| cache.put(object, item));
    }

    pub(super) fn remove(&mut self, object: &ObjectRef) {
        self.write(|cache| cache.remove(object));
    }

    /// What has been put is the whole of what is known.
    pub(super) fn publish(&mut self) {
        self.write(Cache::publish);
    }

    /// Bytes of the file; `None` without one.
    pub(super) fn length(&self) -> Option<u64> {
        self.cache.as_ref().map(Cache::length)
    }

    /// Reads the file of an earlier process, once; `None` when there is nothing to be had.
    pub(super) fn recall(&mut self, server: &str) -> Option<Recalled> {
        if self.is_recalled || self.cache.is_none() {
            return None;
        }
        self.is_recalled = true;
        let kept = match cache::read(&self.path, server) {
            Ok(kept) => kept?,
            Err(error) => {
                tracing::warn!("{}: the cache is not used: {error}", self.path.display());
                return None;
            }
        };
        let named = |item: Item| {
            let object = item.reference(resource::of(&item.identity().0)?)?;
            Some((object, item))
        };
        let mut items: Vec<_> = kept.items.into_iter().filter_map(named).collect();
        items.sort_by_key(|(object, _)| match object.kind {
            Kind::IngressClass => 0,
            Kind::Ingress => 1,
            _ => 2,
        });
        Some(Recalled { items, written: kept.written })
    }

    fn write(&mut self, write: impl FnOnce(&mut Cache) -> io::Result<()>) {
        let Some(cache) = &mut self.cache else { return };
        if let Err(error) = write(cache)
            && let Some(cache) = self.cache.take()
        {
            tracing::warn!("{}: the cache is given up: {error}", self.path.display());
            // Better none than one that is not kept up.
            cache.discard();
        }
    }
}
