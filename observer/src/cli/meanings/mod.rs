//! What the words of records and answers mean: the one source of `observer explain` and of the documents about them.

mod findings;
mod page;
mod policies;
mod postures;
mod reasons;
mod words;

use std::borrow::Cow;

use crate::model::FindingKind;

pub use findings::FINDINGS;
pub use page::findings_page;
pub use policies::POLICY_REASONS;
pub use postures::POSTURES;
pub use reasons::REASONS;
pub use words::WORDS;

/// A kind of finding. Texts are whole sentences in plain text.
#[derive(Clone, Copy, Debug)]
pub struct FindingMeaning {
    pub kind: FindingKind,
    /// What it is, in a sentence.
    pub sentence: &'static str,
    /// Why anybody should care.
    pub why: &'static str,
    /// What has to be seen before it is said, and what is not enough.
    pub proof: &'static str,
    /// The reasons that come with it; their meanings are among [`REASONS`].
    pub reasons: &'static [&'static str],
    /// What to do about it.
    pub fix: &'static str,
    /// Commands that show it, and what to look at in their answer.
    pub confirm: &'static [(&'static str, &'static str)],
    /// When it may be exempted; the setting is made by [`FindingMeaning::exemption`].
    pub exempt: &'static str,
}

impl FindingMeaning {
    /// What goes into the file of `--config`, with the names of an example.
    #[must_use]
    pub fn exemption(&self) -> String {
        format!(
            "exemptions:\n  - {{kind: {}, client: shop/orders, server: shop/payments, reason: known, until: \"2027-01-01T00:00:00Z\"}}\n",
            self.kind
        )
    }
}

/// What a word stands for where it is found.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    pub word: &'static str,
    /// Where it is found: `encryption.status`, `authentication.reason`, ...
    pub place: &'static str,
    pub sentence: &'static str,
}

/// Everything besides findings.
const ALL: [&[Meaning]; 4] = [WORDS, POSTURES, REASONS, POLICY_REASONS];

#[must_use]
pub fn of_finding(kind: FindingKind) -> &'static FindingMeaning {
    FINDINGS.iter().find(|meaning| meaning.kind == kind).unwrap_or(&FINDINGS[0])
}

/// All that is said of a word besides findings.
pub fn of_word(word: &str) -> impl Iterator<Item = &'static Meaning> {
    ALL.into_iter().flatten().filter(move |meaning| meaning.word == word)
}

/// Every word that can be explained, each once: findings first, as they are ordered, then the others.
#[must_use]
pub fn all_words() -> Vec<&'static str> {
    let findings = FINDINGS.iter().map(|meaning| meaning.kind.as_str());
    let others = ALL.into_iter().flatten().map(|meaning| meaning.word);
    let mut words: Vec<&str> = Vec::new();
    for word in findings.chain(others) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Lines of at most `width` characters, each after `indent`. Words are not broken.
#[must_use]
pub(super) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut out = String::new();
    let mut line: Cow<'_, str> = indent.into();
    for word in text.split_whitespace() {
        if line.len() > indent.len() && line.chars().count() + 1 + word.chars().count() > width {
            out.push_str(&line);
            out.push('\n');
            line = indent.into();
        }
        if line.len() > indent.len() {
            line.to_mut().push(' ');
        }
        line.to_mut().push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests;
