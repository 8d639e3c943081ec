use super::super::trial::{differences, refusal};

/// `[NAMESPACE/]NAME` and the rest of an object, `spec` in flow style.
fn object(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    let version = if kind == "Server" { "v1beta3" } else { "v1alpha1" };
    format!(
        "apiVersion: policy.linkerd.io/{version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\nspec: {spec}"
    )
}

fn server(name: &str, rest: &str) -> String {
    let (_, app) = name.split_once('/').unwrap();
    object("Server", name, &format!("{{podSelector: {{matchLabels: {{app: {app}}}}}, {rest}}}"))
}

fn policy(name: &str, target: &str, required: &str) -> String {
    let spec = format!("{{targetRef: {{{target}}}, requiredAuthenticationRefs: [{required}]}}");
    object("AuthorizationPolicy", name, &spec)
}

fn mesh_tls(name: &str, spec: &str) -> String {
    object("MeshTLSAuthentication", name, spec)
}

const AUTHORS: &str = "group: policy.linkerd.io, kind: Server, name: authors";
const BY_MESH: &str = "{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: authors-get-authn}";
const BY_NETWORK: &str = "{group: policy.linkerd.io, kind: NetworkAuthentication, name: cluster-network}";

fn files(objects: &[String]) -> String {
    objects.join("\n---\n")
}

/// Tables: page of linkerd.io, objects, flows with what the page says of them.
fn agree(tables: &[(&str, String, &str)], at_least: usize) {
    let (mut rows, mut wrong) = (0, Vec::new());
    for (page, yaml, flows) in tables {
        let (count, differences) = differences(page, yaml, flows);
        rows += count;
        wrong.extend(differences);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(rows >= at_least, "{rows} rows");
}

#[test]
fn servers_and_authorizations_mean_what_linkerd_documents() {
    const REFERENCE: &str = "reference, Authorization Policy";
    const RESTRICTING: &str = "tasks, Restricting Access To Services";
    const FEATURE: &str = "features, Authorization Policy";
    let authors = || server("booksapp/authors", "port: 7001");
    let voting = || server("emojivoto/voting-svc", "port: web, proxyProtocol: gRPC");
    let tables = [
        (
            // A Server alone: nobody is authorized. A port without one goes by the cluster's default.
            RESTRICTING,
            voting(),
            "emojivoto/web -> emojivoto/voting{app=voting-svc,web} :8080 mtls | unexpected Server emojivoto/voting-svc
             emojivoto/web -> emojivoto/voting{app=voting-svc,web} :8081 mtls | ungoverned
             emojivoto/web -> emojivoto/other{app=other,web} :8080 mtls | ungoverned
             emojivoto/web -> other/voting{app=voting-svc,web} :8080 mtls | ungoverned
             emojivoto/web -> service:emojivoto/voting :80 mtls | unevaluable Server emojivoto/voting-svc service-port",
        ),
        (
            RESTRICTING,
            files(&[
                voting(),
                object(
                    "ServerAuthorization",
                    "emojivoto/voting-grpc",
                    "{server: {name: voting-svc}, client: {meshTLS: {serviceAccounts: [{name: web}]}}}",
                ),
            ]),
            "emojivoto/web -> emojivoto/voting{app=voting-svc,web} :8080 mtls | allowed ServerAuthorization emojivoto/voting-grpc
             emojivoto/web -> emojivoto/voting{app=voting-svc,web} :8080 plain | unexpected Server emojivoto/voting-svc
             default/grpcurl -> emojivoto/voting{app=voting-svc,web} :8080 plain | unexpected Server emojivoto/voting-svc
             default/web -> emojivoto/voting{app=voting-svc,web} :8080 mtls | unexpected Server emojivoto/voting-svc",
        ),
        (
            REFERENCE,
            files(&[authors(), policy("booksapp/authors-policy", AUTHORS, "{name: webapp, kind: ServiceAccount}")]),
            "booksapp/webapp -> booksapp/a{app=authors} :7001 mtls | allowed booksapp/authors-policy
             booksapp/books -> booksapp/a{app=authors} :7001 mtls | unexpected Server booksapp/authors
             other/webapp -> booksapp/a{app=authors} :7001 mtls | unexpected Server booksapp/authors
             booksapp/webapp -> booksapp/a{app=authors} :7001 plain | unexpected Server booksapp/authors
             booksapp/webapp -> booksapp/a{app=authors,bare} :7001 plain | unevaluable booksapp/authors-policy outside-mesh
             booksapp/webapp -> booksapp/a{app=authors} :7001 tls | unevaluable booksapp/authors-policy client-certificate-unseen
             booksapp/webapp -> booksapp/a{app=authors} :7001 unseen | unevaluable booksapp/authors-policy encryption-unknown
             booksapp/webapp -> booksapp/a{app=authors} :4143 mtls | unevaluable booksapp/authors-policy tunnel
             booksapp/books -> booksapp/a{app=authors} udp:7001 plain | ungoverned
             external@192.0.2.1 -> booksapp/a{app=authors} :7001 mtls | unevaluable booksapp/authors-policy certificate-unseen
             unknown -> booksapp/a{app=authors} :7001 mtls | unevaluable booksapp/authors-policy client-unknown",
        ),
        (
            // All Servers of the namespace, and that may only be the policy's own.
            REFERENCE,
            files(&[
                authors(),
                server("booksapp/books", "port: 7002"),
                server("other/books", "port: 7002"),
                policy("booksapp/authors-policy", "kind: Namespace, name: booksapp", "{name: webapp, kind: ServiceAccount}"),
                policy("other/policy", "kind: Namespace, name: booksapp", "{name: traffic, kind: ServiceAccount}"),
            ]),
            "booksapp/webapp -> booksapp/a{app=authors} :7001 mtls | allowed booksapp/authors-policy
             booksapp/webapp -> booksapp/b{app=books} :7002 mtls | allowed booksapp/authors-policy
             booksapp/webapp -> booksapp/b{app=books} :7003 mtls | ungoverned
             other/traffic -> booksapp/b{app=books} :7002 mtls | unexpected Server booksapp/books
             booksapp/webapp -> other/b{app=books} :7002 mtls | unexpected Server other/books
             other/traffic -> other/b{app=books} :7002 mtls | unexpected Server other/books",
        ),
        (
            REFERENCE,
            files(&[
                authors(),
                policy("booksapp/p", AUTHORS, BY_MESH),
                mesh_tls(
                    "booksapp/authors-get-authn",
                    "{identities: [books.booksapp.serviceaccount.identity.linkerd.cluster.local,
                        '*.viz.serviceaccount.identity.linkerd.cluster.local']}",
                ),
            ]),
            "booksapp/books -> booksapp/a{app=authors} :7001 mtls | allowed booksapp/p
             booksapp/webapp -> booksapp/a{app=authors} :7001 mtls | unexpected Server booksapp/authors
             viz/anybody -> booksapp/a{app=authors} :7001 mtls | allowed booksapp/p
             other-viz/anybody -> booksapp/a{app=authors} :7001 mtls | unexpected Server booksapp/authors",
        ),
        (
            REFERENCE,
            files(&[
                authors(),
                policy("booksapp/p", AUTHORS, BY_MESH),
                mesh_tls(
                    "booksapp/authors-get-authn",
                    "{identityRefs: [{kind: ServiceAccount, name: books}, {kind: ServiceAccount, name: webapp, namespace: x}]}",
                ),
            ]),
            "booksapp/books -> booksapp/a{app=authors} :7001 mtls | allowed booksapp/p
             x/webapp -> booksapp/a{app=authors} :7001 mtls | allowed booksapp/p
             booksapp/webapp -> booksapp/a{app=authors} :7001 mtls | unexpected Server booksapp/authors",
        ),
        (
            REFERENCE,
            files(&[
                authors(),
                policy("booksapp/p", AUTHORS, BY_MESH),
                mesh_tls("booksapp/authors-get-authn", "{identities: ['*']}"),
            ]),
            "any/any -> booksapp/a{app=authors} :7001 mtls | allowed booksapp/p
             any/any -> booksapp/a{app=authors} :7001 plain | unexpected Server booksapp/authors",
        ),
        (
            // All that are required must match.
            REFERENCE,
            files(&[
                authors(),
                policy("booksapp/p", AUTHORS, &format!("{BY_NETWORK}, {{kind: ServiceAccount, name: webapp}}")),
                object(
                    "NetworkAuthentication",
                    "booksapp/cluster-network",
                    "{networks: [{cidr: 10.0.0.0/8, except: [10.9.0.0/16]}, {cidr: 100.64.0.0/10}]}",
                ),
            ]),
            "booksapp/webapp@10.1.2.3 -> booksapp/a{app=authors} :7001 mtls | allowed booksapp/p
             booksapp/webapp@10.9.2.3 -> booksapp/a{app=authors} :7001 mtls | unexpected Server booksapp/authors
             booksapp/webapp@192.0.2.3 -> booksapp/a{app=authors} :7001 mtls | unexpected Server booksapp/authors
             booksapp/books@10.1.2.3 -> booksapp/a{app=authors} :7001 mtls | unexpected Server booksapp/authors",
        ),
        (
            REFERENCE,
            files(&[
                server("emojivoto/emoji-svc", "port: 8080"),
                server("emojivoto/web-http", "port: 8081"),
                object(
                    "ServerAuthorization",
                    "emojivoto/emoji-grpc",
                    "{server: {selector: {matchLabels: {app: emoji-svc}}}, client: {meshTLS: {
                        identities: ['*.emojivoto.serviceaccount.identity.linkerd.cluster.local']}}}",
                ),
                object(
                    "ServerAuthorization",
                    "emojivoto/web-public",
                    "{server: {name: web-http}, client: {unauthenticated: true, networks: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]}}",
                ),
            ]),
            "emojivoto/any -> emojivoto/e{app=emoji-svc} :8080 mtls | allowed ServerAuthorization emojivoto/emoji-grpc
             other/any -> emojivoto/e{app=emoji-svc} :8080 mtls | unexpected Server emojivoto/emoji-svc
             external@192.0.2.1 -> emojivoto/w{app=web-http} :8081 plain | allowed ServerAuthorization emojivoto/web-public
             external@2001:db8::1 -> emojivoto/w{app=web-http} :8081 plain | allowed ServerAuthorization emojivoto/web-public",
        ),
        (
            FEATURE,
            authors(),
            "node -> booksapp/a{app=authors,probed} :7001 plain | allowed Server booksapp/authors
             node -> booksapp/a{app=authors} :7001 plain | unexpected Server booksapp/authors",
        ),
        (
            REFERENCE,
            files(&[
                server("s/all", "port: 1, accessPolicy: all-unauthenticated"),
                server("s/audit", "port: 1, accessPolicy: audit"),
                server("s/meshed", "port: 1, accessPolicy: all-authenticated"),
                server("s/cluster", "port: 1, accessPolicy: cluster-unauthenticated"),
                server("s/both", "port: 1, accessPolicy: cluster-authenticated"),
                server("s/deny", "port: 1, accessPolicy: deny"),
            ]),
            "external@192.0.2.1 -> s/a{app=all} :1 plain | allowed Server s/all
             a/a -> s/a{app=audit} :1 plain | allowed Server s/audit
             a/a -> s/a{app=meshed} :1 mtls | allowed Server s/meshed
             a/a -> s/a{app=meshed} :1 plain | unexpected Server s/meshed
             a/a -> s/a{app=cluster} :1 plain | allowed Server s/cluster
             external@192.0.2.1 -> s/a{app=cluster} :1 plain | unevaluable Server s/cluster cluster-networks-unknown
             a/a -> s/a{app=both} :1 mtls | allowed Server s/both
             a/a -> s/a{app=both} :1 plain | unexpected Server s/both
             a/a -> s/a{app=deny} :1 mtls | unexpected Server s/deny",
        ),
    ];
    agree(&tables, 50);
}

#[test]
fn what_cannot_be_told_from_flows_or_is_not_there_is_unevaluable() {
    let authors = || server("booksapp/authors", "port: 7001");
    let flow = "booksapp/webapp -> booksapp/a{app=authors} :7001 mtls";
    let account = "{kind: ServiceAccount, name: webapp}";
    let other = "{kind: ServiceAccount, name: other}";
    let route = "group: policy.linkerd.io, kind: HTTPRoute, name: r";
    let allows = |reason: &str| format!("unevaluable booksapp/p {reason}");
    let denied = "unexpected Server booksapp/authors".to_owned();
    let with = |objects: &[String]| files(&[&[authors()], objects].concat());
    let foreign = mesh_tls(
        "booksapp/authors-get-authn",
        "{identities: [webapp.booksapp.serviceaccount.identity.linkerd.example.com]}",
    );
    let newer = policy("booksapp/p", AUTHORS, account).replace("spec: {", "spec: {orbits: [low], ");
    let egress = "group: policy.linkerd.io, kind: EgressNetwork, name: r";
    let rows = [
        (with(&[policy("booksapp/p", route, account)]), allows("route-unseen")),
        (with(&[policy("booksapp/p", route, other)]), denied.clone()),
        (with(&[policy("booksapp/p", "group: g, kind: Moon, name: m", account)]), allows("target-unknown")),
        (with(&[policy("booksapp/p", egress, account)]), denied),
        (with(&[policy("booksapp/p", AUTHORS, BY_MESH)]), allows("authentication-missing")),
        (with(&[policy("booksapp/p", AUTHORS, "{kind: Moon, name: m}")]), allows("authentication-unknown")),
        (with(&[policy("booksapp/p", AUTHORS, BY_MESH), foreign]), allows("trust-domain-unknown")),
        (with(&[newer]), allows("field-unknown")),
        (
            server("booksapp/authors", "port: 7001, accessPolicy: on-full-moon"),
            "unevaluable Server booksapp/authors access-policy-unknown".to_owned(),
        ),
        (
            server("booksapp/authors", "port: 7001, orbits: [low]"),
            "unevaluable Server booksapp/authors field-unknown".to_owned(),
        ),
        // Of machines outside the cluster.
        (
            object("Server", "booksapp/authors", "{externalWorkloadSelector: {}, port: 7001}"),
            "ungoverned".to_owned(),
        ),
        // Nothing is required.
        (with(&[policy("booksapp/p", AUTHORS, "")]), "allowed booksapp/p".to_owned()),
    ];
    for (yaml, expected) in rows {
        let (_, wrong) = differences("", &yaml, &format!("{flow} | {expected}"));
        assert!(wrong.is_empty(), "{wrong:?}\n{yaml}");
    }
}

#[test]
fn a_malformed_object_is_refused_by_key_with_a_way_out() {
    let rows = [
        (object("Server", "s/a", "{port: 80}"), "Server s/a: spec.podSelector: is missing; write {}"),
        (object("Server", "s/a", "{podSelector: {}}"), "Server s/a: spec: missing field `port`"),
        (
            object("Server", "s/a", "{port: 80, podSelector: {matchExpressions: [{key: a, operator: In}]}}"),
            "Server s/a: spec.podSelector: the expression of a: In: give it values",
        ),
        (
            object("AuthorizationPolicy", "s/a", "{targetRef: {kind: Server, name: b}}"),
            "AuthorizationPolicy s/a: spec: missing field `requiredAuthenticationRefs`",
        ),
        (
            policy("s/a", "kind: Server", ""),
            "AuthorizationPolicy s/a: spec.targetRef.name: is missing; name a Server",
        ),
        (mesh_tls("s/a", "{}"), "MeshTLSAuthentication s/a: spec: names nobody; give it identities"),
        (
            object("NetworkAuthentication", "s/a", "{networks: []}"),
            "spec.networks: is empty; give it a network",
        ),
        (
            object("NetworkAuthentication", "s/a", "{networks: [{cidr: 10.0.0.0/8, except: [here]}]}"),
            "NetworkAuthentication s/a: spec.networks[0].except: `here` is no network; write one like",
        ),
        (
            object("ServerAuthorization", "s/a", "{server: {}, client: {unauthenticated: true}}"),
            "ServerAuthorization s/a: spec.server: needs one of name and selector; write one",
        ),
        (
            object("ServerAuthorization", "s/a", "{server: {name: b}, client: {}}"),
            "ServerAuthorization s/a: spec.client: names nobody; give it meshTLS",
        ),
    ];
    for (yaml, expected) in rows {
        let message = refusal(&yaml);
        assert!(message.contains(expected), "{message}\nlacks {expected}");
    }
}
