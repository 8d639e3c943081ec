//! How a machine runs: by the processor itself where that works, else by emulation, which takes some times longer.

use std::path::Path;
use std::time::Duration;

use super::archive::Archive;
use super::kernel::Fetched;
use super::machine;
use crate::process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    Kvm,
    Emulation,
}

/// A machine under KVM shows that it is up after two seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const KVM: &str = "/dev/kvm";

impl Accelerator {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulation => "emulation",
        }
    }

    pub const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Emulation => ["-accel", "tcg", "-cpu", "max"],
        }
    }
}

/// Tries: `/dev/kvm` may be there and closed to this user, or not work inside of another virtual machine.
pub fn choose(kernel: &Fetched, directory: &Path) -> Accelerator {
    let opened = std::fs::File::options().read(true).write(true).open(KVM);
    let cause = match opened {
        Err(error) => error.to_string(),
        Ok(_) if boots(kernel, directory) => return Accelerator::Kvm,
        Ok(_) => "a machine does not come up with it".to_owned(),
    };
    eprintln!("{KVM} is not used ({cause}): machines are emulated");
    Accelerator::Emulation
}

/// Whether a machine that does nothing comes up.
fn boots(kernel: &Fetched, directory: &Path) -> bool {
    let Some(busybox) = process::find("busybox").and_then(|path| std::fs::read(path).ok()) else {
        return false;
    };
    let mut archive = Archive::default();
    archive.file(Path::new("/bin/busybox"), &busybox);
    archive.file(Path::new("/init"), b"#!/bin/busybox sh\n/bin/busybox poweroff -f\n");
    let initramfs = directory.join("initramfs-trial");
    if std::fs::write(&initramfs, archive.finish()).is_err() {
        return false;
    }
    machine::trial(kernel, &initramfs, Accelerator::Kvm, directory, PATIENCE)
}
