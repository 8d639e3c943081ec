//! Where the host's cgroup v2 hierarchy is mounted: found, not assumed. A hybrid host has it beside the v1 ones.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

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
    /// Finds the mount in `/proc/self/mountinfo` (proc_pid_mountinfo(5)): one of the whole hierarchy if there is one,
    /// else the one that reaches highest.
    ///
    /// # Errors
    /// The file cannot be read, or names no cgroup2 mount.
    pub fn find() -> Result<Self, CgroupRootError> {
        let path = PathBuf::from(MOUNTS);
        let mounts = fs::read_to_string(&path)
            .map_err(|source| CgroupRootError::Unreadable { path: path.clone(), source })?;
        let roots: Vec<_> = candidates(&mounts).into_iter().map(|mount| Self::at(&mount)).collect();
        let best = roots.iter().position(|root| root.as_ref().is_ok_and(|root| root.whole)).unwrap_or(0);
        roots.into_iter().nth(best).ok_or(CgroupRootError::NotMounted(path))?
    }

    /// A hybrid host's `/sys/fs/cgroup` stands for the v2 hierarchy in its `unified`.
    ///
    /// # Errors
    /// `path` is not a directory of a cgroup v2 hierarchy.
    pub fn at(path: &Path) -> Result<Self, CgroupRootError> {
        let is_cgroup =
            |path: &Path| ["cgroup.procs", "cgroup.controllers"].iter().all(|file| path.join(file).exists());
        let unified = path.join("unified");
        let path = match is_cgroup(path) {
            true => path,
            false if is_cgroup(&unified) => &unified,
            false => return Err(CgroupRootError::NotCgroup(path.to_owned())),
        };
        // Every cgroup but the root has this file (Documentation/admin-guide/cgroup-v2.rst).
        Ok(Self { path: path.to_owned(), whole: !path.join("cgroup.events").exists() })
    }

    /// Whether this process stands in it: then its own sockets are observed. `false` also where that cannot be told.
    pub(super) fn contains_us(&self) -> bool {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        self.whole || contains(&self.path, &read("/proc/self/cgroup"), &read(MOUNTS))
    }

    /// # Errors
    /// As open(2).
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

const MOUNTS: &str = "/proc/self/mountinfo";

/// A mount of the hierarchy. `root` is the cgroup that it shows, as a path from the root of our cgroup namespace; it
/// may lead up.
struct Mount {
    root: PathBuf,
    point: PathBuf,
}

fn cgroup2_mounts(mountinfo: &str) -> impl Iterator<Item = Mount> {
    mountinfo.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        if filesystem.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ');
        let root = PathBuf::from(unescape(fields.nth(3)?));
        Some(Mount { root, point: PathBuf::from(unescape(fields.next()?)) })
    })
}

/// Mounts from our namespace's root or from above it, the highest first. A container whose cgroup namespace is private
/// sees the host's mount as one from above (cgroup_namespaces(7)), beside its own, which shows only itself.
fn candidates(mountinfo: &str) -> Vec<PathBuf> {
    let mut mounts: Vec<_> =
        cgroup2_mounts(mountinfo).filter_map(|mount| Some((levels_up(&mount.root)?, mount.point))).collect();
    mounts.sort_by_key(|(levels, _)| Reverse(*levels));
    mounts.into_iter().map(|(_, point)| point).collect()
}

/// How far a path leads up, if it does nothing else: 0 for `/`, 2 for `/../..`.
fn levels_up(path: &Path) -> Option<usize> {
    path.components().try_fold(0, |levels, component| match component {
        Component::RootDir => Some(levels),
        Component::ParentDir => Some(levels + 1),
        _ => None,
    })
}

/// Whether a process with this `/proc/self/cgroup` (cgroups(7)) stands at or below `directory`.
fn contains(directory: &Path, own: &str, mountinfo: &str) -> bool {
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::")) else { return false };
    cgroup2_mounts(mountinfo).any(|mount| match levels_up(&mount.root) {
        // What the levels above us are called cannot be seen from here; but we are below all of them.
        Some(1..) => mount.point == directory,
        _ => Path::new(own)
            .strip_prefix(&mount.root)
            .is_ok_and(|below| mount.point.join(below).starts_with(directory)),
    })
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

    /// cgroup_namespaces(7): the host's mount leads up from a container's own, which is `/`.
    const PRIVATE: &str = "\
42 40 0:24 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw
41 40 0:24 /../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup2 rw
";

    fn paths(of: &[&str]) -> Vec<PathBuf> {
        of.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn finds_the_v2_hierarchy_of_a_hybrid_host() {
        assert_eq!(candidates(HYBRID), paths(&["/sys/fs/cgroup/unified"]));
    }

    #[test]
    fn the_hosts_hierarchy_comes_before_a_private_namespaces_own() {
        assert_eq!(candidates(PRIVATE), paths(&["/host/sys/fs/cgroup", "/sys/fs/cgroup"]));
    }

    #[test]
    fn does_not_take_a_bind_mount_of_a_subtree_for_the_root() {
        for root in ["/kubepods.slice", "/../other.slice"] {
            let line = format!("31 25 0:24 {root} /mnt rw - cgroup2 cgroup2 rw\n");
            assert!(candidates(&line).is_empty(), "{root}");
        }
    }

    #[test]
    fn reads_a_mount_point_with_a_space() {
        let line = "31 25 0:24 / /mnt/a\\040b rw - cgroup2 cgroup2 rw\n";
        assert_eq!(candidates(line), paths(&["/mnt/a b"]));
    }

    #[test]
    fn a_process_stands_in_what_lies_above_it_and_nowhere_else() {
        let hybrid = |directory: &str, own: &str| contains(Path::new(directory), own, HYBRID);
        assert!(hybrid("/sys/fs/cgroup/unified", "1:name=systemd:/x\n0::/a/b\n"));
        assert!(hybrid("/sys/fs/cgroup/unified/a", "0::/a/b\n"));
        assert!(!hybrid("/sys/fs/cgroup/unified/a", "0::/ab\n"));
        assert!(!hybrid("/sys/fs/cgroup/unified/a/b/c", "0::/a/b\n"));
        assert!(!hybrid("/sys/fs/cgroup/unified", "1:name=systemd:/a\n"));

        let private = |directory: &str| contains(Path::new(directory), "0::/\n", PRIVATE);
        assert!(private("/host/sys/fs/cgroup"));
        assert!(private("/sys/fs/cgroup"));
        assert!(!private("/host/sys/fs/cgroup/kubepods.slice"));

        let bind = "31 25 0:24 /a /mnt rw - cgroup2 cgroup2 rw\n";
        assert!(contains(Path::new("/mnt"), "0::/a/b\n", bind));
        assert!(!contains(Path::new("/mnt"), "0::/c\n", bind));
    }

    #[test]
    fn a_directory_with_the_v2_hierarchy_beside_the_others_stands_for_it() {
        let directory = std::env::temp_dir().join(format!("observer-cgroup-root-{}", std::process::id()));
        let unified = directory.join("unified");
        fs::create_dir_all(&unified).unwrap();
        for file in ["cgroup.procs", "cgroup.controllers"] {
            fs::write(unified.join(file), "").unwrap();
        }
        let root = CgroupRoot::at(&directory);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(root.unwrap(), CgroupRoot { path: unified, whole: true });
    }

    #[test]
    fn a_plain_directory_is_refused() {
        assert!(matches!(CgroupRoot::at(Path::new("/proc")), Err(CgroupRootError::NotCgroup(_))));
    }
}
