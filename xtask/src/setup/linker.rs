//! bpf-linker: links the kernel programs. It has to read the compiler's LLVM bitcode, so its LLVM must not be older
//! than the compiler's. It goes to cargo's own bin directory: `cargo build` then finds it without any PATH of ours.

use anyhow::{Result, anyhow};

use super::Step;
use super::ebpf::Toolchain;
use super::packages::LLVM_PREFIX;
use crate::{process, workspace};

const VERSION: &str = "0.13.0";
/// The default feature wants an LLVM that Debian does not have.
const FEATURES: [&str; 3] = ["--no-default-features", "--features", "llvm-22"];

pub struct BpfLinker(pub Toolchain);

impl Step for BpfLinker {
    fn name(&self) -> String {
        format!("bpf-linker {VERSION}")
    }

    fn present(&self) -> Result<Option<String>> {
        let Some(answer) = process::output(process::command("bpf-linker").arg("--version")) else {
            return Ok(None);
        };
        Ok(self.accepts(answer.trim()).then(|| answer.trim().to_owned()))
    }

    fn install(&self) -> Result<()> {
        let arguments = ["install", "bpf-linker", "--version", VERSION, "--locked", "--force"];
        let by_hand =
            format!("LLVM_PREFIX={LLVM_PREFIX} cargo {} {}", arguments.join(" "), FEATURES.join(" "));
        let build = workspace::tools().join("build");
        process::run(
            process::cargo()
                .args(arguments)
                .args(FEATURES)
                .env("LLVM_PREFIX", LLVM_PREFIX)
                .env("CARGO_TARGET_DIR", &build),
        )
        .map_err(|_| anyhow!("cargo install failed; once its cause is mended, run: {by_hand}"))?;
        // Kept where it failed, so that the next try goes on from there; of no use any more where it did not.
        let _ = std::fs::remove_dir_all(build);
        Ok(())
    }
}

impl BpfLinker {
    fn accepts(&self, answer: &str) -> bool {
        match self.0 {
            Toolchain::Debian { .. } => answer == format!("bpf-linker {VERSION}"),
            // Whoever brought the compiler chose the linker that fits it.
            Toolchain::Own(_) | Toolchain::Nightly(_) => answer.starts_with("bpf-linker "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_compiler_takes_one_version_only() {
        let step = BpfLinker(Toolchain::Debian { linked: true });
        assert!(step.accepts("bpf-linker 0.13.0"));
        assert!(!step.accepts("bpf-linker 0.12.0"));
        assert!(!step.accepts(""));
    }

    #[test]
    fn a_compiler_of_the_users_own_takes_the_linker_that_is_there() {
        assert!(BpfLinker(Toolchain::Nightly("/n".into())).accepts("bpf-linker 0.14.1"));
    }
}
