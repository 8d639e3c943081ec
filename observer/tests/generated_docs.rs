//! The files that are made from the code: each is what the code says now. `cargo xtask docs` writes them, by
//! running this with a variable set.

use std::path::{Path, PathBuf};

use observer::{cli, crd, sink};

/// Set by `cargo xtask docs`: pages are written instead of compared.
const WRITE: &str = "OBSERVER_WRITE_DOCS";

/// A file of the repository, and what makes its text.
struct Page {
    path: &'static str,
    make: fn() -> String,
}

const PAGES: [Page; 4] = [
    Page { path: "deploy/helm/crds/servicegraphs.yaml", make: crd::definition },
    Page { path: "docs/configuration.md", make: cli::configuration_page },
    Page { path: "docs/findings.md", make: cli::meanings::findings_page },
    Page { path: "docs/metrics.md", make: sink::metrics_page },
];

/// The first line, as a comment of the file's language.
fn header(page: &str) -> String {
    let text = "Made from the code by `cargo xtask docs`: change that, not this.";
    if page.ends_with(".yaml") { format!("# {text}\n") } else { format!("<!-- {text} -->\n") }
}

fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)
}

#[test]
fn the_generated_files_are_what_the_code_says() {
    let mut stale = Vec::new();
    for Page { path: page, make } in PAGES {
        let wanted = format!("{}{}", header(page), make());
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(path(page), wanted).unwrap_or_else(|error| panic!("cannot write {page}: {error}"));
        } else if std::fs::read_to_string(path(page)).unwrap_or_default() != wanted {
            stale.push(page);
        }
    }
    assert!(stale.is_empty(), "{stale:?} differ from the code; run `cargo xtask docs`");
}

/// The fenced YAML of a page.
fn yaml_blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path(page)).unwrap();
    let blocks = text.split("```yaml\n").skip(1);
    blocks.filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

#[test]
fn the_settings_and_graphs_that_pages_show_are_read_without_complaint() {
    let (mut settings, mut graphs) = (0, 0);
    for page in ["README.md", "docs/configuration.md", "docs/findings.md", "docs/graphs.md"] {
        for block in yaml_blocks(page) {
            if block.contains("kind: ServiceGraph") {
                let value: serde_json::Value = serde_saphyr::from_str(&block).unwrap();
                let version = value["apiVersion"].as_str().unwrap().to_owned();
                let graph = observer::graph::ServiceGraph::from_value(page.into(), &version, value);
                assert!(graph.is_ok(), "{page}: {graph:?}");
                graphs += 1;
            } else {
                let read = cli::ConfigFile::parse(&block);
                assert!(
                    read.as_ref().is_ok_and(|file| *file != cli::ConfigFile::default()),
                    "{page}: {read:?}"
                );
                settings += 1;
            }
        }
    }
    assert!(settings > 10 && graphs > 1, "{settings} settings, {graphs} graphs");
}
