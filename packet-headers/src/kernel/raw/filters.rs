//! The filters in force, for the shards that apply them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::Filters;

/// The filters in force. Shards look in every turn whether there are others.
#[derive(Debug)]
pub(crate) struct SharedFilters {
    /// How often they were replaced.
    version: AtomicU64,
    filters: Mutex<Arc<Filters>>,
}

/// What one shard has of them.
#[derive(Debug)]
pub(super) struct FiltersInForce {
    shared: Arc<SharedFilters>,
    version: u64,
    filters: Arc<Filters>,
}

impl SharedFilters {
    /// None.
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self {
            version: AtomicU64::new(0),
            filters: Mutex::default(),
        })
    }

    /// Puts others in force, for connections that begin from now on.
    pub(crate) fn replace(&self, filters: &Filters) {
        let filters = Filters {
            // By the interfaces that are captured; whatever passes one of them is captured.
            exclude_loopback: false,
            ..filters.clone()
        };
        let mut current = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(filters);
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl FiltersInForce {
    /// Those that are shared, as they are now.
    pub(super) fn of(shared: Arc<SharedFilters>) -> Self {
        let mut filters = Self {
            shared,
            version: u64::MAX,
            filters: Arc::default(),
        };
        filters.refresh();
        filters
    }

    /// Takes over others, if there are any.
    pub(super) fn refresh(&mut self) {
        let version = self.shared.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            let current = self.shared.filters.lock();
            self.filters = Arc::clone(&current.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The filters.
    pub(super) fn get(&self) -> &Filters {
        &self.filters
    }
}
