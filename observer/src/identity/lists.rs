use super::index::MAX_NAMES;
use super::malformed::{Malformed, Problem};
use super::objects::ObjectKind;
use crate::model::HashMap;

/// Which list an object was last part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(u32);

/// The current list of each kind. What an earlier one had, and this one lacks, has vanished unheard.
#[derive(Debug, Default)]
pub(super) struct Lists([Mark; ObjectKind::ALL.len()]);

impl Lists {
    pub(super) fn begin(&mut self, kind: ObjectKind) {
        let mark = &mut self.0[kind as usize];
        *mark = Mark(mark.0.wrapping_add(1));
    }

    pub(super) fn current(&self, kind: ObjectKind) -> Mark {
        self.0[kind as usize]
    }
}

/// Removes what is not part of a list; answers how many were.
pub(super) fn keep_listed<T: std::hash::Hash + Eq, V>(
    names: &mut HashMap<T, V>,
    is_listed: impl Fn(&V) -> bool,
) -> usize {
    let before = names.len();
    names.retain(|_, value| is_listed(value));
    before - names.len()
}

/// Keeps a name, if there is room for it.
pub(super) fn insert_name<T: std::hash::Hash + Eq, V>(
    names: &mut HashMap<T, V>,
    name: T,
    listed: V,
    object: &str,
    kind: &'static str,
) -> Result<(), Malformed> {
    if names.len() >= MAX_NAMES && !names.contains_key(&name) {
        return Err(Malformed::new(object, Problem::Full { bound: MAX_NAMES, kind }));
    }
    names.insert(name, listed);
    Ok(())
}

#[cfg(test)]
#[path = "lists_tests.rs"]
mod tests;
