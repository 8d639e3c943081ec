//! Builds the kernel programs and leaves the object where `probe` includes it.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain};

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=../observer-common/src");
    let has_linked_toolchain = Command::new("rustup")
        .args(["run", "bpf", "rustc", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let toolchain = if has_linked_toolchain { Toolchain::Custom("bpf") } else { Toolchain::Nightly };
    let package = Package { name: "observer-ebpf", root_dir: "../observer-ebpf", ..Package::default() };
    aya_build::build_ebpf([package], toolchain)
        .context("building the kernel programs failed; `cargo xtask setup` installs what they need")
}
