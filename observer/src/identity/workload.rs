//! What a pod's own object says about it.

use super::objects::{Container, NumberOrName, PodObject, Probe};
/// The label that a Deployment's controller puts on its ReplicaSets and their pods.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// The pod's controller as a person knows it, without watching ReplicaSets and Jobs: a Deployment's ReplicaSet is
/// called `<deployment>-<pod-template-hash>`, a CronJob's Job `<cronjob>-<digits>` (the scheduled time, in minutes).
pub(super) fn workload(pod: &PodObject) -> Option<(String, String)> {
    let owner = pod.metadata.owner_references.iter().find(|owner| owner.controller == Some(true))?;
    let (kind, name) = (owner.kind.as_deref()?, owner.name.as_deref()?);
    let above = match kind {
        "ReplicaSet" => pod
            .metadata
            .labels
            .get(TEMPLATE_HASH)
            .and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-'))
            .map(|name| ("Deployment", name)),
        "Job" => name
            .rsplit_once('-')
            .filter(|(_, minutes)| is_schedule(minutes))
            .map(|(name, _)| ("CronJob", name)),
        _ => None,
    };
    let (kind, name) = above.filter(|(_, name)| !name.is_empty()).unwrap_or((kind, name));
    Some((kind.to_owned(), name.to_owned()))
}

/// Minutes since 1970 have eight digits from 1989 to 2160; older clusters wrote seconds, with ten. A Job that a person
/// called `import-2` is not a CronJob's.
fn is_schedule(digits: &str) -> bool {
    matches!(digits.len(), 8 | 10) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The ports that the kubelet's probes call, sorted.
pub(super) fn probe_ports(pod: &PodObject) -> Vec<u16> {
    let mut ports: Vec<u16> = containers(pod)
        .flat_map(|container| {
            [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
                .into_iter()
                .flatten()
                .filter_map(|probe| probe_port(probe, container))
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

pub(super) fn containers(pod: &PodObject) -> impl Iterator<Item = &Container> {
    pod.spec.containers.iter().chain(&pod.spec.init_containers)
}

fn probe_port(probe: &Probe, container: &Container) -> Option<u16> {
    let target = probe.http_get.as_ref().or(probe.tcp_socket.as_ref()).or(probe.grpc.as_ref())?;
    match target.port.as_ref()? {
        NumberOrName::Number(port) => Some(*port),
        NumberOrName::Name(name) => {
            let named = container.ports.iter().find(|port| port.name.as_ref() == Some(name));
            named.map_or_else(|| name.parse().ok(), |port| port.container_port)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owned(labels: &serde_json::Value, kind: &str, name: &str) -> Option<(String, String)> {
        let pod = serde_json::from_value(json!({"metadata": {"labels": labels,
            "ownerReferences": [{"kind": "Shadow", "name": "x"}, {"kind": kind, "name": name, "controller": true}]}}));
        workload(&pod.unwrap())
    }

    #[test]
    fn a_workload_is_what_a_person_created() {
        let hash = json!({"pod-template-hash": "7d9f8c6b5"});
        for (labels, kind, name, expected) in [
            (&hash, "ReplicaSet", "orders-7d9f8c6b5", ("Deployment", "orders")),
            (&hash, "ReplicaSet", "my-shop-orders-7d9f8c6b5", ("Deployment", "my-shop-orders")),
            // a ReplicaSet of its own, and one whose name only happens to end so
            (&json!({}), "ReplicaSet", "orders-7d9f8c6b5", ("ReplicaSet", "orders-7d9f8c6b5")),
            (&hash, "ReplicaSet", "orders7d9f8c6b5", ("ReplicaSet", "orders7d9f8c6b5")),
            (&hash, "ReplicaSet", "-7d9f8c6b5", ("ReplicaSet", "-7d9f8c6b5")),
            (&json!(null), "Job", "backup-28912320", ("CronJob", "backup")),
            (&json!({}), "Job", "import-2", ("Job", "import-2")),
            (&json!({}), "Job", "migrate", ("Job", "migrate")),
            (&json!({}), "StatefulSet", "db", ("StatefulSet", "db")),
            (&json!({}), "DaemonSet", "agent", ("DaemonSet", "agent")),
        ] {
            let expected = Some((expected.0.to_owned(), expected.1.to_owned()));
            assert_eq!(owned(labels, kind, name), expected, "{kind} {name}");
        }
        assert_eq!(workload(&PodObject::default()), None);
    }

    #[test]
    fn probe_ports_are_numbers_whatever_the_probe_calls_them() {
        let pod: PodObject = serde_json::from_value(json!({"spec": {
            "containers": [
                {"ports": [{"name": "http", "containerPort": 8080}],
                 "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                 "readinessProbe": {"tcpSocket": {"port": 9000}},
                 "startupProbe": {"exec": {"command": ["true"]}}},
                {"readinessProbe": {"grpc": {"port": 9000}}, "livenessProbe": {"httpGet": {"port": "absent"}}}],
            "initContainers": [{"restartPolicy": "Always", "readinessProbe": {"httpGet": {"port": "15021"}}}]}}))
        .unwrap();
        assert_eq!(probe_ports(&pod), [8080, 9000, 15021]);
    }
}
