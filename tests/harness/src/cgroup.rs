//! cgroup2 directories, named as the kubelet names them with the systemd driver.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A pod's quality-of-service class; it decides the slice that the pod's cgroup lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    #[default]
    Burstable,
    BestEffort,
}

impl Qos {
    /// As in `status.qosClass`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// Where cgroup2 is mounted: `/sys/fs/cgroup` on most machines, `/sys/fs/cgroup/unified` on hybrid ones.
pub fn mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    mount_in(&mounts).context(
        "no cgroup2 in /proc/self/mountinfo: mount it with `mount -t cgroup2 none /sys/fs/cgroup/unified` and try again",
    )
}

/// proc_pid_mountinfo(5): the mount point is the fifth field, the type the first one after the lone `-`.
fn mount_in(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let is_cgroup2 = after.split(' ').next() == Some("cgroup2");
        is_cgroup2.then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// `kubepods.slice/...` of one container, below the node's root.
pub fn container_path(qos: Qos, pod_uid: &str, container_id: &str) -> PathBuf {
    let uid = pod_uid.replace('-', "_");
    let (class, pod) = match qos {
        Qos::Guaranteed => (None, format!("kubepods-pod{uid}.slice")),
        Qos::Burstable => (Some("kubepods-burstable.slice"), format!("kubepods-burstable-pod{uid}.slice")),
        Qos::BestEffort => (Some("kubepods-besteffort.slice"), format!("kubepods-besteffort-pod{uid}.slice")),
    };
    let mut path = PathBuf::from("kubepods.slice");
    path.extend(class);
    path.push(pod);
    path.push(format!("cri-containerd-{container_id}.scope"));
    path
}

/// Makes `path` and what is missing above it.
pub fn create(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("create the cgroup {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup2_is_found_on_unified_and_on_hybrid_machines() {
        let unified = "24 23 0:22 / /proc rw - proc proc rw\n\
                       35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_in(unified), Some("/sys/fs/cgroup".into()));
        assert_eq!(mount_in(hybrid), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount_in("24 23 0:22 / /proc rw - proc proc rw\n"), None);
    }

    /// The layout that kubelet documents for the systemd driver.
    #[test]
    fn guaranteed_pods_lie_directly_below_kubepods() {
        let uid = "d6e9c5b2-1c1f-4b6e-9a4e-0f6a3a5f0a11";
        let path = |qos| container_path(qos, uid, "abc").display().to_string();
        assert_eq!(
            path(Qos::Burstable),
            "kubepods.slice/kubepods-burstable.slice/\
             kubepods-burstable-podd6e9c5b2_1c1f_4b6e_9a4e_0f6a3a5f0a11.slice/cri-containerd-abc.scope"
        );
        assert_eq!(
            path(Qos::BestEffort),
            "kubepods.slice/kubepods-besteffort.slice/\
             kubepods-besteffort-podd6e9c5b2_1c1f_4b6e_9a4e_0f6a3a5f0a11.slice/cri-containerd-abc.scope"
        );
        assert_eq!(
            path(Qos::Guaranteed),
            "kubepods.slice/kubepods-podd6e9c5b2_1c1f_4b6e_9a4e_0f6a3a5f0a11.slice/cri-containerd-abc.scope"
        );
    }
}
