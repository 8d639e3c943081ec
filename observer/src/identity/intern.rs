use std::collections::HashSet;
use std::sync::Arc;

/// Shares the text of names that many objects repeat: namespaces, label keys, nodes.
#[derive(Debug)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
    sweep_at: usize,
}

/// Unused texts are swept when this many are held, and then each time that what is left has doubled.
const FIRST_SWEEP: usize = 4096;

impl Default for Interner {
    fn default() -> Self {
        Self { texts: HashSet::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Interner {
    pub(super) fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() >= self.sweep_at {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = FIRST_SWEEP.max(self.texts.len() * 2);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_memory_and_unused_ones_are_swept() {
        let mut interner = Interner::default();
        let kept = interner.intern("shop");
        assert!(Arc::ptr_eq(&kept, &interner.intern("shop")));
        for number in 0..3 * FIRST_SWEEP {
            drop(interner.intern(&number.to_string()));
            assert!(interner.texts.len() <= FIRST_SWEEP);
        }
        assert!(Arc::ptr_eq(&kept, &interner.intern("shop")));
    }
}
