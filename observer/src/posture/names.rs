use std::collections::HashSet;
use std::sync::Arc;

/// Unused names are swept when this many are held, and then each time that what is left has doubled.
const FIRST_SWEEP: usize = 4096;

/// Rules repeat the same few words: each is kept once.
#[derive(Debug)]
pub(super) struct Names {
    names: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self { names: HashSet::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Names {
    pub fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        if self.names.len() >= self.sweep_at {
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.sweep_at = FIRST_SWEEP.max(self.names.len() * 2);
        }
        let new: Arc<str> = Arc::from(name);
        self.names.insert(new.clone());
        new
    }

    pub fn all(&mut self, names: &[String]) -> Box<[Arc<str>]> {
        names.iter().map(|name| self.of(name)).collect()
    }
}
