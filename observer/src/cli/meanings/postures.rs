//! What the kinds of `observer posture` mean.

use super::Meaning;

const fn row(word: &'static str, sentence: &'static str) -> Meaning {
    Meaning { word, place: "observer posture", sentence }
}

/// In the order of `PostureKind::ALL`.
pub const POSTURES: &[Meaning] = &[
    row(
        "cleartext-token",
        "A verified or Secret-based token of this ServiceAccount went over plaintext; `powers` says what its holder can do \
         with it.",
    ),
    row(
        "cluster-admin",
        "It can do anything, in the cluster or in a namespace, by `cluster-admin` or a role as good, also through a group.",
    ),
    row("legacy-token", "Flows carried a token of this ServiceAccount from a Secret."),
    row("legacy-secret", "This ServiceAccount lists Secrets; their contents are never read."),
    row("shared-service-account", "Several workloads run as this ServiceAccount."),
    row("default-service-account", "A workload runs as `default`."),
    row(
        "unused-token",
        "A token is mounted in the workload's pods, and none of them called the API server for `seconds`.",
    ),
];
