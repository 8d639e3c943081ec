use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{HashMap, Timestamp};

/// Directories that are remembered; those beyond are not found, and are counted.
pub const MAX_CGROUPS: usize = 65_536;
/// Ids that were looked for in vain; when full, all are forgotten and looked for again.
pub const MAX_MISSING: usize = 8_192;
/// A walk over a big node's tree takes some milliseconds: not more often than this.
pub const RESCAN_EVERY: Duration = Duration::from_millis(100);
/// How long a vain search stands. A socket's cgroup exists before the socket, so it will hardly turn up later.
pub const MISSING_FOR: Duration = Duration::from_secs(5);
/// How long a removed directory still answers: events of its sockets arrive late.
pub const REMOVED_FOR: Duration = Duration::from_secs(120);
/// Deeper than any container nests its own.
const MAX_DEPTH: usize = 64;

/// Cgroup ids to paths. On cgroup2 the id of a cgroup is the inode number of its directory
/// (`bpf_skb_cgroup_id` in bpf-helpers(7), `kernfs_ino` in the kernel), and is not used again.
#[derive(Debug)]
pub struct CgroupTree {
    root: PathBuf,
    paths: HashMap<u64, Entry>,
    missing: HashMap<u64, Timestamp>,
    scanned: Timestamp,
    counts: CgroupCounts,
}

#[derive(Debug)]
struct Entry {
    path: Arc<str>,
    seen: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupCounts {
    /// Walks over the tree.
    pub scans: u64,
    /// Directories in the last walk that found no room or could not be read.
    pub left_out: u64,
    /// Questions for ids that are not in the tree.
    pub missed: u64,
}

impl CgroupTree {
    /// Walks over `root`, a cgroup2 mount point or a directory below.
    ///
    /// # Errors
    /// `root` cannot be read.
    pub fn open(root: &Path, now: Timestamp) -> io::Result<Self> {
        fs::read_dir(root)?;
        let mut tree = Self {
            root: root.to_owned(),
            paths: HashMap::default(),
            missing: HashMap::default(),
            scanned: now,
            counts: CgroupCounts::default(),
        };
        tree.scan(now);
        Ok(tree)
    }

    /// The path of the cgroup `id` relative to the root, without a leading slash; the root's own is empty.
    /// `None` if it is not below the root, or came and went between two walks.
    pub fn path(&mut self, id: u64, now: Timestamp) -> Option<Arc<str>> {
        if let Some(entry) = self.paths.get(&id) {
            return Some(entry.path.clone());
        }
        let searched = self.missing.get(&id).is_some_and(|since| now.since(*since) < MISSING_FOR);
        if !searched && now.since(self.scanned) >= RESCAN_EVERY {
            self.scan(now);
            if let Some(entry) = self.paths.get(&id) {
                return Some(entry.path.clone());
            }
            if self.missing.len() >= MAX_MISSING {
                self.missing.clear();
            }
            self.missing.insert(id, now);
        }
        self.counts.missed += 1;
        None
    }

    #[must_use]
    pub fn counts(&self) -> CgroupCounts {
        self.counts
    }

    /// Directories known, removed ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    fn scan(&mut self, now: Timestamp) {
        self.scanned = now;
        self.counts.scans += 1;
        self.counts.left_out = 0;
        self.paths.retain(|_, entry| now.since(entry.seen) < REMOVED_FOR);
        if let Ok(root) = fs::metadata(&self.root) {
            self.remember(root.ino(), "", now);
        }
        let mut pending = vec![(String::new(), 0)];
        while let Some((path, depth)) = pending.pop() {
            // Directories vanish while they are walked.
            let Ok(entries) = fs::read_dir(self.root.join(&path)) else {
                self.counts.left_out += 1;
                continue;
            };
            for entry in entries.flatten() {
                // Links are not followed.
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let below = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
                if depth < MAX_DEPTH && self.remember(entry.ino(), &below, now) {
                    pending.push((below, depth + 1));
                } else {
                    self.counts.left_out += 1;
                }
            }
        }
    }

    fn remember(&mut self, id: u64, path: &str, now: Timestamp) -> bool {
        let full = self.paths.len() >= MAX_CGROUPS;
        match self.paths.get_mut(&id) {
            Some(entry) => {
                entry.seen = now;
                if *entry.path != *path {
                    entry.path = path.into();
                }
                true
            }
            None if full => false,
            None => {
                self.paths.insert(id, Entry { path: path.into(), seen: now });
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000_000_000);

    /// A directory tree of its own, removed at the end.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("observer-cgroup-tree-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn make(&self, path: &str) -> u64 {
            fs::create_dir_all(self.0.join(path)).unwrap();
            fs::metadata(self.0.join(path)).unwrap().ino()
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_directorys_inode_number_leads_to_its_path() {
        let root = Temporary::new("inode");
        let pod = "kubepods.slice/kubepods-pod1_2.slice/cri-containerd-3.scope";
        let id = root.make(pod);
        fs::write(root.0.join("cgroup.procs"), "").unwrap();
        std::os::unix::fs::symlink(root.0.join("kubepods.slice"), root.0.join("link")).unwrap();
        let mut tree = CgroupTree::open(&root.0, START).unwrap();
        assert_eq!(tree.path(id, START).as_deref(), Some(pod));
        assert_eq!(tree.path(fs::metadata(&root.0).unwrap().ino(), START).as_deref(), Some(""));
        assert_eq!(tree.len(), 4);
        assert_eq!(tree.counts(), CgroupCounts { scans: 1, left_out: 0, missed: 0 });
    }

    #[test]
    fn a_miss_walks_again_but_not_more_often_than_every_100_ms() {
        let root = Temporary::new("rescan");
        let mut tree = CgroupTree::open(&root.0, START).unwrap();
        let id = root.make("late");
        assert_eq!(tree.path(id, START + Duration::from_millis(99)), None);
        assert_eq!(tree.counts().scans, 1);
        assert_eq!(tree.path(id, START + Duration::from_millis(100)).as_deref(), Some("late"));
        assert_eq!(tree.counts(), CgroupCounts { scans: 2, left_out: 0, missed: 1 });
    }

    #[test]
    fn a_vain_search_stands_for_five_seconds() {
        let root = Temporary::new("vain");
        let mut tree = CgroupTree::open(&root.0, START).unwrap();
        for millis in [1_000, 2_000, 5_999] {
            assert_eq!(tree.path(u64::MAX, START + Duration::from_millis(millis)), None);
        }
        assert_eq!(tree.counts().scans, 2);
        assert_eq!(tree.path(u64::MAX, START + Duration::from_millis(6_000)), None);
        assert_eq!(tree.counts().scans, 3);
    }

    #[test]
    fn a_removed_directory_answers_for_a_while_and_is_forgotten_then() {
        let root = Temporary::new("removed");
        let id = root.make("gone");
        let mut tree = CgroupTree::open(&root.0, START).unwrap();
        fs::remove_dir(root.0.join("gone")).unwrap();
        assert_eq!(tree.path(u64::MAX, START + Duration::from_secs(60)), None);
        assert_eq!(tree.path(id, START + Duration::from_secs(60)).as_deref(), Some("gone"));
        assert_eq!(tree.path(u64::MAX, START + REMOVED_FOR), None);
        assert_eq!(tree.path(id, START + REMOVED_FOR), None);
    }

    #[test]
    fn vain_searches_are_bounded() {
        let root = Temporary::new("bounded");
        let mut tree = CgroupTree::open(&root.0, START).unwrap();
        for number in 0..MAX_MISSING as u64 + 10 {
            let _ = tree.path(u64::MAX - number, START + RESCAN_EVERY * (number as u32 + 1));
            assert!(tree.missing.len() <= MAX_MISSING);
        }
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error() {
        let error = CgroupTree::open(Path::new("/nonexistent/cgroup"), START).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
