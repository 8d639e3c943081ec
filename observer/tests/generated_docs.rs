//! The pages in docs/ that are made from the code: each is what the code says now. `cargo xtask docs` writes them, by
//! running this with a variable set.

use std::path::{Path, PathBuf};

use observer::sink;

/// Set by `cargo xtask docs`: pages are written instead of compared.
const WRITE: &str = "OBSERVER_WRITE_DOCS";

/// A file of the repository, and what makes its text.
struct Page {
    path: &'static str,
    make: fn() -> String,
}

const PAGES: [Page; 1] = [Page { path: "docs/metrics.md", make: sink::metrics_page }];

const HEADER: &str = "<!-- Made from the code by `cargo xtask docs`: change that, not this. -->\n";

fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)
}

#[test]
fn the_generated_pages_are_what_the_code_says() {
    let mut stale = Vec::new();
    for Page { path: page, make } in PAGES {
        let wanted = format!("{HEADER}{}", make());
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(path(page), wanted).unwrap_or_else(|error| panic!("cannot write {page}: {error}"));
        } else if std::fs::read_to_string(path(page)).unwrap_or_default() != wanted {
            stale.push(page);
        }
    }
    assert!(stale.is_empty(), "{stale:?} differ from the code; run `cargo xtask docs`");
}
