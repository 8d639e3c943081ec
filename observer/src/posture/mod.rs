//! Stage `posture`: what of the cluster's ServiceAccounts is weaker than it need be, and what a token's holder could do.
//! Facts in, rows out; nothing here asks anybody.

mod names;
mod powers;
mod rights;
mod rules;
mod seen;
mod survey;

#[cfg(test)]
mod tests;

pub use rights::{Full, MAX_BINDINGS, MAX_ROLES, MAX_RULES, MAX_SUBJECTS, Rights};
pub use seen::{MAX_PODS, MAX_TOKENS, Seen, TokenSeen};
pub use survey::{AccountFacts, Facts, Gaps, MAX_ROWS, survey};
