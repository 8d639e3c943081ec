//! Which pod a cgroup belongs to, by its path.
//!
//! The kubelet names a pod's cgroup after its uid, in one of two ways (its `cgroupDriver`):
//! `kubepods/burstable/pod<uid>/<container>` (cgroupfs) and
//! `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/<runtime>-<container>.scope` (systemd,
//! where `-` separates levels, so the uid's own become `_`). Guaranteed pods omit the middle level, `--cgroup-root`
//! and nested nodes (kind) put more levels in front, and whatever runs in the container may make more below.

use crate::model::Uid;

/// The uids that `path` may belong to, the innermost first: a node that itself runs in a pod has both in its paths.
/// Static pods give the hash that their kubelet uses instead of the uid.
pub(super) fn pod_uids(path: &str) -> impl Iterator<Item = Uid> + '_ {
    let mut rest = path;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (parents, name) = rest.rsplit_once('/').unwrap_or(("", rest));
            rest = parents;
            if let Some(uid) = uid_of(name, parents) {
                return Some(uid);
            }
        }
        None
    })
}

/// The uid, if `name` under `parents` is a pod's own directory.
fn uid_of(name: &str, parents: &str) -> Option<Uid> {
    if let Some(uid) = name.strip_prefix("pod")
        && !uid.ends_with(".slice")
    {
        // `podman-...` and the like exist elsewhere.
        return parents.rsplit('/').take(2).any(|level| level == "kubepods").then(|| Uid::read(uid))?;
    }
    // A container's.
    if name.ends_with(".scope") {
        return None;
    }
    let slice = match name.strip_suffix(".slice") {
        Some(slice) => slice,
        // containerd with the cgroupfs driver under a systemd kubelet:
        // `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`.
        None => name.split_once(':')?.0.strip_suffix(".slice")?,
    };
    let (levels, pod) = slice.rsplit_once('-')?;
    let uid = pod.strip_prefix("pod")?;
    levels.rsplit('-').any(|level| level == "kubepods").then(|| Uid::read(uid))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1b3f6c1e-7a0d-4c55-9e5b-0a1b2c3d4e5f";
    const ID: &str = "9a3f1c5b7d9e0f2a4c6e8b0d1f3a5c7e9b1d3f5a7c9e1b3d5f7a9c1e3b5d7f9a";

    fn innermost(path: &str) -> Option<Uid> {
        pod_uids(path).next()
    }

    #[test]
    fn every_shape_that_a_kubelet_writes_gives_the_pods_uid() {
        let under = UID.replace('-', "_");
        let shapes = [
            // systemd driver, three classes, three runtimes
            format!(
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-{ID}.scope"
            ),
            format!(
                "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{under}.slice/crio-{ID}.scope"
            ),
            format!("kubepods.slice/kubepods-pod{under}.slice/docker-{ID}.scope"),
            // the pod's own directory, a leading slash, and directories made inside the container
            format!("/kubepods.slice/kubepods-pod{under}.slice"),
            format!("/kubepods.slice/kubepods-pod{under}.slice/crio-{ID}.scope/container"),
            format!(
                "/kubepods.slice/kubepods-pod{under}.slice/cri-containerd-{ID}.scope/system.slice/nginx.service"
            ),
            // cgroupfs driver
            format!("kubepods/burstable/pod{UID}/{ID}"),
            format!("kubepods/besteffort/pod{UID}/crio-{ID}"),
            format!("kubepods/pod{UID}/{ID}"),
            format!("kubepods/pod{UID}"),
            // kind, and kubelet --cgroup-root
            format!(
                "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{under}.slice/cri-containerd-{ID}.scope"
            ),
            format!(
                "docker/{ID}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{under}.slice/cri-containerd-{ID}.scope"
            ),
            format!("docker/{ID}/kubelet/kubepods/burstable/pod{UID}/{ID}"),
            // containerd not told that systemd is the driver
            format!(
                "system.slice/containerd.service/kubepods-burstable-pod{under}.slice:cri-containerd:{ID}"
            ),
        ];
        for shape in shapes {
            assert_eq!(innermost(&shape), Some(Uid::of(UID)), "{shape}");
        }
    }

    #[test]
    fn a_static_pods_hash_is_given_as_it_stands() {
        let hash = "3c1b7e0f9a5d4c2b8e6f0a1d2c3b4e5f";
        let systemd = format!(
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{hash}.slice/crio-{ID}.scope"
        );
        assert_eq!(innermost(&systemd), Some(Uid::of(hash)));
        assert_eq!(innermost(&format!("kubepods/burstable/pod{hash}/{ID}")), Some(Uid::of(hash)));
    }

    #[test]
    fn a_node_in_a_pod_gives_the_inner_pod_first() {
        let path = format!(
            "kubepods/pod{UID}/{ID}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod0000_1.slice/x.scope"
        );
        assert_eq!(pod_uids(&path).collect::<Vec<_>>(), [Uid::of("0000-1"), Uid::of(UID)]);
    }

    #[test]
    fn what_the_host_runs_is_no_pod() {
        for path in [
            "",
            "/",
            "init.scope",
            "system.slice/kubelet.service",
            "system.slice/containerd.service",
            "user.slice/user-0.slice/session-1.scope",
            "system.slice/podman-api.service",
            "machine.slice/libpod-1234.scope",
            "machine.slice/machine-pod1234.slice",
            "podruntime/kubelet",
            "pod1234/x",
            "kubepods.slice",
            "kubepods.slice/kubepods-burstable.slice",
            "kubepods/burstable",
            "kubepods/burstable/pod",
            "kubepods.slice/kubepods-pod.slice",
            "mykubepods/pod1234",
        ] {
            assert_eq!(innermost(path), None, "{path}");
        }
    }
}
