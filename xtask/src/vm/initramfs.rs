//! What a machine has: busybox, a few programs of this one with their libraries, the daemon, the scenarios, and the
//! kernel's modules that a simulated node needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::archive::Archive;
use super::kernel::Fetched;
use crate::{process, workspace};

/// Third-party programs, found on this machine.
const PROGRAMS: [&str; 7] = ["ip", "nft", "ss", "curl", "openssl", "nghttp", "nghttpd"];
/// Where Debian's OpenSSL looks for its settings.
const OPENSSL_SETTINGS: &str = "/usr/lib/ssl/openssl.cnf";
/// For the harness: links, the bridge, and what its nftables rules are made of. What a kernel has built in, or a later
/// one has no more, is left out.
const MODULES: [&str; 17] = [
    "veth",
    "bridge",
    "nf_tables",
    "nf_conntrack",
    "nf_nat",
    "nft_chain_nat",
    "nft_ct",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_numgen",
    "nft_reject",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_counter",
    "nft_limit",
];

/// All but the modules.
pub struct Programs {
    archive: Archive,
}

impl Programs {
    /// `observer`: the daemon. `directory`: for stripped copies.
    ///
    /// # Errors
    /// Something is missing.
    pub fn pack(observer: &Path, directory: &Path) -> Result<Self> {
        let mut archive = Archive::default();
        for mount_point in ["proc", "sys", "dev", "run", "tmp", "root"] {
            archive.directory(mount_point);
        }
        let init = workspace::top().join("tests/vm/init.sh");
        archive.file(Path::new("/init"), &read(&init)?);
        add(&mut archive, &find("busybox")?, Path::new("/bin/busybox"))?;
        for program in PROGRAMS {
            add(&mut archive, &find(program)?, &Path::new("/usr/bin").join(program))?;
        }
        if let Ok(settings) = fs::read(OPENSSL_SETTINGS) {
            archive.file(Path::new(OPENSSL_SETTINGS), &settings);
        }
        let scenarios = workspace::target()?.join("debug/vm-scenarios");
        for (own, name) in [(observer, "observer"), (&*scenarios, "vm-scenarios")] {
            // Debugging information is most of it, and has to fit into the machine's memory.
            let stripped = directory.join(name);
            process::run(process::command("strip").arg("-o").arg(&stripped).arg(own))?;
            add(&mut archive, &stripped, &Path::new("/usr/bin").join(name))?;
        }
        Ok(Self { archive })
    }

    /// Writes the initramfs for one kernel.
    ///
    /// # Errors
    /// A module cannot be unpacked.
    pub fn with_modules(&self, kernel: &Fetched, directory: &Path) -> Result<PathBuf> {
        let mut archive = self.archive.clone();
        let available = modules_below(&kernel.modules)?;
        let mut order = Vec::new();
        for module in MODULES {
            load_order(module, &available, &mut order)?;
        }
        for (name, content) in &order {
            archive.file(&Path::new("/modules").join(name), content);
        }
        let names: Vec<_> = order.iter().map(|(name, _)| format!("{name}\n")).collect();
        archive.file(Path::new("/modules/order"), names.concat().as_bytes());
        let path = directory.join(format!("initramfs-{}", kernel.kernel.version));
        fs::write(&path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

fn find(program: &str) -> Result<PathBuf> {
    process::find(program).with_context(|| format!("{program} is missing: `cargo xtask setup` installs it"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A program, and the libraries that it is linked with, where the loader looks for them.
fn add(archive: &mut Archive, program: &Path, path: &Path) -> Result<()> {
    archive.file(path, &read(program)?);
    // It fails for a static one.
    let told = process::output(process::command("ldd").arg(program)).unwrap_or_default();
    for library in libraries(&told) {
        if !archive.contains(library) {
            archive.file(library, &read(library)?);
        }
    }
    Ok(())
}

/// ldd(1): `name => path (address)`, the loader by its path alone, the kernel's own without one.
fn libraries(told: &str) -> impl Iterator<Item = &Path> {
    told.lines().filter_map(|line| {
        let path = line.rsplit_once("=>").map_or(line, |(_, path)| path);
        let path = Path::new(path.split_whitespace().next()?);
        path.is_absolute().then_some(path)
    })
}

/// Files by the name that the kernel knows a module by.
fn modules_below(directory: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut modules = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                directories.push(path);
            } else if let Some(name) = path.file_name().and_then(|name| name.to_str())
                && let Some((name, _)) = name.split_once(".ko")
            {
                modules.insert(name.replace('-', "_"), path);
            }
        }
    }
    Ok(modules)
}

/// Appends a module after those that it needs, each once.
fn load_order(
    module: &str,
    available: &BTreeMap<String, PathBuf>,
    order: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let Some(path) = available.get(module) else { return Ok(()) };
    let name = format!("{module}.ko");
    if order.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let content = unpack(path)?;
    for dependency in dependencies(&content) {
        load_order(&dependency, available, order)?;
    }
    order.push((name, content));
    Ok(())
}

fn unpack(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => return read(path),
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => bail!("{} is packed in an unknown way", path.display()),
    };
    let output = process::command(program).arg("-dc").arg(path).output();
    let output = output.with_context(|| format!("{program} does not start"))?;
    if !output.status.success() {
        bail!("{program} cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

/// `depends=` of the section .modinfo, whose entries end with a zero byte (the kernel's include/linux/module.h).
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[start + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_what_ldd_says() {
        let told = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f1)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        let found: Vec<_> = libraries(told).collect();
        assert_eq!(
            found,
            [Path::new("/lib/x86_64-linux-gnu/libz.so.1"), Path::new("/lib64/ld-linux-x86-64.so.2")]
        );
    }

    #[test]
    fn a_module_comes_after_those_that_it_needs() {
        let directory = crate::tempdir::Dir::new();
        let module = |name: &str, depends: &str| {
            let path = directory.path().join(format!("{name}.ko"));
            fs::write(path, format!("\x7fELF..\0license=GPL\0depends={depends}\0name=x\0")).unwrap();
        };
        module("bridge", "stp,llc");
        module("stp", "llc");
        module("llc", "");
        let available = modules_below(directory.path()).unwrap();
        let mut order = Vec::new();
        for wanted in ["bridge", "llc", "built_in"] {
            load_order(wanted, &available, &mut order).unwrap();
        }
        let names: Vec<_> = order.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["llc.ko", "stp.ko", "bridge.ko"]);
    }
}
