use super::super::trial::{declare, differences, evaluate, refusal};

/// `[NAMESPACE/]NAME` and the rest of an AuthorizationPolicy, `spec` in flow style.
fn authorization(name: &str, spec: &str) -> String {
    object("AuthorizationPolicy", name, spec)
}

pub(super) fn peer(name: &str, spec: &str) -> String {
    object("PeerAuthentication", name, spec)
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}"
    )
}

/// Tables: page of istio.io, objects, flows with what the page says of them.
pub(super) fn agree(tables: &[(&str, String, &str)], at_least: usize) {
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
fn authorization_policies_mean_what_istio_documents() {
    const REFERENCE: &str = "reference, Authorization Policy";
    const CONCEPTS: &str = "concepts, Security";
    const HTTP: &str = "tasks, HTTP Traffic";
    const TCP: &str = "tasks, TCP Traffic";
    let httpbin = authorization(
        "foo/httpbin",
        "{action: ALLOW, rules: [{
            from: [{source: {principals: [cluster.local/ns/default/sa/sleep]}}, {source: {namespaces: [test]}}],
            to: [{operation: {methods: [GET], paths: ['/info*']}}, {operation: {methods: [POST], paths: [/data]}}],
            when: [{key: 'request.auth.claims[iss]', values: ['https://accounts.google.com']}]}]}",
    );
    let tables = [
        (
            REFERENCE,
            httpbin,
            "default/sleep -> foo/a :80 mtls GET /info verified:https://accounts.google.com,me | allowed foo/httpbin
             default/sleep -> foo/a :80 mtls GET /info/1 verified:https://accounts.google.com,me | allowed foo/httpbin
             test/any -> foo/a :80 mtls POST /data verified:https://accounts.google.com,me | allowed foo/httpbin
             test/any -> foo/a :80 mtls POST /data verified:https://example.com,me | unexpected foo/httpbin
             test/any -> foo/a :80 mtls POST /data | unexpected foo/httpbin
             test/any -> foo/a :80 mtls POST /data present | unevaluable foo/httpbin token-unverified
             test/any -> foo/a :80 mtls POST /info verified:https://accounts.google.com,me | unexpected foo/httpbin
             default/other -> foo/a :80 mtls GET /info verified:https://accounts.google.com,me | unexpected foo/httpbin
             default/sleep -> foo/a :80 mtls | allowed foo/httpbin http-unseen
             default/other -> foo/a :80 mtls | unexpected foo/httpbin
             default/sleep -> bar/a :80 mtls GET /other | ungoverned",
        ),
        (
            REFERENCE,
            authorization(
                "foo/httpbin",
                "{action: DENY, rules: [{from: [{source: {namespaces: [dev]}}], to: [{operation: {methods: [POST]}}]}]}",
            ),
            "dev/a -> foo/a :80 mtls POST / | unexpected foo/httpbin
             dev/a -> foo/a :80 mtls GET / | allowed foo/httpbin
             test/a -> foo/a :80 mtls POST / | allowed foo/httpbin
             dev/a -> foo/a :80 mtls | unevaluable foo/httpbin http-unseen",
        ),
        (
            REFERENCE,
            authorization(
                "foo/httpbin",
                "{action: DENY, rules: [{to: [{operation: {methods: [POST], ports: ['8080']}}]}]}",
            ),
            "a/a -> foo/a :8080 plain POST / | unexpected foo/httpbin
             a/a -> foo/a :8080 plain GET / | allowed foo/httpbin
             a/a -> foo/a :8081 plain | allowed foo/httpbin
             a/a -> foo/a :8080 plain | unevaluable foo/httpbin http-unseen",
        ),
        (REFERENCE, authorization("foo/allow-nothing", "{}"), "a/a -> foo/a :80 mtls | unexpected foo/allow-nothing"),
        (REFERENCE, authorization("foo/allow-all", "{rules: [{}]}"), "a/a -> foo/a :80 plain | allowed foo/allow-all"),
        (
            REFERENCE,
            authorization("bar/allow-nothing", "{selector: {matchLabels: {app: httpbin}}}"),
            "a/a -> bar/a{app=httpbin} :80 mtls | unexpected bar/allow-nothing
             a/a -> bar/a{app=other} :80 mtls | ungoverned
             a/a -> service:bar/a :80 mtls | unevaluable bar/allow-nothing service-backend",
        ),
        (
            // In the root namespace: all namespaces of the mesh.
            REFERENCE,
            authorization("istio-system/allow-nothing", "{selector: {matchLabels: {version: v1}}}"),
            "a/a -> foo/a{version=v1} :80 mtls | unexpected istio-system/allow-nothing
             a/a -> foo/a{version=v2} :80 mtls | ungoverned
             a/a -> foo/a{version=v1,bare} :80 plain | ungoverned",
        ),
        (
            REFERENCE,
            authorization(
                "ns1/anyname",
                "{selector: {matchLabels: {app: myapi}}, action: AUDIT,
                  rules: [{to: [{operation: {methods: [GET], paths: ['/user/profile/*']}}]}]}",
            ),
            "a/a -> ns1/a{app=myapi} :80 plain GET /user/profile/1 | ungoverned",
        ),
        (
            CONCEPTS,
            authorization(
                "foo/httpbin-deny",
                "{selector: {matchLabels: {app: httpbin, version: v1}}, action: DENY,
                  rules: [{from: [{source: {notNamespaces: [foo]}}]}]}",
            ),
            "bar/a -> foo/a{app=httpbin,version=v1} :80 mtls | unexpected foo/httpbin-deny
             foo/b -> foo/a{app=httpbin,version=v1} :80 mtls | allowed foo/httpbin-deny
             foo/b -> foo/a{app=httpbin,version=v1} :80 plain | unexpected foo/httpbin-deny
             foo/b -> foo/a{app=httpbin,version=v1} :80 tls | unevaluable foo/httpbin-deny client-certificate-unseen
             foo/b -> foo/a{app=httpbin,version=v1} :80 unseen | unevaluable foo/httpbin-deny encryption-unknown",
        ),
        (
            CONCEPTS,
            authorization(
                "default/tester",
                "{selector: {matchLabels: {app: products}}, rules: [{to: [{operation: {paths: ['/test/*', '*/info']}}]}]}",
            ),
            "a/a -> default/a{app=products} :80 plain GET /test/1?q=/x | allowed default/tester
             a/a -> default/a{app=products} :80 plain GET /a/info | allowed default/tester
             a/a -> default/a{app=products} :80 plain GET /a/info/b | unexpected default/tester
             a/a -> default/a{app=products} :80 plain GET /test | unexpected default/tester",
        ),
        (
            CONCEPTS,
            authorization(
                "default/disable-jwt-for-healthz",
                "{rules: [{to: [{operation: {notPaths: [/healthz]}}], from: [{source: {requestPrincipals: ['*']}}]}]}",
            ),
            "a/a -> default/a :80 plain GET /b verified:example.com,sub-1 | allowed default/disable-jwt-for-healthz
             a/a -> default/a :80 plain GET /b | unexpected default/disable-jwt-for-healthz",
        ),
        (
            CONCEPTS,
            authorization(
                "default/enable-jwt-for-admin",
                "{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}], from: [{source: {notRequestPrincipals: ['*']}}]}]}",
            ),
            "a/a -> default/a :80 plain GET /admin | unexpected default/enable-jwt-for-admin
             a/a -> default/a :80 plain GET /admin verified:example.com,me | allowed default/enable-jwt-for-admin
             a/a -> default/a :80 plain GET /other | allowed default/enable-jwt-for-admin",
        ),
        (
            // Only authenticated clients.
            CONCEPTS,
            authorization("foo/httpbin", "{rules: [{from: [{source: {principals: ['*']}}]}]}"),
            "a/a -> foo/a :80 mtls | allowed foo/httpbin
             a/a -> foo/a :80 plain | unexpected foo/httpbin
             a/a -> foo/a{bare} :80 plain | unevaluable foo/httpbin outside-mesh
             a/a -> foo/a{ambient} :80 plain | unevaluable foo/httpbin ambient-hop
             external@192.0.2.1 -> foo/a :80 mtls | unevaluable foo/httpbin certificate-unseen
             external@192.0.2.1 -> foo/a :80 plain | unexpected foo/httpbin
             unknown -> foo/a :80 plain | unevaluable foo/httpbin client-unknown",
        ),
        (
            "ambient, L4 policy",
            authorization(
                "ambient-demo/allow-sleep-to-httpbin",
                "{selector: {matchLabels: {app: httpbin}}, rules: [{
                    from: [{source: {principals: [cluster.local/ns/ambient-demo/sa/sleep]}}]}]}",
            ),
            "ambient-demo/sleep -> ambient-demo/a{bare,app=httpbin} :15008 mtls | allowed ambient-demo/allow-sleep-to-httpbin
             foo/sleep -> ambient-demo/a{bare,app=httpbin} :15008 mtls | unexpected ambient-demo/allow-sleep-to-httpbin
             foo/sleep -> ambient-demo/a{bare,app=httpbin} :80 plain | unexpected ambient-demo/allow-sleep-to-httpbin
             ambient-demo/sleep -> ambient-demo/a{bare,app=httpbin} :80 plain | unevaluable ambient-demo/allow-sleep-to-httpbin ambient-hop",
        ),
        (
            CONCEPTS,
            authorization(
                "default/mongodb-policy",
                "{selector: {matchLabels: {app: mongodb}}, rules: [{
                    from: [{source: {principals: [cluster.local/ns/default/sa/bookinfo-ratings-v2]}}],
                    to: [{operation: {ports: ['27017']}}]}]}",
            ),
            "default/bookinfo-ratings-v2 -> default/m{app=mongodb} :27017 mtls | allowed default/mongodb-policy
             default/bookinfo-ratings-v2 -> default/m{app=mongodb} :27018 mtls | unexpected default/mongodb-policy
             default/other -> default/m{app=mongodb} :27017 mtls | unexpected default/mongodb-policy
             default/other -> default/m{app=mongodb} :15008 mtls | unexpected default/mongodb-policy
             default/bookinfo-ratings-v2 -> default/m{app=mongodb} :15008 mtls | unevaluable default/mongodb-policy tunnel",
        ),
        (
            HTTP,
            [
                authorization("default/allow-nothing", "{}"),
                authorization(
                    "default/productpage-viewer",
                    "{selector: {matchLabels: {app: productpage}}, action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}]}]}",
                ),
                authorization(
                    "default/details-viewer",
                    "{selector: {matchLabels: {app: details}}, action: ALLOW, rules: [{
                        from: [{source: {principals: [cluster.local/ns/default/sa/bookinfo-productpage]}}],
                        to: [{operation: {methods: [GET]}}]}]}",
                ),
            ]
            .join("\n---\n"),
            "external@192.0.2.1 -> default/p{app=productpage} :9080 plain GET / | allowed default/productpage-viewer
             default/bookinfo-productpage -> default/d{app=details} :9080 mtls GET /details/0 | allowed default/details-viewer
             default/bookinfo-productpage -> default/r{app=reviews} :9080 mtls GET /reviews/0 | unexpected default/allow-nothing
             default/other -> default/d{app=details} :9080 mtls GET /details/0 | unexpected default/allow-nothing",
        ),
        (
            TCP,
            authorization(
                "foo/tcp-policy",
                "{selector: {matchLabels: {app: tcp-echo}}, action: ALLOW, rules: [{to: [{operation: {ports: ['9000', '9001']}}]}]}",
            ),
            "foo/sleep -> foo/tcp-echo{app=tcp-echo} :9000 mtls | allowed foo/tcp-policy
             foo/sleep -> foo/tcp-echo{app=tcp-echo} :9001 mtls | allowed foo/tcp-policy
             foo/sleep -> foo/tcp-echo{app=tcp-echo} :9002 mtls | unexpected foo/tcp-policy",
        ),
        (
            // Of port 9000 the page says: denied, for it is not HTTP. That is not seen of an encrypted flow.
            TCP,
            authorization(
                "foo/tcp-policy",
                "{action: DENY, rules: [{to: [{operation: {methods: [GET], ports: ['9000']}}]}]}",
            ),
            "foo/sleep -> foo/tcp-echo :9000 mtls | unevaluable foo/tcp-policy http-unseen
             foo/sleep -> foo/tcp-echo :9001 mtls | allowed foo/tcp-policy",
        ),
        (
            "tasks, Dry Run",
            authorization("foo/deny-path-headers", "{action: DENY, rules: [{to: [{operation: {paths: [/headers]}}]}]}")
                .replace("namespace: foo", "namespace: foo, annotations: {istio.io/dry-run: 'true'}"),
            "foo/sleep -> foo/httpbin :80 plain GET /headers | ungoverned",
        ),
    ];
    agree(&tables, 25);
}

#[test]
fn custom_goes_before_deny_and_deny_before_allow() {
    // Reference, Authorization Policy: the order of actions.
    let yaml = [
        authorization("foo/a-allow", "{rules: [{to: [{operation: {ports: ['80', '81', '82']}}]}]}"),
        authorization("foo/b-deny", "{action: DENY, rules: [{to: [{operation: {ports: ['81']}}]}]}"),
        authorization(
            "foo/c-custom",
            "{action: CUSTOM, provider: {name: my-custom-authz}, rules: [{to: [{operation: {ports: ['82', '83']}}]}]}",
        ),
    ]
    .join("\n---\n");
    let rows = "a/a -> foo/a :80 mtls | allowed foo/a-allow
                a/a -> foo/a :81 mtls | unexpected foo/b-deny
                a/a -> foo/a :82 mtls | unevaluable foo/c-custom external-authorization
                a/a -> foo/a :83 mtls | unexpected foo/a-allow
                a/a -> foo/a :84 mtls | unexpected foo/a-allow";
    agree(&[("reference, Authorization Policy", yaml, rows)], 5);
}

#[test]
fn each_field_is_asked_or_says_why_it_cannot_be() {
    let rule = |rule: &str| authorization("foo/p", &format!("{{rules: [{rule}]}}"));
    let from = |source: &str| rule(&format!("{{from: [{{source: {source}}}]}}"));
    let to = |operation: &str| rule(&format!("{{to: [{{operation: {operation}}}]}}"));
    let when = |condition: &str| rule(&format!("{{when: [{condition}]}}"));
    const SOURCE: &str = "reference, Source";
    const OPERATION: &str = "reference, Operation";
    const CONDITIONS: &str = "reference, Authorization Policy Conditions";
    let tables = [
        (
            SOURCE,
            from("{principals: ['*/sa/web', 'cluster.local/ns/dev/*']}"),
            "any/web -> foo/a :80 mtls | allowed foo/p
             dev/other -> foo/a :80 mtls | allowed foo/p
             develop/other -> foo/a :80 mtls | unexpected foo/p",
        ),
        (
            // Another trust domain may be the mesh's own.
            SOURCE,
            from("{principals: [td1/ns/dev/sa/web]}"),
            "dev/web -> foo/a :80 mtls | unevaluable foo/p trust-domain-unknown
             dev/other -> foo/a :80 mtls | unexpected foo/p",
        ),
        (
            SOURCE,
            from("{notPrincipals: [cluster.local/ns/dev/sa/web]}"),
            "dev/web -> foo/a :80 mtls | unexpected foo/p
             dev/other -> foo/a :80 mtls | allowed foo/p
             dev/web -> foo/a :80 plain | allowed foo/p",
        ),
        (
            SOURCE,
            from("{serviceAccounts: [web, dev/web]}"),
            "foo/web -> foo/a :80 mtls | allowed foo/p
             dev/web -> foo/a :80 mtls | allowed foo/p
             bar/web -> foo/a :80 mtls | unexpected foo/p",
        ),
        (
            SOURCE,
            from("{notServiceAccounts: [web]}"),
            "foo/web -> foo/a :80 mtls | unexpected foo/p
             bar/web -> foo/a :80 mtls | allowed foo/p",
        ),
        (
            SOURCE,
            from("{ipBlocks: [203.0.113.0/24, 10.244.0.7], notIpBlocks: [203.0.113.4]}"),
            "external@203.0.113.5 -> foo/a :80 plain | allowed foo/p
             external@203.0.113.4 -> foo/a :80 plain | unexpected foo/p
             a/a@10.244.0.7 -> foo/a :80 plain | allowed foo/p
             external@::ffff:203.0.113.5 -> foo/a :80 plain | allowed foo/p",
        ),
        (
            SOURCE,
            from("{namespaces: ['prod-*']}"),
            "prod-1/a -> foo/a :80 mtls | allowed foo/p
             prod/a -> foo/a :80 mtls | unexpected foo/p",
        ),
        (
            SOURCE,
            from("{remoteIpBlocks: [203.0.113.0/24]}"),
            "a/a -> foo/a :80 plain | unevaluable foo/p forwarded-for-unseen",
        ),
        (
            SOURCE,
            from("{requestPrincipals: ['https://example.com/*']}"),
            "a/a -> foo/a :80 plain GET / verified:https://example.com,sub-1 | allowed foo/p
             a/a -> foo/a :80 plain GET / verified:https://other.com,sub-1 | unexpected foo/p
             a/a -> foo/a :80 plain | allowed foo/p http-unseen",
        ),
        (
            OPERATION,
            to("{hosts: ['*.example.com'], methods: [GET, HEAD], notPaths: ['/admin*']}"),
            "a/a -> foo/a :80 plain GET /info | unevaluable foo/p host-unseen
             a/a -> foo/a :80 plain GET /admin/1 | unexpected foo/p
             a/a -> foo/a :80 plain PUT /info | unexpected foo/p",
        ),
        (
            OPERATION,
            to("{notPorts: ['8080'], notMethods: [DELETE]}"),
            "a/a -> foo/a :80 plain GET / | allowed foo/p
             a/a -> foo/a :80 plain DELETE / | unexpected foo/p
             a/a -> foo/a :8080 plain GET / | unexpected foo/p",
        ),
        (
            // The pages' own examples of templates.
            OPERATION,
            to("{paths: ['/foo/{*}', '/x/{**}/', '/foo/{*}/bar/{**}']}"),
            "a/a -> foo/a :80 plain GET /foo/bar | allowed foo/p
             a/a -> foo/a :80 plain GET /foo/bar/baz | unexpected foo/p
             a/a -> foo/a :80 plain GET /x/bar/ | allowed foo/p
             a/a -> foo/a :80 plain GET /x// | allowed foo/p
             a/a -> foo/a :80 plain GET /x/bar | unexpected foo/p
             a/a -> foo/a :80 plain GET /foo/buzz/bar/ | allowed foo/p
             a/a -> foo/a :80 plain GET /foo/buzz/bar/baz | allowed foo/p",
        ),
        (
            CONDITIONS,
            when("{key: source.namespace, values: [default]}"),
            "default/a -> foo/a :80 mtls | allowed foo/p
             other/a -> foo/a :80 mtls | unexpected foo/p",
        ),
        (
            CONDITIONS,
            when("{key: destination.port, values: ['80', '443']}, {key: source.ip, notValues: [10.1.2.3]}"),
            "a/a -> foo/a :443 plain | allowed foo/p
             a/a@10.1.2.3 -> foo/a :443 plain | unexpected foo/p
             a/a -> foo/a :8443 plain | unexpected foo/p",
        ),
        (
            CONDITIONS,
            when("{key: source.principal, values: [cluster.local/ns/default/sa/productpage]}"),
            "default/productpage -> foo/a :80 mtls | allowed foo/p",
        ),
        (
            CONDITIONS,
            when("{key: request.auth.audiences, values: [my-svc.com]}"),
            "a/a -> foo/a :80 plain GET / verified:i,s,my-svc.com | allowed foo/p
             a/a -> foo/a :80 plain GET / verified:i,s,other | unexpected foo/p",
        ),
        (
            CONDITIONS,
            when("{key: 'request.headers[User-Agent]', values: ['Mozilla/*']}"),
            "a/a -> foo/a :80 plain GET / | unevaluable foo/p condition-unseen",
        ),
        (
            CONDITIONS,
            when("{key: connection.sni, values: [www.example.com]}"),
            "a/a -> foo/a :80 tls | unevaluable foo/p condition-unseen",
        ),
    ];
    agree(&tables, 25);
}

#[test]
fn policies_of_gateways_and_waypoints_are_unevaluable_where_they_may_count() {
    let to = |kind: &str| {
        authorization("foo/p", &format!("{{targetRefs: [{{kind: {kind}, name: waypoint}}], rules: [{{}}]}}"))
    };
    let gateway = "a/a -> foo/a :80 mtls | ungoverned
         a/a -> foo/a{gateway.networking.k8s.io/gateway-name=waypoint} :15008 mtls | unevaluable foo/p waypoint";
    let service = "a/a -> foo/a :80 mtls | unevaluable foo/p waypoint
         a/a -> bar/a :80 mtls | ungoverned";
    let tables = [
        ("ambient, L4 policy, attachment", to("Gateway"), gateway),
        ("ambient, L4 policy, attachment", to("Service"), service),
        ("ambient, L4 policy, attachment", to("ServiceEntry"), "a/a -> foo/a :80 mtls | ungoverned"),
    ];
    agree(&tables, 5);
}

#[test]
fn what_a_newer_version_says_is_unevaluable() {
    let tables = [
        (
            "action",
            authorization("foo/p", "{action: LIMIT, rules: [{}]}"),
            "a/a -> foo/a :80 mtls | unevaluable foo/p action-unknown",
        ),
        (
            "source",
            authorization("foo/p", "{rules: [{from: [{source: {moons: [full], namespaces: [dev]}}]}]}"),
            "dev/a -> foo/a :80 mtls | unevaluable foo/p field-unknown
             a/a -> foo/a :80 mtls | unexpected foo/p",
        ),
        (
            "spec",
            authorization("foo/p", "{orbits: [low], rules: [{to: [{operation: {ports: ['80']}}]}]}"),
            "a/a -> foo/a :80 mtls | unevaluable foo/p field-unknown
             a/a -> foo/a :81 mtls | unevaluable foo/p field-unknown",
        ),
        (
            "spec of a DENY",
            authorization("foo/p", "{orbits: [low], action: DENY, rules: [{}]}"),
            "a/a -> foo/a :80 mtls | unevaluable foo/p field-unknown",
        ),
    ];
    agree(&tables, 6);
}

#[test]
fn a_malformed_object_is_refused_by_key_with_a_way_out() {
    let rule = |rule: &str| authorization("foo/p", &format!("{{rules: [{rule}]}}"));
    let rows = [
        (
            rule("{to: [{operation: {ports: [http]}}]}"),
            "spec.rules[0].to[0].operation.ports: `http` is no port; write a number",
        ),
        (
            rule("{}, {from: [{source: {ipBlocks: [here]}}]}"),
            "spec.rules[1].from[0].source.ipBlocks: `here` is no address; write",
        ),
        (
            rule("{when: [{key: destination.port, notValues: [x]}]}"),
            "spec.rules[0].when[0].notValues: `x` is no port; write",
        ),
        (
            rule("{to: [{operation: {paths: ['/a/{b}']}}]}"),
            "spec.rules[0].to[0].operation.paths: `/a/{b}` is no template; write {*}",
        ),
        (rule("{to: [{operation: {paths: ['/a/{**}/{*}']}}]}"), "is no template; write {*}"),
        (rule("{to: [{operation: {paths: ['/a/{*}.jpg']}}]}"), "is no template; write {*}"),
        (rule("{from: {}}"), "spec.rules[0].from: invalid type"),
        (authorization("foo/p", "{rules: 3}"), "spec.rules: invalid type"),
        (
            peer("foo/p", "{portLevelMtls: {http: {mode: STRICT}}}"),
            "spec.portLevelMtls: `http` is no port; write a number",
        ),
        (peer("foo/p", "{mtls: STRICT}"), "spec.mtls: invalid type"),
    ];
    for (yaml, expected) in rows {
        let message = refusal(&yaml);
        assert!(
            message.contains("Policy foo/p: ") || message.contains("PeerAuthentication foo/p: "),
            "{message}"
        );
        assert!(message.contains(expected), "{message}\nlacks {expected}");
    }
}

#[test]
fn the_clause_that_decided_is_told() {
    let graph = declare(&authorization(
        "foo/p",
        "{rules: [{to: [{operation: {ports: ['80']}}]}, {to: [{operation: {ports: ['81']}}]}]}",
    ));
    let graph = graph.unwrap();
    let clause = |flow| evaluate(&graph, flow).clause.as_deref().map(str::to_owned);
    assert_eq!(clause("a/a -> foo/a :81 mtls").as_deref(), Some("spec.rules[1]"));
    assert_eq!(clause("a/a -> foo/a :82 mtls"), None);
    let strict = declare(&peer("foo/p", "{mtls: {mode: STRICT}}")).unwrap();
    let declaration = evaluate(&strict, "a/a -> foo/a :80 plain");
    assert_eq!(declaration.clause.as_deref(), Some("spec.mtls"));
}
