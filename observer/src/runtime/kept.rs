//! What was thought of credentials that a connection may refer to again (HTTP/2's tables), without their bytes.

use crate::protocol::Kept;
use crate::token::Judgement;

/// Judgements by handle. As many as HTTP/2's table of one direction has entries, which bounds it.
#[derive(Default)]
pub struct KeptJudgements {
    slots: Vec<Option<Judgement>>,
    free: Vec<u32>,
}

impl KeptJudgements {
    pub fn keep(&mut self, judgement: Judgement) -> Kept {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(judgement);
            return Kept(slot);
        }
        self.slots.push(Some(judgement));
        Kept(self.slots.len() as u32 - 1)
    }

    pub fn get(&self, kept: Kept) -> Option<&Judgement> {
        self.slots.get(kept.0 as usize)?.as_ref()
    }

    pub fn forget(&mut self, kept: Kept) {
        if let Some(slot) = self.slots.get_mut(kept.0 as usize)
            && slot.take().is_some()
        {
            self.free.push(kept.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Timestamp;
    use crate::token::Verifier;

    use super::*;

    fn judged() -> Judgement {
        Verifier::new(Vec::new(), Vec::new()).judge(b"Basic eDp5", Timestamp::default())
    }

    #[test]
    fn what_was_forgotten_makes_room_and_is_not_found() {
        let mut kept = KeptJudgements::default();
        let (first, second) = (kept.keep(judged()), kept.keep(judged()));
        assert_ne!(first, second);
        kept.forget(first);
        kept.forget(first);
        assert!(kept.get(first).is_none() && kept.get(second).is_some());
        assert_eq!(kept.keep(judged()), first);
        assert_ne!(kept.keep(judged()), first, "twice forgotten is not two rooms");
    }
}
