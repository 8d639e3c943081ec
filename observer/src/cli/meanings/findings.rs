//! What each kind of finding means, and what to do about it.

use super::FindingMeaning;
use crate::model::FindingKind;

/// In the order of [`FindingKind::ALL`].
pub const FINDINGS: &[FindingMeaning] = &[
    FindingMeaning {
        kind: FindingKind::Unencrypted,
        sentence: "Anyone on the way between the two pods can read and change this traffic.",
        why: "Nodes, network plugins, mirrored ports and every program in the host's network namespace stand on the \
              way. What they read they can keep, and what they change nobody notices.",
        proof: "Bytes whose protocol is plaintext were seen between two pods, or a pod and a node, on a link that is \
                not known to be encrypted. Bytes that prove nothing are `unknown`, and no finding. Traffic that stays \
                on one node counts too: neither WireGuard nor IPsec covers it.",
        reasons: &[],
        fix: "Let the server speak TLS, or put both ends into a mesh that does mTLS. Between nodes the network \
              plugin's WireGuard or IPsec will do; WireGuard is seen by its keys, IPsec is told by \
              `link_encryption: ipsec` in the file of --config.",
        confirm: &[
            (
                "observer flows --finding unencrypted --last 20 -o wide",
                "ENCRYPTION is `plaintext`, and no link stands beside it",
            ),
            ("observer edges --encryption plaintext", "which edges have had such flows, and how many"),
        ],
        exempt: "A ServiceGraph edge with `encryption: optional` says that plaintext is meant there. What no graph \
                 can say is a setting.",
    },
    FindingMeaning {
        kind: FindingKind::Unauthenticated,
        sentence: "The server cannot know who called: the request carried no credential.",
        why: "Any pod that reaches the server's address can make the same request. A NetworkPolicy narrows down who \
              reaches it, but tells the server nothing about who did.",
        proof: "The head of an HTTP request was read whole, held no Authorization (nor another header named in \
                `credential_headers`), and the connection is not mTLS. Inside TLS nothing is read: there \
                authentication is `unknown`, and this is never said.",
        reasons: &[],
        fix: "Send a ServiceAccount token that is bound to an audience of the server's own (a projected volume with \
              `audience`), over TLS, and let the server verify it; or use mTLS. Credentials in other headers are \
              known by the setting `credential_headers`.",
        confirm: &[
            (
                "observer flows --finding unauthenticated --last 20 -o wide",
                "AUTH, REQUESTS and LAST: did the server answer it with success?",
            ),
            ("observer edges --authentication none", "how many requests of an edge had none"),
        ],
        exempt: "A ServiceGraph edge with `authentication: optional` says that none is needed. Health checks are best \
                 exempted by `path_prefix`; those of the kubelet are exempt already.",
    },
    FindingMeaning {
        kind: FindingKind::Unexpected,
        sentence: "A graph governs this server and declares no such call.",
        why: "Either the graph lags behind what was built, or something calls that nobody meant to call: a wrong \
              setting, a forgotten program, somebody who looks around.",
        proof: "A graph governs the server, the client is known, and no edge allows it on this port (and, where HTTP \
                was seen, with this method and path). An unknown client is `unevaluable`, and no finding.",
        reasons: &[],
        fix: "If the call is meant, add an edge to the graph that governs the server. If it is not, find out what the \
              client's workload does there, and keep it away with a NetworkPolicy.",
        confirm: &[
            (
                "observer flows --finding unexpected --last 20 -o wide",
                "DECLARATION names the graph; CLIENT-WORKLOAD, CLIENT-POD and LAST tell who did what",
            ),
            ("observer edges --declaration unexpected", "since when, and how often"),
        ],
        exempt: "Rather declare the edge: an exemption hides the call from the graph, too.",
    },
    FindingMeaning {
        kind: FindingKind::CredentialInCleartext,
        sentence: "A credential was sent in plaintext: whoever sees it can use it.",
        why: "A password or a token is as good in another's hand as in its owner's. A ServiceAccount token for the \
              API server lets whoever holds it act as that ServiceAccount.",
        proof: "A request with an Authorization (or Proxy-Authorization, or a header named in `credential_headers`) \
                was read from plaintext. It counts on an encrypted link as well: the link ends at the node.",
        reasons: &[],
        fix: "Use TLS on this edge, then replace the credential: what went over the wire counts as known. Let tokens \
              be short-lived and bound to the server's audience, so that a copy is of little use.",
        confirm: &[
            (
                "observer flows --finding credential-in-cleartext --last 20 -o wide",
                "TOKEN-OF says whose it is, AUTH of what quality",
            ),
            ("observer posture", "`cleartext-token` rows tell what the holder of such a token can do"),
        ],
        exempt: "Only where the credential is worth nothing elsewhere.",
    },
    FindingMeaning {
        kind: FindingKind::IdentityMismatch,
        sentence: "The token belongs to another ServiceAccount or pod than the one that sent it.",
        why: "Whoever sends a token is taken for its owner. Either a service passes on what its callers gave it, or a \
              token was taken.",
        proof: "The token's signature and times are good, it names a ServiceAccount (and perhaps a pod), and the pod \
                that sent it is another. A client that is no known pod is never accused: a node's address may hide \
                the owner.",
        reasons: &["forwarded", "replayed", "origin-unknown"],
        fix: "If it was forwarded: let the service use a token of its own, or exchange the caller's for one. If it \
              was replayed: find out where it was read (`credential-in-cleartext`), delete the pod that it is bound \
              to, which ends its validity at the API server, and look at the sender.",
        confirm: &[
            (
                "observer flows --finding identity-mismatch --last 20 -o wide",
                "CLIENT sent it, TOKEN-OF owns it, AUTH holds the reason",
            ),
            ("observer flows --finding credential-in-cleartext --last 20 -o wide", "where it could be read"),
        ],
        exempt: "For gateways that are meant to forward their callers' tokens: name the gateway as client.",
    },
    FindingMeaning {
        kind: FindingKind::InvalidToken,
        sentence: "The token claims a known issuer, and is forged, expired or not yet valid.",
        why: "A server that takes it does not verify tokens at all. A server that refuses it does its part: then \
              somebody's client is broken, or somebody tries.",
        proof: "The token names an issuer that is configured, and the signature does not fit that issuer's key, its \
                times do not fit the clock (with leeway), or it is unsigned. An unknown key or another issuer proves \
                nothing: such a token is `present`.",
        reasons: &["expired", "not-yet-valid", "bad-signature", "alg-none", "alg-hmac"],
        fix: "Expired: let the client read the token file anew for each request, since the kubelet replaces it. \
              Badly signed: find out where the client has the token from. In each case see that the server verifies \
              tokens.",
        confirm: &[
            (
                "observer flows --finding invalid-token --last 20 -o wide",
                "AUTH holds the reason; LAST tells whether the server took it: a status of 401 is right",
            ),
            ("observer edges --authentication invalid -o wide", "REJECTED counts answers of 401 and 403"),
        ],
        exempt: "For a client of tests that is meant to be refused.",
    },
    FindingMeaning {
        kind: FindingKind::WrongAudience,
        sentence: "The token is good, but was not issued for this server.",
        why: "A server that takes tokens for others can be shown one that somebody sent elsewhere, and those whom it \
              calls can use what they are shown against others.",
        proof: "The token is verified, the ServiceGraph edge that allows the call lists `audiences`, and the token \
                has none of them. Without such an edge this is never said.",
        reasons: &[],
        fix: "Mount a projected token with the server's audience into the client, send that one, and let the server \
              check the audience. If the audience is right, add it to the edge's `audiences`.",
        confirm: &[(
            "observer flows --finding wrong-audience --last 20 -o json",
            "`authentication.token.audiences` lists what it is good for",
        )],
        exempt: "Rather correct the `audiences` of the graph's edge.",
    },
    FindingMeaning {
        kind: FindingKind::ApiAudienceToken,
        sentence: "The receiver can use this token against the Kubernetes API as its owner.",
        why: "The token that is mounted by default is for the API server. Who is sent it can do there what its owner \
              can, and so can whoever breaks into the receiver.",
        proof: "The token is verified, one of its audiences is the API server's (or it names none and the cluster's \
                own issuer signed it), and it was not the API server that got it.",
        reasons: &[],
        fix: "Mount a projected token with an `audience` of the server's own for this call, and set \
              `automountServiceAccountToken: false` where a pod does not call the API server.",
        confirm: &[
            (
                "observer flows --finding api-audience-token --last 20 -o wide",
                "TOKEN-OF is who can be acted as, SERVER who can do it",
            ),
            ("observer posture", "`powers` of the `cleartext-token` rows: what the token allows"),
        ],
        exempt: "For servers that hand the token to the API server for review, and are trusted with it.",
    },
    FindingMeaning {
        kind: FindingKind::LegacyToken,
        sentence: "The token comes from a Secret and never expires.",
        why: "A copy is good until somebody deletes the Secret, and nothing ties it to a pod. Whoever may read \
              Secrets of the namespace has it, too.",
        proof: "The claims are those of a ServiceAccount token from a Secret. It is judged by its claims, whatever \
                its signature says, so a forged one counts as well: AUTH tells which it is.",
        reasons: &[],
        fix: "Use the token that the kubelet mounts, or one from the TokenRequest API (`kubectl create token`), then \
              delete the Secret.",
        confirm: &[
            (
                "observer flows --finding legacy-token --last 20 -o wide",
                "TOKEN-OF is whose it is; AUTH is `verified` if its signature was checked",
            ),
            (
                "observer posture",
                "`legacy-token` and `legacy-secret` rows: whose are in use, and which exist",
            ),
        ],
        exempt: "For clients outside the cluster that cannot get another, and with an `until`.",
    },
    FindingMeaning {
        kind: FindingKind::DefaultServiceAccount,
        sentence: "A pod runs as `default`, an identity that it shares with others.",
        why: "Every pod of a namespace that names no ServiceAccount is `default`. Neither a policy nor a receiver can \
              tell one from another, and a right given to one is given to all.",
        proof: "A flow's client or server is a pod whose `serviceAccountName` is `default`.",
        reasons: &[],
        fix: "Create a ServiceAccount for the workload, name it in `serviceAccountName` of its pod template, and move \
              Bindings of `default` to it.",
        confirm: &[
            (
                "observer flows --finding default-service-account --last 20 -o wide",
                "CLIENT-WORKLOAD and SERVER-WORKLOAD tell which runs so",
            ),
            ("observer posture", "`default-service-account` rows list all workloads"),
        ],
        exempt: "For namespaces whose pods call nobody; `client: shop/*` covers all of one.",
    },
];
