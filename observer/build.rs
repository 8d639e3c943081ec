//! Builds the kernel programs and leaves the object where `probe` includes it.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain};

/// Crates that use unstable features. Naming them, instead of setting the variable to 1, keeps `aya-build` from
/// building `core` anew: Debian's toolchain brings it for the BPF targets.
const UNSTABLE_CRATES: &str = "aya_ebpf,aya_ebpf_bindings,observer_ebpf";

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=../observer-common/src");
    let has_linked_toolchain = Command::new("rustup")
        .args(["run", "bpf", "rustc", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let toolchain = if has_linked_toolchain {
        // SAFETY: a build script runs this alone; no other thread reads the environment.
        unsafe { std::env::set_var("RUSTC_BOOTSTRAP", UNSTABLE_CRATES) };
        Toolchain::Custom("bpf")
    } else {
        Toolchain::Nightly
    };
    let package = Package { name: "observer-ebpf", root_dir: "../observer-ebpf", ..Package::default() };
    aya_build::build_ebpf([package], toolchain)
        .context("building the kernel programs failed; `cargo xtask setup` installs what they need")
}
