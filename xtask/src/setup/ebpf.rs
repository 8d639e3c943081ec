//! The Rust toolchain that compiles the kernel programs. Two will do, and `observer/build.rs` prefers them in the
//! same order: Debian's `rustc-web`, which brings a compiled `core` for eBPF and is linked into rustup as `bpf`; or
//! rustup's nightly with rust-src, which compiles `core` itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Step;
use crate::process;

/// rustup's name for the toolchain that compiles the kernel programs.
pub const TOOLCHAIN: &str = "bpf";
const DEBIAN_PREFIX: &str = "/usr";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// Debian's packages, linked already or to be linked.
    Debian { linked: bool },
    /// A toolchain of the user's own, linked as `bpf`, with a `core` for eBPF in it.
    Own(PathBuf),
    /// rustup's nightly with rust-src.
    Nightly(PathBuf),
}

/// Picks the toolchain that this machine has, or else the one that can be installed.
///
/// # Errors
/// If there is no rustup, or no toolchain and no apt to install one.
pub fn choose() -> Result<Toolchain> {
    let Some(list) = process::output(process::command("rustup").args(["toolchain", "list", "-v"])) else {
        bail!(
            "rustup is missing; install it with: \
             curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
        );
    };
    let has_apt = process::find("apt-get").is_some();
    let has_linker = process::find("bpf-linker").is_some();
    pick(&installed(&list), has_apt, has_linker)
}

/// The toolchains of `rustup toolchain list -v`: name, and the directory at the line's end.
fn installed(list: &str) -> Vec<(String, PathBuf)> {
    let entry = |line: &str| {
        let name = line.split_whitespace().next()?;
        let path = line.get(line.find(['\t', ' '])?..)?;
        Some((name.to_owned(), PathBuf::from(path.get(path.find('/')?..)?.trim())))
    };
    list.lines().filter_map(entry).collect()
}

fn pick(toolchains: &[(String, PathBuf)], has_apt: bool, has_linker: bool) -> Result<Toolchain> {
    let by_name = |wanted: &dyn Fn(&str) -> bool| {
        toolchains.iter().find(|(name, _)| wanted(name)).map(|(_, directory)| directory.clone())
    };
    match by_name(&|name| name == TOOLCHAIN) {
        Some(directory) if directory == Path::new(DEBIAN_PREFIX) => {
            return Ok(Toolchain::Debian { linked: true });
        }
        Some(directory) if has_core(&directory) => return Ok(Toolchain::Own(directory)),
        Some(directory) => bail!(
            "rustup's toolchain `{TOOLCHAIN}` is {}, which has no `core` for bpfel-unknown-none; \
             make room with: rustup toolchain uninstall {TOOLCHAIN}",
            directory.display()
        ),
        None => {}
    }
    // `nightly-<triple>` is what plain `nightly` means; a dated one would need its full name.
    let nightly = by_name(&|name| name == "nightly" || undated_nightly(name));
    match nightly.filter(|directory| has_rust_src(directory)) {
        Some(directory) if has_linker => Ok(Toolchain::Nightly(directory)),
        _ if has_apt => Ok(Toolchain::Debian { linked: false }),
        _ => bail!(
            "no toolchain for the kernel programs, and no apt-get to install one; run: \
             rustup toolchain install nightly --component rust-src && cargo install bpf-linker --locked"
        ),
    }
}

fn undated_nightly(name: &str) -> bool {
    name.strip_prefix("nightly-").is_some_and(|rest| !rest.starts_with(|first: char| first.is_ascii_digit()))
}

fn has_core(toolchain: &Path) -> bool {
    toolchain.join("lib/rustlib/bpfel-unknown-none/lib").is_dir()
}

fn has_rust_src(toolchain: &Path) -> bool {
    toolchain.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
}

/// The toolchain, known to rustup.
pub struct Linked(pub Toolchain);

impl Step for Linked {
    fn name(&self) -> String {
        "toolchain for the kernel programs".to_owned()
    }

    fn present(&self) -> Result<Option<String>> {
        Ok(match &self.0 {
            Toolchain::Debian { linked: true } => Some(format!("Debian's, linked as `{TOOLCHAIN}`")),
            Toolchain::Debian { linked: false } => None,
            Toolchain::Own(directory) => Some(format!("`{TOOLCHAIN}` in {}", directory.display())),
            Toolchain::Nightly(_) => Some("rustup's nightly with rust-src".to_owned()),
        })
    }

    fn install(&self) -> Result<()> {
        process::run(process::command("rustup").args(["toolchain", "link", TOOLCHAIN, DEBIAN_PREFIX]))
            .context("cannot link Debian's toolchain")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What rustup 1.28 printed on a machine that had all of these.
    const LIST: &str = "\
stable-x86_64-unknown-linux-gnu (active, default) /home/u/.rustup/toolchains/stable-x86_64-unknown-linux-gnu
nightly-x86_64-unknown-linux-gnu /home/u/.rustup/toolchains/nightly-x86_64-unknown-linux-gnu
bpf /usr
";

    fn nightly(with_source: bool) -> (tempdir::Dir, Vec<(String, PathBuf)>) {
        let directory = tempdir::Dir::new();
        if with_source {
            let core = directory.path().join("lib/rustlib/src/rust/library/core");
            std::fs::create_dir_all(&core).unwrap();
            std::fs::write(core.join("Cargo.toml"), "").unwrap();
        }
        let list = vec![("nightly-x86_64-unknown-linux-gnu".to_owned(), directory.path().to_owned())];
        (directory, list)
    }

    use crate::tempdir;

    #[test]
    fn a_linked_toolchain_is_found_among_the_others() {
        assert_eq!(installed(LIST).len(), 3);
        assert_eq!(pick(&installed(LIST), true, true).unwrap(), Toolchain::Debian { linked: true });
    }

    #[test]
    fn nightly_is_taken_only_with_its_source_and_a_linker() {
        let (directory, list) = nightly(true);
        assert_eq!(pick(&list, true, true).unwrap(), Toolchain::Nightly(directory.path().to_owned()));
        assert_eq!(pick(&list, true, false).unwrap(), Toolchain::Debian { linked: false });
        let (_directory, list) = nightly(false);
        assert_eq!(pick(&list, true, true).unwrap(), Toolchain::Debian { linked: false });
    }

    #[test]
    fn a_dated_nightly_is_not_the_nightly_that_the_build_asks_for() {
        let (directory, _) = nightly(true);
        let list =
            vec![("nightly-2026-05-19-x86_64-unknown-linux-gnu".to_owned(), directory.path().to_owned())];
        assert_eq!(pick(&list, true, true).unwrap(), Toolchain::Debian { linked: false });
    }

    #[test]
    fn without_apt_the_error_is_the_command_to_run() {
        let error = pick(&[], false, false).unwrap_err().to_string();
        assert!(error.contains("rustup toolchain install nightly --component rust-src"), "{error}");
    }

    #[test]
    fn a_foreign_toolchain_of_our_name_is_left_alone() {
        let list = vec![("bpf".to_owned(), PathBuf::from("/nonexistent"))];
        let error = pick(&list, true, true).unwrap_err().to_string();
        assert!(error.contains("rustup toolchain uninstall bpf"), "{error}");
    }
}
