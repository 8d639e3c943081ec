//! Debian's stock kernels: which there are, and how a package comes here without touching this machine's apt.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// A kernel to try: the newest that a suite has.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    pub version: &'static str,
    pub suite: &'static str,
}

/// The oldest that is supported, what is current, and what is to come.
pub static KERNELS: [Kernel; 4] = [
    Kernel { version: "5.10", suite: "bullseye" },
    Kernel { version: "6.1", suite: "bookworm" },
    Kernel { version: "6.12", suite: "trixie" },
    Kernel { version: "sid", suite: "sid" },
];

/// The package that depends on the newest kernel for virtual machines.
const META: &str = "linux-image-cloud-amd64";
/// Packages beside the image, in newer suites: the image proper, and the modules.
const PARTS: [&str; 2] = ["linux-binary-", "linux-modules-"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// By version or suite; all if none is named.
///
/// # Errors
/// If there is no such kernel.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Kernel>> {
    if names.is_empty() {
        return Ok(KERNELS.iter().collect());
    }
    let find = |name: &String| {
        let found = KERNELS.iter().find(|kernel| kernel.version == name || kernel.suite == name);
        let known: Vec<_> = KERNELS.iter().map(|kernel| kernel.version).collect();
        found.with_context(|| format!("no kernel {name}; there are {}", known.join(", ")))
    };
    names.iter().map(find).collect()
}

/// An unpacked kernel.
#[derive(Debug)]
pub struct Fetched {
    pub kernel: &'static Kernel,
    /// Package and version, such as `linux-image-6.1.0-50-cloud-amd64 6.1.176-1`.
    pub package: String,
    pub image: PathBuf,
    /// The directory `kernel` of its modules.
    pub modules: PathBuf,
}

/// What was fetched before, by suite and version.
pub struct Store {
    directory: PathBuf,
    mirror: Option<String>,
    update: bool,
}

impl Store {
    pub fn open(directory: PathBuf, mirror: Option<String>, update: bool) -> Self {
        Self { directory: directory.join("kernels"), mirror, update }
    }

    /// Fetches a kernel, unless its suite's was fetched before and nobody asked for a newer one.
    ///
    /// # Errors
    /// The mirror does not have it, or cannot be asked.
    pub fn fetch(&self, kernel: &'static Kernel) -> Result<Fetched> {
        let suite = self.directory.join(kernel.suite);
        let newest = suite.join("newest");
        let cached =
            fs::read_to_string(&newest).ok().and_then(|name| unpacked(kernel, &suite, name.trim()).ok());
        if let Some(cached) = cached {
            if !self.update {
                return Ok(cached);
            }
            // An older one is better than none.
            return self.download(kernel, &suite).or_else(|error| {
                eprintln!(
                    "{}: {} is tried, a newer one cannot be fetched: {error:#}",
                    kernel.version, cached.package
                );
                Ok(cached)
            });
        }
        self.download(kernel, &suite)
    }

    fn download(&self, kernel: &'static Kernel, suite: &Path) -> Result<Fetched> {
        if std::env::consts::ARCH != "x86_64" {
            bail!("vm-test knows kernels for x86_64 alone");
        }
        let mirror = match &self.mirror {
            Some(mirror) => mirror.clone(),
            None => configured_mirror()?,
        };
        let apt = Apt::prepare(suite, &mirror, kernel.suite)?;
        apt.run("apt-get", &["update"], suite)?;
        let image = apt.depends(META, suite)?.into_iter().find(|name| is_image(name));
        let image = image.with_context(|| format!("{META} of {} names no kernel", kernel.suite))?;
        let version = apt.field(&image, "Version", suite)?;
        let mut packages = vec![image.clone()];
        packages.extend(
            apt.depends(&image, suite)?
                .into_iter()
                .filter(|name| PARTS.iter().any(|part| name.starts_with(part))),
        );
        // The name has the version's signs, but for those that no file name should have.
        let name = format!("{image} {version}").replace([':', '/'], "_");
        let directory = suite.join(&name);
        if unpacked(kernel, suite, &name).is_err() {
            let _ = fs::remove_dir_all(&directory);
            let tree = directory.join("tree");
            fs::create_dir_all(&tree).with_context(|| format!("cannot create {}", tree.display()))?;
            for package in &packages {
                apt.run("apt-get", &["download", package], &directory)?;
            }
            for archive in fs::read_dir(&directory)?.flatten().map(|entry| entry.path()) {
                if archive.extension().is_some_and(|extension| extension == "deb") {
                    process::run(process::command("dpkg").arg("-x").arg(&archive).arg(&tree))?;
                    fs::remove_file(&archive)?;
                }
            }
        }
        let fetched = unpacked(kernel, suite, &name)?;
        fs::write(suite.join("newest"), name)?;
        Ok(fetched)
    }
}

/// Looks whether a kernel lies there whole.
fn unpacked(kernel: &'static Kernel, suite: &Path, name: &str) -> Result<Fetched> {
    let tree = suite.join(name).join("tree");
    let modules = ["lib/modules", "usr/lib/modules"].iter().find_map(|path| only_entry(&tree.join(path)));
    let modules = modules.with_context(|| format!("{name} has no modules"))?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let images = [tree.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
    let image =
        images.into_iter().find(|path| path.is_file()).with_context(|| format!("{name} has no kernel"))?;
    Ok(Fetched { kernel, package: name.to_owned(), image, modules: modules.join("kernel") })
}

fn only_entry(directory: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(directory).ok()?.flatten();
    entries.next().map(|entry| entry.path())
}

fn is_image(package: &str) -> bool {
    package
        .strip_prefix("linux-image-")
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// apt with lists, cache and configuration of its own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn prepare(suite: &Path, mirror: &str, name: &str) -> Result<Self> {
        let own = suite.join("apt");
        for directory in ["lists/partial", "archives/partial", "parts"] {
            let directory = own.join(directory);
            fs::create_dir_all(&directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let signed =
            if Path::new(KEYRING).is_file() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        fs::write(own.join("sources.list"), format!("deb {signed}{mirror} {name} main\n"))?;
        fs::write(own.join("status"), "")?;
        let path = |name: &str| own.join(name).display().to_string();
        let options = [
            format!("Dir::Etc::SourceList={}", path("sources.list")),
            format!("Dir::Etc::SourceParts={}", path("parts")),
            format!("Dir::State={}", own.display()),
            format!("Dir::State::status={}", path("status")),
            format!("Dir::Cache={}", own.display()),
            "APT::Architecture=amd64".to_owned(),
            // Nobody but this process can read our directories.
            "APT::Sandbox::User=root".to_owned(),
            // A suite that is not maintained any more has old indices.
            "Acquire::Check-Valid-Until=false".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Acquire::http::Timeout=30".to_owned(),
        ];
        Ok(Self { options: options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect() })
    }

    /// What it prints, if it succeeds; it runs in `directory`.
    fn run(&self, program: &str, arguments: &[&str], directory: &Path) -> Result<String> {
        let mut command: Command = process::command(program);
        command.arg("-q").args(&self.options).args(arguments).current_dir(directory).env("LC_ALL", "C");
        let output =
            command.output().with_context(|| format!("{program} does not start: this needs Debian's apt"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        // `update` succeeds although it fetched nothing.
        let failure = said.lines().find(|line| line.starts_with("E: ") || line.starts_with("W: Failed"));
        if !output.status.success() || failure.is_some() {
            let why = failure.or_else(|| said.lines().last()).unwrap_or("it says nothing");
            bail!("{program} {}: {why}", arguments.join(" "));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn field(&self, package: &str, field: &str, directory: &Path) -> Result<String> {
        let told = self.run("apt-cache", &["show", "--no-all-versions", package], directory)?;
        Ok(field_of(&told, field).with_context(|| format!("{package} has no {field}"))?.to_owned())
    }

    fn depends(&self, package: &str, directory: &Path) -> Result<Vec<String>> {
        Ok(names(&self.field(package, "Depends", directory)?))
    }
}

fn field_of<'a>(stanza: &'a str, field: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
}

/// The packages of a `Depends:`, without versions and alternatives (Debian policy, 7.1).
fn names(depends: &str) -> Vec<String> {
    let first = |relation: &str| relation.split_whitespace().next().map(str::to_owned);
    depends.split(',').filter_map(first).collect()
}

/// Where this machine's own apt gets Debian from.
fn configured_mirror() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let targets = process::output(process::command("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]));
    let mirror = mirror_of(&targets.unwrap_or_default(), &release);
    mirror.context("apt's sources name no Debian mirror; name one with --mirror URI")
}

/// The one that has the suite of this very system.
fn mirror_of(targets: &str, os_release: &str) -> Option<String> {
    let value = |key| {
        os_release.lines().find_map(|line: &str| line.strip_prefix(key)).map(|value| value.trim_matches('"'))
    };
    let (id, codename) = (value("ID=")?, value("VERSION_CODENAME=")?);
    let is_it = |line: &&str| {
        let words: Vec<_> = line.split(' ').collect();
        id == "debian" && words[1..] == [codename, "main"]
    };
    // Others may call their suite by the same name: Debian's archive is called debian on every mirror.
    let mut lines: Vec<_> = targets.lines().filter(is_it).filter_map(|line| line.split(' ').next()).collect();
    lines.sort_by_key(|uri| !uri.trim_end_matches('/').ends_with("/debian"));
    lines.first().map(|uri| (*uri).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_named_by_its_version_or_its_suite_and_all_are_tried_otherwise() {
        let versions = |names: &[&str]| -> Vec<_> {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            chosen(&names).unwrap().iter().map(|kernel| kernel.version).collect()
        };
        assert_eq!(versions(&["trixie", "5.10"]), ["6.12", "5.10"]);
        assert_eq!(versions(&[]), ["5.10", "6.1", "6.12", "sid"]);
        let error = chosen(&["4.19".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "no kernel 4.19; there are 5.10, 6.1, 6.12, sid");
    }

    #[test]
    fn the_kernel_that_the_meta_package_depends_on_is_found() {
        // Of Debian's sid in November 2026.
        let stanza = "Package: linux-image-cloud-amd64\nVersion: 7.2.13-1\n\
                      Depends: linux-base-cloud-amd64 (= 7.2.13-1), linux-image-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)\n";
        let names = names(field_of(stanza, "Depends").unwrap());
        assert_eq!(names.iter().find(|name| is_image(name)).unwrap(), "linux-image-7.2.13+deb14-cloud-amd64");
    }

    #[test]
    fn the_mirror_is_the_one_that_this_system_comes_from() {
        let os_release = "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let targets = "https://tools.test/deb/ bookworm main\n\
                       http://mirror.test/debian/ bookworm-updates main\n\
                       http://mirror.test/debian/ bookworm main\n\
                       http://mirror.test/debian-security/ bookworm-security main\n";
        assert_eq!(mirror_of(targets, os_release).unwrap(), "http://mirror.test/debian/");
        assert_eq!(mirror_of("http://mirror.test/debian/ trixie main\n", os_release), None);
        assert_eq!(mirror_of(targets, "ID=ubuntu\nVERSION_CODENAME=bookworm\n"), None);
    }
}
