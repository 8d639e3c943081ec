//! The observer's own kind of object, as a real kube-apiserver and a person's kubectl know it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_deployment::Session;
use serde_json::{Value, json};

const GRAPHS: &str = "/apis/observer.dev/v1alpha1/namespaces/shop/servicegraphs";

/// A cluster that has the chart's CRD and a namespace.
fn session() -> Result<Session> {
    let session = Session::start()?;
    for line in [
        "kubectl apply --server-side --filename deploy/helm/crds",
        "kubectl wait --for condition=Established --timeout 30s crd servicegraphs.observer.dev",
    ] {
        let output = session.run(line)?;
        ensure!(output.status.success(), "{output:?}");
    }
    for namespace in ["shop", "monitoring"] {
        session.cluster().namespace(namespace)?;
    }
    Ok(session)
}

fn graph(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "observer.dev/v1alpha1", "kind": "ServiceGraph",
        "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
    })
}

/// What kubectl answers to `kubectl apply` of this object, and whether it was taken.
fn apply(session: &Session, object: &str) -> Result<(bool, String)> {
    let output = session.run(&format!("kubectl apply --filename - <<'END'\n{object}\nEND"))?;
    let said = if output.status.success() { &output.stdout } else { &output.stderr };
    Ok((output.status.success(), String::from_utf8_lossy(said).into_owned()))
}

/// Specs that make no sense, and what is said of them: where, and what to do about it.
fn invalid() -> Vec<(Value, &'static [&'static str])> {
    let edge = |edge: Value| json!({"edges": [edge]});
    let call = |more: Value| {
        let mut call = json!({"from": {"serviceAccount": "orders"}, "to": {"serviceAccount": "payments"}});
        for (key, value) in more.as_object().into_iter().flatten() {
            call[key] = value.clone();
        }
        json!({"edges": [call]})
    };
    let except = |exception: Value| json!({"governs": "namespace", "exceptions": [exception]});
    let to = json!({"serviceAccount": "payments"});
    vec![
        (json!({}), &["a graph without edges names nobody", "`governs: namespace`"]),
        (json!({"edges": []}), &["a graph without edges names nobody"]),
        (json!({"governs": "everything"}), &["spec.governs", "supported values: \"listed\", \"namespace\""]),
        (json!({"governs": "namespace", "edge": []}), &["unknown field \"spec.edge\""]),
        (edge(json!({"to": to})), &["spec.edges[0].from: Required value"]),
        (edge(json!({"from": {"serviceAccount": "orders"}})), &["spec.edges[0].to: Required value"]),
        (
            edge(json!({"from": {}, "to": to})),
            &["spec.edges[0].from", "must be one of {serviceAccount, namespace}"],
        ),
        (edge(json!({"from": "*", "to": to})), &["spec.edges[0].from", "must be of type object"]),
        (
            edge(json!({"from": {"serviceAccount": "a", "cidr": "192.0.2.0/24"}, "to": to})),
            &["spec.edges[0].from", "must be one of"],
        ),
        (edge(json!({"from": {"node": false}, "to": to})), &["spec.edges[0].from", "must be one of"]),
        (
            edge(json!({"from": {"namespace": "monitoring", "external": true}, "to": to})),
            &["spec.edges[0].from", "`namespace` goes with `serviceAccount`"],
        ),
        (edge(json!({"from": {"cidr": "192.0.2.0"}, "to": to})), &["spec.edges[0].from.cidr"]),
        (edge(json!({"from": {"cidr": "the office"}, "to": to})), &["spec.edges[0].from.cidr"]),
        (edge(json!({"from": {"serviceAccount": ""}, "to": to})), &["spec.edges[0].from.serviceAccount"]),
        (edge(json!({"from": {"user": "x"}, "to": to})), &["unknown field \"spec.edges[0].from.user\""]),
        (
            edge(json!({"from": {"serviceAccount": "a"}, "to": {}})),
            &["spec.edges[0].to", "must be one of {serviceAccount}, {cidr}"],
        ),
        (
            edge(json!({"from": {"anybody": true}, "to": {"external": true}})),
            &["spec.edges[0]", "where `to` is outside of the cluster"],
        ),
        (
            edge(json!({"from": {"serviceAccount": "a"}, "to": {"serviceAccount": "b", "external": true}})),
            &["spec.edges[0].to", "must be one of"],
        ),
        (call(json!({"ports": [0]})), &["spec.edges[0].ports[0]", "greater than or equal to 1"]),
        (call(json!({"ports": [65536]})), &["spec.edges[0].ports[0]", "less than or equal to 65535"]),
        (call(json!({"ports": ["http"]})), &["spec.edges[0].ports[0]", "must be of type integer"]),
        (call(json!({"http": [{"pathPrefix": "charge"}]})), &["spec.edges[0].http[0].pathPrefix", "'^/'"]),
        (
            call(json!({"encryption": "none"})),
            &["spec.edges[0].encryption", "\"optional\", \"required\", \"mtls\""],
        ),
        (
            call(json!({"authentication": "maybe"})),
            &["spec.edges[0].authentication", "\"optional\", \"required\", \"verified\""],
        ),
        (call(json!({"audiences": [""]})), &["spec.edges[0].audiences[0]"]),
        (except(json!({"finding": "unencrypted"})), &["spec.exceptions[0].reason: Required value"]),
        (
            except(json!({"finding": "unencrypted", "reason": "x", "until": "tomorrow"})),
            &["spec.exceptions[0].until"],
        ),
    ]
}

#[test]
fn the_graphs_that_pages_show_are_taken() -> Result<()> {
    let session = session()?;
    let mut taken = 0;
    for page in ["README.md", "docs/graphs.md", "docs/findings.md"] {
        let text = std::fs::read_to_string(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page),
        )?;
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)) {
            if block.contains("kind: ServiceGraph") {
                let (fine, said) = apply(&session, block)?;
                ensure!(fine, "{page}: {said}\n{block}");
                taken += 1;
            }
        }
    }
    ensure!(taken > 1, "{taken} graphs");
    Ok(())
}

#[test]
fn a_graph_that_makes_no_sense_is_refused_with_the_field_and_the_way_out() -> Result<()> {
    let session = session()?;
    let mut wrong = String::new();
    for (spec, expected) in invalid() {
        let (taken, said) = apply(&session, &graph("wrong", &spec).to_string())?;
        let lacks: Vec<&&str> = expected.iter().filter(|text| !said.contains(**text)).collect();
        if taken || !lacks.is_empty() {
            wrong.push_str(&format!("{spec}: taken: {taken}, lacks {lacks:?}: {said}\n"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

#[test]
fn defaults_are_filled_in_and_a_status_is_written_apart() -> Result<()> {
    let session = session()?;
    let cluster = session.cluster();
    let spec =
        json!({"edges": [{"from": {"serviceAccount": "orders"}, "to": {"serviceAccount": "payments"}}]});
    let stored = cluster.create(GRAPHS, &graph("shop", &spec))?;
    assert_eq!(
        stored["spec"],
        json!({
            "governs": "listed", "exceptions": [],
            "edges": [{
                "from": {"serviceAccount": "orders"}, "to": {"serviceAccount": "payments"},
                "ports": [], "http": [], "encryption": "required", "authentication": "required", "audiences": [],
            }],
        })
    );
    let status = json!({"status": {"observedGeneration": 1, "edges": 1, "conditions": [{
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    let after = cluster.patch(&format!("{GRAPHS}/shop/status"), &status)?;
    assert_eq!(after["status"]["edges"], 1);
    assert_eq!(after["metadata"]["generation"], 1, "a status is no change of the graph");
    for (line, wanted) in [
        ("kubectl get servicegraphs --namespace shop", ["GOVERNS", "EDGES", "ACCEPTED", "AGE"]),
        ("kubectl get sg --namespace shop", ["shop", "listed", "1", "True"]),
        ("kubectl get observer --namespace shop", ["shop", "listed", "1", "True"]),
    ] {
        let output = session.run(line)?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(
            wanted.iter().all(|word| said.split_whitespace().any(|there| there == *word)),
            "{line}: {said}"
        );
    }
    Ok(())
}

#[test]
fn kubectl_explain_tells_what_each_field_is_for() -> Result<()> {
    let session = session()?;
    for (field, texts) in [
        ("servicegraph", ["Which calls of the services of a namespace are meant to be", "status"]),
        ("servicegraph.spec.governs", ["Whom the graph speaks for", "ENUM: listed namespace"]),
        (
            "servicegraph.spec.edges.from",
            ["exactly one of `serviceAccount`", "Anybody whose identity is known"],
        ),
        ("servicegraph.spec.edges.http.pathPrefix", ["Ends at a segment's boundary", "<string>"]),
        ("sg.status.conditions", ["whether the graph is in force", "lastTransitionTime"]),
    ] {
        // The API server describes a new kind a moment after it takes its objects.
        let deadline = Instant::now() + Duration::from_secs(30);
        let output = loop {
            let output = session.run(&format!("kubectl explain {field}"))?;
            if output.status.success() {
                break output;
            }
            ensure!(Instant::now() < deadline, "{output:?}");
            std::thread::sleep(Duration::from_millis(500));
        };
        // It breaks lines at 80 columns.
        let said: Vec<String> =
            String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect();
        let said = said.join(" ");
        for text in texts {
            ensure!(said.contains(text), "{field}: no {text:?} in {said}");
        }
    }
    Ok(())
}
