//! Where the host's cgroup v2 hierarchy is mounted: found, not assumed. A hybrid host has it beside the v1 ones.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A directory of the cgroup v2 hierarchy, with everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupRoot {
    pub path: PathBuf,
    /// The root of the whole hierarchy. Otherwise sockets elsewhere are not seen.
    pub whole: bool,
}

#[derive(Debug, Error)]
pub enum CgroupRootError {
    #[error(
        "no cgroup v2 hierarchy is mounted (cause: none in {0}); mount one: `mount -t cgroup2 none /sys/fs/cgroup/unified`, or name it with --cgroup-root"
    )]
    NotMounted(PathBuf),
    #[error("cannot read {path}: {source}; run as root, or name the hierarchy with --cgroup-root")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "{0} is not a directory of a cgroup v2 hierarchy (cause: it has no cgroup.procs and cgroup.controllers); give --cgroup-root one that is, or leave it out to have it found"
    )]
    NotCgroup(PathBuf),
}

impl CgroupRoot {
    /// Finds the mount in `/proc/self/mountinfo` (proc_pid_mountinfo(5)): one of the whole hierarchy if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or names no cgroup2 mount.
    pub fn find() -> Result<Self, CgroupRootError> {
        let path = PathBuf::from(MOUNTS);
        let mounts = fs::read_to_string(&path)
            .map_err(|source| CgroupRootError::Unreadable { path: path.clone(), source })?;
        let roots: Vec<_> = cgroup2_mounts(&mounts).map(|mount| Self::at(&mount)).collect();
        let best = roots.iter().position(|root| root.as_ref().is_ok_and(|root| root.whole)).unwrap_or(0);
        roots.into_iter().nth(best).ok_or(CgroupRootError::NotMounted(path))?
    }

    /// # Errors
    /// `path` is not a directory of a cgroup v2 hierarchy.
    pub fn at(path: &Path) -> Result<Self, CgroupRootError> {
        let has = |file: &str| path.join(file).exists();
        if !has("cgroup.procs") || !has("cgroup.controllers") {
            return Err(CgroupRootError::NotCgroup(path.to_owned()));
        }
        // Every cgroup but the root has this file (Documentation/admin-guide/cgroup-v2.rst).
        Ok(Self { path: path.to_owned(), whole: !has("cgroup.events") })
    }

    /// # Errors
    /// As open(2).
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

/// Where this process stands in the hierarchy, as a path below its mount (cgroups(7)).
pub(super) fn own_cgroup() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string(MOUNTS).ok()?;
    Some(cgroup2_mounts(&mounts).next()?.join(own))
}

const MOUNTS: &str = "/proc/self/mountinfo";

/// Mounts of the hierarchy from our namespace's root on, then those that reach above it: a container whose cgroup
/// namespace is private sees the host's mount so (cgroup_namespaces(7)).
fn cgroup2_mounts(mountinfo: &str) -> impl Iterator<Item = PathBuf> {
    let mounts = move |wanted: fn(&str) -> bool| {
        mountinfo.lines().filter_map(move |line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            if filesystem.split(' ').next() != Some("cgroup2") {
                return None;
            }
            let mut fields = mount.split(' ');
            let root = fields.nth(3)?;
            let mount_point = fields.next()?;
            wanted(root).then(|| PathBuf::from(unescape(mount_point)))
        })
    };
    mounts(|root| root == "/").chain(mounts(|root| root != "/" && root.split('/').all(is_upward)))
}

fn is_upward(component: &str) -> bool {
    matches!(component, "" | "..")
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
25 30 0:23 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:24 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw
27 25 0:25 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,name=systemd
";

    fn mounts(mountinfo: &str) -> Vec<PathBuf> {
        cgroup2_mounts(mountinfo).collect()
    }

    #[test]
    fn finds_the_v2_hierarchy_of_a_hybrid_host() {
        assert_eq!(mounts(HYBRID), [PathBuf::from("/sys/fs/cgroup/unified")]);
    }

    #[test]
    fn finds_the_hosts_hierarchy_from_a_private_cgroup_namespace() {
        let text = "\
41 40 0:24 /../../.. /host/cgroup ro - cgroup2 cgroup2 rw
42 40 0:24 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw
";
        assert_eq!(mounts(text), [PathBuf::from("/sys/fs/cgroup"), PathBuf::from("/host/cgroup")]);
    }

    #[test]
    fn does_not_take_a_bind_mount_of_a_subtree_for_the_root() {
        let line = "31 25 0:24 /kubepods.slice /mnt rw - cgroup2 cgroup2 rw\n";
        assert!(mounts(line).is_empty());
    }

    #[test]
    fn reads_a_mount_point_with_a_space() {
        let line = "31 25 0:24 / /mnt/a\\040b rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mounts(line), [PathBuf::from("/mnt/a b")]);
    }

    #[test]
    fn a_plain_directory_is_refused() {
        assert!(matches!(CgroupRoot::at(Path::new("/proc")), Err(CgroupRootError::NotCgroup(_))));
    }
}
