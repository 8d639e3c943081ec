//! Why an imported policy cannot be judged from a flow.

use super::Meaning;

const fn why(word: &'static str, sentence: &'static str) -> Meaning {
    Meaning { word, place: "declaration.reason", sentence }
}

/// In the order of the alphabet.
pub const POLICY_REASONS: &[Meaning] = &[
    why("access-policy-unknown", "A Linkerd Server has an accessPolicy that this version does not know."),
    why("action-unknown", "An Istio AuthorizationPolicy has an action that this version does not know."),
    why(
        "ambient-hop",
        "A ztunnel took the connection out of its tunnel: who came through it is not seen here.",
    ),
    why(
        "api-server-unseen",
        "A Cilium rule speaks of the API server, whose addresses its policy does not tell.",
    ),
    why(
        "authentication-missing",
        "A Linkerd AuthorizationPolicy refers to an authentication that does not exist.",
    ),
    why(
        "authentication-unknown",
        "A Linkerd AuthorizationPolicy asks for a kind of authentication that this version does not know.",
    ),
    why("certificate-unseen", "The policy asks for an identity in a certificate, and the client is no pod."),
    why("cidr-group-unseen", "A Cilium rule refers to a CIDRGroup, which is not read."),
    why(
        "cidr-of-nodes",
        "A Cilium CIDR rule covers a node: whether it means nodes is a setting of Cilium's.",
    ),
    why("client-certificate-unseen", "TLS 1.3 hides whether the client showed a certificate."),
    why("cluster-name-unseen", "A Cilium rule names a cluster, and which one this is, is not known."),
    why(
        "cluster-networks-unknown",
        "Linkerd's cluster networks are a setting of its own, which is not read.",
    ),
    why("condition-unseen", "An Istio `when` asks for something that is not read, such as a header."),
    why(
        "credential-unseen",
        "The policy asks who the request is from, and its credential could not be read.",
    ),
    why("dns-names-unseen", "A Cilium rule speaks of names in DNS queries, which are not read."),
    why("encryption-unknown", "The policy asks for mutual TLS, and what the connection is, is not known."),
    why("entity-unseen", "A Cilium rule speaks of an entity that flows do not show."),
    why("external-authorization", "An Istio policy of action CUSTOM leaves the answer to somebody else."),
    why("field-unknown", "The policy has a field that this version does not know."),
    why("forwarded-for-unseen", "An Istio policy goes by X-Forwarded-For, which is not read."),
    why("groups-unseen", "A Cilium rule speaks of groups of a cloud provider, which are not read."),
    why("headers-unseen", "A Cilium rule asks for headers, which are not kept."),
    why("host-network", "A selector speaks of pods, and this one uses its node's network: plugins differ."),
    why("host-unseen", "An Istio policy asks for the Host of requests, which is not kept."),
    why(
        "ip-block-of-pods",
        "An ipBlock covers a pod's address: Kubernetes means it for addresses outside, and plugins differ.",
    ),
    why("label-source-unseen", "A Cilium selector asks for labels of a source that is not read."),
    why("listener-unseen", "A Cilium rule sends the traffic to a listener of Envoy's."),
    why("mode-unknown", "An Istio PeerAuthentication has a mode that this version does not know."),
    why(
        "mutual-authentication-unseen",
        "A Cilium rule asks for mutual authentication, which happens outside of the connection.",
    ),
    why("names-unseen", "A Cilium rule speaks of names that Cilium looks up (toFQDNs)."),
    why("namespace-unknown", "The labels of the namespace are not known."),
    why("node-labels-unseen", "A Cilium rule chooses nodes by their labels, which are not kept."),
    why("node-unknown", "Which node the pod is on is not known, and its own node may always call it."),
    why(
        "outside-mesh",
        "The policy asks for an identity of the mesh, and the server is not known to be in it.",
    ),
    why("pattern-too-large", "A Cilium rule has a pattern that is too large to be tried."),
    why("ports-missing", "A Cilium rule speaks of a protocol's requests and names no port."),
    why(
        "protocol-rules-unseen",
        "A Cilium rule asks for requests of a protocol that are not read, such as Kafka's.",
    ),
    why("query-unseen", "A Cilium rule asks for the query of requests, which is not kept."),
    why("requirements-unseen", "A Cilium rule has `fromRequires` or `toRequires`, which are not judged."),
    why("route-unseen", "A Linkerd policy speaks of a route's requests, which are not read."),
    why("server-names-unseen", "A Cilium rule asks for names in TLS handshakes."),
    why("services-unseen", "A Cilium rule speaks of Services, and flows are told by their pods."),
    why("target-unknown", "The policy's target is of a kind that this version does not know."),
    why(
        "token-unverified",
        "The policy asks who the request is from, and its token could not be verified here.",
    ),
    why("trust-domain-unknown", "A principal is of a trust domain that is not this cluster's."),
    why("tunnel", "The port is that of a mesh's tunnel: the policy speaks of what is in it."),
    why("waypoint", "The policy is in force at a waypoint or gateway, not at this server."),
];
