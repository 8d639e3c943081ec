//! The files of the page, built into this program: observer/ui, and bundle.js, which `cargo xtask ui` makes there.

use std::collections::BTreeMap;

use crate::cli::meanings::FINDINGS;

pub(super) struct Resource {
    pub path: &'static str,
    pub kind: &'static str,
    pub text: &'static str,
}

pub(super) const RESOURCES: [Resource; 3] = [
    Resource { path: "/", kind: "text/html; charset=utf-8", text: include_str!("../../../ui/index.html") },
    Resource { path: "/map.css", kind: "text/css; charset=utf-8", text: include_str!("../../../ui/map.css") },
    Resource {
        path: "/map.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("../../../ui/bundle.js"),
    },
];

/// For each kind of finding the sentence of `observer explain`.
pub(super) fn meanings() -> String {
    let sentences: BTreeMap<&str, &str> =
        FINDINGS.iter().map(|meaning| (meaning.kind.as_str(), meaning.sentence)).collect();
    serde_json::to_string(&sentences).unwrap_or_else(|_| "{}".to_owned())
}
