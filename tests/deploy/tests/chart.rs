//! What the chart asks of a cluster, for several settings of its values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use observer_deployment::{Image, Rendered, VALUES, helm, objects_in, refusal, render};
use observer_integration::Directory;
use serde_json::{Value, json};

/// What the chart sets itself, so that nobody else may.
const OWN_KEYS: [&str; 4] = ["cgroup_root", "listen", "node_name", "socket"];

fn words(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn helm_lint_finds_nothing_to_mend() -> Result<()> {
    for values in VALUES {
        let mut arguments = vec!["lint", "--strict", "deploy/helm"];
        arguments.extend(values.iter().flat_map(|value| ["--set", value]));
        let output = helm(&arguments)?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && said.contains("0 chart(s) failed"), "{values:?}: {said}");
        ensure!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{values:?}: {said}");
    }
    Ok(())
}

#[test]
fn the_pod_gets_three_capabilities_and_the_cgroup_root_of_the_host_and_no_more() -> Result<()> {
    let chart = render(&[])?;
    let (pod, container) = (chart.pod()?, chart.container()?);
    let security = &container["securityContext"];
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(words(&security["capabilities"]["add"]), BTreeSet::from(["BPF", "NET_ADMIN", "PERFMON"]));
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}));
    assert!(security.get("privileged").is_none());
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(host).is_none_or(|value| value == false), "{host}");
    }
    let volumes: Vec<&Value> = pod["volumes"].as_array().into_iter().flatten().collect();
    let hosts: Vec<_> = volumes.iter().filter_map(|volume| volume.get("hostPath")).collect();
    assert_eq!(hosts, [&json!({"path": "/sys/fs/cgroup", "type": "Directory"})]);
    let mounts = container["volumeMounts"].as_array().context("no mounts")?;
    let cgroup = mounts.iter().find(|mount| mount["name"] == "cgroup").context("no cgroup mount")?;
    assert_eq!(cgroup["readOnly"], true);
    assert!(
        chart.config()?.contains(&format!("cgroup_root: {}", cgroup["mountPath"].as_str().unwrap_or("?")))
    );
    Ok(())
}

#[test]
fn privileged_replaces_the_capabilities() -> Result<()> {
    let chart = render(&["privileged=true"])?;
    let security = &chart.container()?["securityContext"];
    assert_eq!(security["privileged"], true);
    // The API server refuses it beside `privileged`.
    assert!(security.get("allowPrivilegeEscalation").is_none());
    assert!(security.get("capabilities").is_none() && security.get("seccompProfile").is_none());
    Ok(())
}

#[test]
fn it_runs_on_every_linux_node_before_others_and_knows_which() -> Result<()> {
    let chart = render(&[])?;
    let pod = chart.pod()?;
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    let name = json!({"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
    assert_eq!(chart.container()?["env"], json!([name]));
    Ok(())
}

#[test]
fn the_rights_are_to_read_and_to_write_a_status_and_never_secrets() -> Result<()> {
    for values in VALUES {
        let chart = render(values)?;
        let graphs = !values.contains(&"rbac.graph.serviceGraph=false");
        if values.contains(&"rbac.create=false") {
            for kind in ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] {
                ensure!(!chart.has(kind), "{values:?}: {kind}");
            }
            continue;
        }
        let rules = chart.one("ClusterRole")?["rules"].as_array().context("no rules")?;
        for rule in rules {
            let resources = words(&rule["resources"]);
            let verbs = match resources.contains("servicegraphs/status") {
                true => BTreeSet::from(["patch"]),
                false => BTreeSet::from(["list", "watch"]),
            };
            assert_eq!(words(&rule["verbs"]), verbs, "{values:?}");
            for resource in resources {
                ensure!(!resource.contains("secrets") && !resource.contains('*'), "{values:?}: {resource}");
            }
            ensure!(!words(&rule["apiGroups"]).contains("*"), "{values:?}: {rule}");
        }
        let resources: BTreeSet<_> = rules.iter().flat_map(|rule| words(&rule["resources"])).collect();
        let optional = !values.contains(&"rbac.posture=false");
        assert_eq!(resources.contains("ciliumnodes"), optional, "{values:?}");
        assert_eq!(resources.contains("clusterrolebindings"), optional, "{values:?}");
        let cilium = !values.contains(&"rbac.graph.cilium=false");
        assert_eq!(resources.contains("ciliumnetworkpolicies"), cilium, "{values:?}");
        assert_eq!(resources.contains("servicegraphs/status"), graphs, "{values:?}");
        for always in ["pods", "services", "nodes", "namespaces", "serviceaccounts", "endpointslices"] {
            ensure!(resources.contains(always), "{values:?}: no {always}");
        }
        assert_eq!((chart.has("Role"), chart.has("RoleBinding")), (graphs, graphs), "{values:?}");
        if graphs {
            let rules = chart.one("Role")?["rules"].as_array().context("no rules")?;
            for rule in rules {
                assert_eq!(words(&rule["resources"]), BTreeSet::from(["leases"]), "{values:?}");
                let creates = words(&rule["verbs"]) == BTreeSet::from(["create"]);
                ensure!(creates || rule["resourceNames"] == json!(["observer-status"]), "{rule}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_may_not_be_read_is_not_asked_for() -> Result<()> {
    ensure!(!render(&[])?.config()?.contains("graph_sources"), "all are asked for by default");
    let some = render(&["rbac.graph.cilium=false", "rbac.graph.serviceGraph=false"])?;
    let config: Value = serde_saphyr::from_str(some.config()?)?;
    assert_eq!(config["graph_sources"], json!(["networkpolicy", "istio", "linkerd"]));
    let said = render(&["rbac.graph.cilium=false", "config.graph_sources={cilium}"])?;
    let config: Value = serde_saphyr::from_str(said.config()?)?;
    assert_eq!(config["graph_sources"], json!(["cilium"]), "what is said wins");
    Ok(())
}

#[test]
fn what_names_one_another_agrees() -> Result<()> {
    for values in VALUES {
        let chart = render(values)?;
        let daemon_set = chart.one("DaemonSet")?;
        let labels = &daemon_set["spec"]["template"]["metadata"]["labels"];
        let selects = |selector: &Value| {
            selector.as_object().is_some_and(|set| set.iter().all(|(name, value)| labels[name] == *value))
        };
        ensure!(selects(&daemon_set["spec"]["selector"]["matchLabels"]), "{values:?}");
        let account = &chart.pod()?["serviceAccountName"];
        if chart.has("ServiceAccount") {
            assert_eq!(chart.one("ServiceAccount")?["metadata"]["name"], *account, "{values:?}");
        }
        if chart.has("ClusterRoleBinding") {
            let binding = chart.one("ClusterRoleBinding")?;
            assert_eq!(binding["subjects"][0]["name"], *account, "{values:?}");
            assert_eq!(
                binding["roleRef"]["name"],
                chart.one("ClusterRole")?["metadata"]["name"],
                "{values:?}"
            );
        }
        if chart.has("RoleBinding") {
            let binding = chart.one("RoleBinding")?;
            assert_eq!(binding["subjects"][0]["name"], *account, "{values:?}");
            assert_eq!(binding["roleRef"]["name"], chart.one("Role")?["metadata"]["name"], "{values:?}");
        }
        if chart.has("Service") {
            ensure!(selects(&chart.one("Service")?["spec"]["selector"]), "{values:?}");
        }
        let port = &chart.container()?["ports"][0];
        assert_eq!(port["name"], "metrics");
        let listen = format!(":{}", port["containerPort"]);
        ensure!(
            chart
                .config()?
                .lines()
                .any(|line| line.ends_with(&listen) || line.ends_with(&format!("{listen}'"))),
            "{}",
            chart.config()?
        );
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(chart.container()?[probe]["httpGet"]["port"], "metrics", "{values:?}");
        }
        let config = &daemon_set["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"];
        assert_eq!(chart.config_map()?["metadata"]["name"], *config, "{values:?}");
        for object in chart.objects() {
            let cluster_wide =
                ["Namespace", "ClusterRole", "ClusterRoleBinding"].iter().any(|kind| object["kind"] == *kind);
            assert_eq!(object["metadata"].get("namespace").is_some(), !cluster_wide, "{values:?}: {object}");
        }
    }
    Ok(())
}

#[test]
fn a_changed_configuration_starts_the_pods_anew() -> Result<()> {
    let checksum = |values: &[&str]| -> Result<Value> {
        let chart = render(values)?;
        Ok(chart.one("DaemonSet")?["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone())
    };
    assert_eq!(checksum(&[])?, checksum(&["podAnnotations.a=b"])?);
    assert_ne!(checksum(&[])?, checksum(&["config.output=none"])?);
    Ok(())
}

#[test]
fn monitors_of_the_prometheus_operator_are_off_until_asked_for() -> Result<()> {
    let plain = render(&[])?;
    ensure!(!plain.has("PodMonitor") && !plain.has("ServiceMonitor"));
    let pods = render(&["metrics.podMonitor.enabled=true", "metrics.podMonitor.labels.release=prometheus"])?;
    let monitor = pods.one("PodMonitor")?;
    // By which the alerts name a daemon.
    let node = json!({
        "action": "replace", "sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"
    });
    assert_eq!(
        monitor["spec"]["podMetricsEndpoints"],
        json!([{"port": "metrics", "interval": "30s", "relabelings": [node]}])
    );
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let services = render(&[
        "metrics.serviceMonitor.enabled=true",
        "metrics.serviceMonitor.interval=5s",
        "metrics.serviceMonitor.relabelings[0].targetLabel=team",
        "metrics.serviceMonitor.relabelings[0].replacement=shop",
    ])?;
    let own = json!({"targetLabel": "team", "replacement": "shop"});
    assert_eq!(
        services.one("ServiceMonitor")?["spec"]["endpoints"],
        json!([{"port": "metrics", "interval": "5s", "relabelings": [node, own]}])
    );
    let said = refusal(&["metrics.serviceMonitor.enabled=true", "metrics.service.enabled=false"])?;
    ensure!(said.contains("metrics.serviceMonitor.enabled needs metrics.service.enabled"), "{said}");
    Ok(())
}

/// The rules of all groups.
fn rules(groups: &Value) -> Vec<Value> {
    let groups = groups.as_array().into_iter().flatten();
    groups.flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
}

#[test]
fn the_prometheus_rule_holds_what_deploy_prometheus_does_word_for_word() -> Result<()> {
    ensure!(!render(&[])?.has("PrometheusRule"));
    let chart =
        render(&["metrics.prometheusRule.enabled=true", "metrics.prometheusRule.labels.release=prometheus"])?;
    let rule = chart.one("PrometheusRule")?;
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    let mut groups = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus");
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("_test.yaml") {
            continue;
        }
        for file in objects_in(&std::fs::read_to_string(&path)?)? {
            groups.extend(file["groups"].as_array().context("no groups")?.clone());
        }
    }
    let by_name = |groups: &[Value]| -> BTreeMap<String, Value> {
        groups.iter().map(|group| (group["name"].to_string(), group.clone())).collect()
    };
    let of_chart = rule["spec"]["groups"].as_array().context("no groups")?;
    ensure!(groups.len() > 3 && groups.len() == of_chart.len());
    assert_eq!(by_name(of_chart), by_name(&groups));
    Ok(())
}

#[test]
fn an_alert_can_be_left_out_and_the_runbooks_can_be_elsewhere() -> Result<()> {
    let enabled = "metrics.prometheusRule.enabled=true";
    let all = rules(&render(&[enabled])?.one("PrometheusRule")?["spec"]["groups"]);
    let chart = render(&[
        enabled,
        "metrics.prometheusRule.disabled={ObserverUnencrypted}",
        "metrics.prometheusRule.runbookUrl=https://wiki.example.org/observer/",
    ])?;
    let fewer = rules(&chart.one("PrometheusRule")?["spec"]["groups"]);
    assert_eq!(fewer.len() + 1, all.len());
    ensure!(!fewer.iter().any(|rule| rule["alert"] == "ObserverUnencrypted"));
    for rule in fewer.iter().filter(|rule| rule.get("alert").is_some()) {
        let name = rule["alert"].as_str().context("no name")?;
        let expected = format!("https://wiki.example.org/observer/{name}.md");
        assert_eq!(rule["annotations"]["runbook_url"], expected);
    }
    let said = refusal(&[enabled, "metrics.prometheusRule.disabled={Unencrypted}"])?;
    ensure!(said.contains("there is no alert Unencrypted; there are: ObserverAbsent"), "{said}");
    Ok(())
}

/// The ConfigMaps that Grafana's sidecar would take.
fn dashboards(chart: &Rendered, label: &str, value: &str) -> BTreeMap<String, Value> {
    let labelled = chart.objects().iter().filter(|object| object["metadata"]["labels"][label] == value);
    labelled.map(|object| (object["metadata"]["name"].to_string(), object.clone())).collect()
}

#[test]
fn each_dashboard_of_deploy_grafana_is_a_config_map_that_a_sidecar_finds_word_for_word() -> Result<()> {
    let plain = render(&[])?;
    ensure!(plain.objects().iter().filter(|object| object["kind"] == "ConfigMap").count() == 1);
    let chart = render(&["dashboards.enabled=true", "dashboards.annotations.grafana_folder=Observer"])?;
    let mut found = BTreeMap::new();
    for map in dashboards(&chart, "grafana_dashboard", "1").values() {
        assert_eq!(map["kind"], "ConfigMap");
        assert_eq!(map["metadata"]["annotations"], json!({"grafana_folder": "Observer"}));
        for (file, text) in map["data"].as_object().context("no data")? {
            found.insert(file.clone(), text.as_str().context("no text")?.to_owned());
        }
    }
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
        files.insert(format!("observer-{name}"), std::fs::read_to_string(&path)?);
    }
    ensure!(files.len() >= 4, "{:?}", files.keys());
    assert_eq!(found, files);
    Ok(())
}

#[test]
fn dashboards_take_another_label_and_lead_to_runbooks_elsewhere() -> Result<()> {
    let chart = render(&[
        "dashboards.enabled=true",
        "dashboards.label=example.org/dashboards",
        "dashboards.labelValue=yes",
        "metrics.prometheusRule.runbookUrl=https://wiki.example.org/observer/",
    ])?;
    let found = dashboards(&chart, "example.org/dashboards", "yes");
    ensure!(found.len() >= 4, "{:?}", found.keys());
    for map in found.values() {
        let text = map["data"].to_string();
        ensure!(
            text.contains("https://wiki.example.org/observer/${__value.text}.md")
                || !text.contains("__value.text")
        );
        ensure!(
            text.contains("https://wiki.example.org/observer/") && !text.contains("github.com"),
            "{}",
            map["metadata"]
        );
    }
    Ok(())
}

#[test]
fn a_value_that_makes_no_sense_is_refused_by_its_name() -> Result<()> {
    for (value, names) in [
        ("metrics.port=99999", "metrics/port"),
        ("metrics.prot=1", "prot"),
        ("image.pullPolicy=Sometimes", "image/pullPolicy"),
        ("privileged=perhaps", "privileged"),
        ("capabilities={CAP_BPF}", "capabilities/0"),
        ("capabilities={ALL}", "capabilities/0"),
        ("cgroup.hostPath=sys/fs/cgroup", "cgroup/hostPath"),
        ("config.outptu=json", "outptu"),
        ("config.output=xml", "config/output"),
        ("config.listen=0.0.0.0:1", "listen"),
        ("seccompProfile.type=Default", "seccompProfile/type"),
        ("metrics.podMonitor.interval=often", "podMonitor/interval"),
        ("metrics.prometheusRule.runbookUrl=docs", "prometheusRule/runbookUrl"),
        ("metrics.prometheusRule.disable={A}", "prometheusRule"),
        ("dashboards.label=-", "dashboards/label"),
        ("dashboards.folder=Observer", "dashboards"),
        ("tolerations=all", "tolerations"),
    ] {
        let said = refusal(&[value])?;
        // helm 3 writes dots, helm 4 slashes.
        ensure!(said.replace('.', "/").contains(names), "--set {value}: {said}");
        ensure!(said.contains("don't meet the specifications"), "--set {value}: {said}");
    }
    Ok(())
}

/// What `observer run` says of a configuration without an inventory that could be read: then it was understood.
fn judgement(config: &str) -> Result<String> {
    let directory = Directory::new()?;
    let config = directory.write("config.yaml", config)?;
    let nowhere = directory.path().join("nowhere.yaml");
    let output = Image::open()?
        .command()
        .args(["run", "--node-name", "n", "--config"])
        .arg(config)
        .arg("--inventory")
        .arg(nowhere)
        .output()?;
    ensure!(!output.status.success(), "it runs without an inventory");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn the_daemon_understands_the_configuration_that_the_chart_writes() -> Result<()> {
    for values in VALUES {
        let chart: Rendered = render(values)?;
        let said = judgement(chart.config()?)?;
        ensure!(
            said.contains("nowhere.yaml") && !said.contains("unknown key"),
            "{}: {said}",
            chart.config()?
        );
    }
    Ok(())
}

#[test]
fn the_schema_has_every_key_of_the_configuration_but_the_charts_own() -> Result<()> {
    let said = judgement("nonsense: 1\n")?;
    let keys = said.trim().rsplit_once("there are ").context("no list of keys")?.1;
    let of_daemon: BTreeSet<&str> = keys.split(", ").filter(|key| !OWN_KEYS.contains(key)).collect();
    let schema: Value = serde_json::from_str(include_str!("../../../deploy/helm/values.schema.json"))?;
    let of_schema =
        schema["properties"]["config"]["properties"].as_object().context("no config in the schema")?;
    let of_schema: BTreeSet<&str> = of_schema.keys().map(String::as_str).collect();
    assert_eq!(of_schema, of_daemon, "`config` in deploy/helm/values.schema.json");
    Ok(())
}
