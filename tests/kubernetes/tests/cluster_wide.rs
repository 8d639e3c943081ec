//! `kubectl observer`: the observers of two nodes, asked through a real API server with the caller's own rights.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_harness::{Pod, SimNode};
use observer_integration::documents;
use observer_integration::wire::{self, Manners};
use observer_integration::{Daemon, Directory, release_binary};
use observer_kubernetes::{Kubelet, KubeletManners, Scene, running};
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// What docs/kubectl.md says that the caller needs.
const RIGHTS: &str = "docs/kubectl.md";

/// Two nodes of one cluster, each with its daemon and the pod that stands for it.
struct Two {
    scene: Scene,
    other: SimNode,
    directory: Directory,
    kubeconfig: PathBuf,
}

impl Two {
    fn start() -> Result<Self> {
        let scene = Scene::with(|builder| builder.kubelets())?;
        let other = SimNode::builder().name("n2").start()?;
        scene.node.join(&other)?;
        let cluster = scene.control_plane.cluster();
        let [pods4, pods6] = other.cluster_cidrs();
        cluster.create(
            "/api/v1/nodes",
            &json!({
                "metadata": {"name": "n2"}, "spec": {"podCIDR": pods4, "podCIDRs": [pods4, pods6]},
                "status": {"addresses": [{"type": "InternalIP", "address": other.ip4().to_string()}]},
            }),
        )?;
        let directory = Directory::new()?;
        let kubeconfig = caller(&scene, "reader", &documented_rules()?)?;
        symlink(release_binary()?, directory.path().join("kubectl-observer"))?;
        Ok(Self { scene, other, directory, kubeconfig })
    }

    fn daemon(&self, node: &SimNode) -> Result<Daemon> {
        let far = [self.scene.node.cluster_cidrs(), self.other.cluster_cidrs()].concat();
        let arguments = far.iter().flat_map(|cidr| ["--cluster-cidr", cidr]);
        self.scene.daemon()?.arguments(arguments).start(node)
    }

    /// The pod of the DaemonSet on a node; what its kubelet does.
    fn observer(&self, node: &str, manners: KubeletManners) -> Result<Kubelet> {
        let cluster = self.scene.control_plane.cluster();
        let name = format!("observer-{node}");
        cluster.create(
            "/api/v1/namespaces/observer/pods",
            &json!({
                "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "observer"}},
                "spec": {"nodeName": node, "serviceAccountName": "observer",
                    "containers": [{"name": "observer", "image": "example.test/observer:1"}]},
            }),
        )?;
        cluster
            .patch(&format!("/api/v1/namespaces/observer/pods/{name}/status"), &running(&["192.0.2.1"]))?;
        self.scene.control_plane.kubelet(node, manners)
    }

    fn run_beside(&self, node: &str, daemon: &Daemon) -> Result<Kubelet> {
        let socket = daemon.directory().join("observer.sock");
        self.observer(node, KubeletManners::Run { binary: release_binary()?, socket })
    }

    fn pod_there(&self, namespace: &str, account: &str, name: &str) -> Result<Pod> {
        let cluster = self.scene.control_plane.cluster();
        cluster.namespace(namespace)?;
        cluster.service_account(namespace, account)?;
        let uid = cluster.pod(namespace, account, name, "n2")?;
        let pod = self.other.pod(namespace, account).name(name).uid(&uid).start()?;
        cluster.run_pod(namespace, name, &[&pod.ip4.to_string(), &pod.ip6.to_string()])?;
        Ok(pod)
    }

    fn command(&self, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.directory.path().join("kubectl-observer"));
        command.args(arguments).env("KUBECONFIG", kubeconfig).env_remove("KUBERNETES_SERVICE_HOST");
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(&self.kubeconfig, arguments).output()?)
    }

    fn items(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let output = self.run(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        ensure!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
        items(&output)
    }
}

impl Two {
    /// What the page of `kubectl observer ui` is told when it asks for edges.
    fn edges_of_the_page(&self) -> Result<Vec<Value>> {
        let mut command = self.command(&self.kubeconfig, &["ui"]);
        let mut ui = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut address = String::new();
        BufReader::new(ui.stdout.take().context("stdout")?).read_line(&mut address)?;
        let (page, token) = address.trim().split_once('#').with_context(|| address.clone())?;
        let mut ask = Command::new("curl");
        ask.args(["-sS", "--max-time", "20", "-H", &format!("observer-token: {token}")]);
        let answer = ask.args(["-d", r#"{"edges":{}}"#, &format!("{page}ask")]).output()?;
        ui.kill()?;
        ui.wait()?;
        items(&answer).with_context(|| format!("{answer:?}"))
    }
}

fn items(output: &Output) -> Result<Vec<Value>> {
    let text = std::str::from_utf8(&output.stdout)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The rules of the Role that the page shows.
fn documented_rules() -> Result<Value> {
    let page = documents::read(RIGHTS)?;
    let blocks = documents::blocks(&page, "yaml");
    let role = blocks.iter().find(|block| block.contains("kind: Role\n")).context("no Role in the page")?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(role)?;
    let role = objects.iter().find(|object| object["kind"] == "Role").context("no Role in the block")?;
    Ok(role["rules"].clone())
}

/// A kubeconfig of somebody with these rights in the observer's namespace.
fn caller(scene: &Scene, name: &str, rules: &Value) -> Result<PathBuf> {
    let cluster = scene.control_plane.cluster();
    cluster.namespace("people")?;
    cluster.service_account("people", name)?;
    cluster.create(
        &format!("{RBAC}/namespaces/observer/roles"),
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules}),
    )?;
    cluster.create(
        &format!("{RBAC}/namespaces/observer/rolebindings"),
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "people"}]}),
    )?;
    let token = cluster.token("people", name, None, &[])?;
    scene.control_plane.kubeconfig(name, &token)
}

fn call(from: &Pod, to: &Pod) -> Result<()> {
    from.run_ok(["curl", "-sS", "--max-time", "5", &format!("http://{}:8080/", to.ip4)]).map(drop)
}

fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds()? {
        ensure!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// One story, for a control plane and two daemons take a while to start.
#[test]
fn the_view_of_two_nodes_has_each_connection_once_and_names_a_node_that_hangs() -> Result<()> {
    let two = Two::start()?;
    let frontend = two.scene.pod("shop", "frontend", "frontend-0")?;
    let orders = two.pod_there("shop", "orders", "orders-0")?;
    let payments = two.scene.pod("shop", "payments", "payments-0")?;
    let _servers = (
        wire::listen(&orders, &[(8080, Manners::Answer)])?,
        wire::listen(&payments, &[(8080, Manners::Answer)])?,
    );
    let (one, other) = (two.daemon(&two.scene.node)?, two.daemon(&two.other)?);
    let first_kubelet = two.run_beside("n1", &one)?;
    let second_kubelet = two.run_beside("n2", &other)?;

    // Over the link in both directions, and within a node; the last is what each daemon alone would tell, too.
    let calls: [(&Pod, &Pod, u64); 3] =
        [(&frontend, &orders, 3), (&orders, &payments, 2), (&frontend, &payments, 1)];
    for (from, to, count) in calls {
        for _ in 0..count {
            call(from, to)?;
            // So that the order of the records is that of the calls.
            thread::sleep(Duration::from_millis(20));
        }
    }
    let seen = |daemon: &Daemon| daemon.metric("observer_flows_total", &[]);
    wait_until("both daemons have what is theirs", || Ok(seen(&one)? == 3.0 && seen(&other)? == 3.0))?;
    // A client's end that nobody reports waits for its twin for a second.
    thread::sleep(Duration::from_millis(1500));
    assert_eq!((seen(&one)?, seen(&other)?), (3.0, 3.0), "{}\n{}", one.stdout(), other.stdout());

    let edges = two.items(&["edges", "-o", "json"])?;
    let told: BTreeMap<(String, String), u64> = edges
        .iter()
        .map(|edge| {
            let of = |end: &str| edge[end]["principal"].as_str().unwrap_or_default().to_owned();
            ((of("client"), of("server")), edge["flows"].as_u64().unwrap_or_default())
        })
        .collect();
    let wanted: BTreeMap<(String, String), u64> = [
        (("shop/frontend", "shop/orders"), 3),
        (("shop/orders", "shop/payments"), 2),
        (("shop/frontend", "shop/payments"), 1),
    ]
    .map(|((client, server), flows)| ((client.to_owned(), server.to_owned()), flows))
    .into();
    assert_eq!(told, wanted, "{edges:#?}");
    assert_eq!(two.edges_of_the_page()?, edges, "the page draws what the command tells");

    let flows = two.items(&["flows", "--last", "1000", "-o", "json"])?;
    let finals: Vec<&Value> = flows.iter().filter(|record| record["final"] == true).collect();
    let servers: Vec<&str> = finals.iter().filter_map(|record| record["server"]["pod"].as_str()).collect();
    assert_eq!(servers, ["orders-0", "orders-0", "orders-0", "payments-0", "payments-0", "payments-0"]);
    let nodes: Vec<&str> = finals.iter().filter_map(|record| record["node"].as_str()).collect();
    assert_eq!(nodes, ["n2", "n2", "n2", "n1", "n1", "n1"], "the server's node tells it");
    let times: Vec<&str> = flows.iter().filter_map(|record| record["time"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let last = two.items(&["flows", "--last", "2", "-o", "json"])?;
    // Both nodes give two; a node takes for newest what it wrote last.
    assert_eq!(last.len(), 2);
    ensure!(last.iter().all(|record| record["node"] == "n1" && flows.contains(record)), "{last:#?}");

    let findings = two.items(&["findings", "-o", "json"])?;
    let unencrypted: u64 = findings
        .iter()
        .filter(|finding| finding["kind"] == "unauthenticated")
        .filter_map(|finding| finding["flows"].as_u64())
        .sum();
    assert_eq!(unencrypted, 6, "{findings:#?}");

    // The daemons' own view is one node's.
    let alone = two.items(&["edges", "--node", "n2", "-o", "json"])?;
    assert_eq!(alone.len(), 1, "{alone:#?}");

    // These exit with 1 where they found something.
    for command in
        [["posture", "-o", "json"].as_slice(), &["graph", "diff", "-o", "json"], &["graph", "export"]]
    {
        let output = two.run(command)?;
        ensure!(!output.stdout.is_empty(), "{command:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!said.contains("did not answer"), "{command:?}: {output:?}");
    }
    let export = String::from_utf8(two.run(&["graph", "export"])?.stdout)?;
    for account in ["frontend", "orders", "payments"] {
        ensure!(export.contains(account), "{export}");
    }

    let reports = two.items(&["doctor", "-o", "json"])?;
    let nodes: Vec<&str> = reports.iter().filter_map(|report| report["node"].as_str()).collect();
    assert_eq!(nodes, ["n1", "n2"]);
    ensure!(reports.iter().all(|report| report["checks"].as_array().is_some_and(|checks| checks.len() > 5)));
    let table = String::from_utf8(two.run(&["doctor"])?.stdout)?;
    ensure!(table.starts_with("NODE  CHECK") && table.contains("\nn2    verdict"), "{table}");

    every_page_has_commands_that_work(&two)?;
    records_of_both_nodes_come_while_they_are_followed(&two, (&frontend, &orders), (&orders, &payments))?;
    wait_until("the commands in the containers end with their client", || {
        Ok(first_kubelet.running() == 0 && second_kubelet.running() == 0)
    })?;

    drop(second_kubelet);
    let _hanging = two.scene.control_plane.kubelet("n2", KubeletManners::Hang)?;
    let start = Instant::now();
    let output = two.run(&["edges", "-o", "json", "--request-timeout", "3"])?;
    let took = start.elapsed();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    ensure!(said.starts_with("observer: node n2 did not answer: nothing within 3 s"), "{said}");
    let rest = two.items(&["edges", "-o", "json", "--node", "n1"])?;
    ensure!(!rest.is_empty());
    assert_eq!(items(&output)?, rest, "what the other node knows");
    ensure!(took < Duration::from_secs(6), "{took:?}");

    errors_name_the_cause_and_the_way_out(&two)
}

/// As people type them: kubectl itself finds the plugin.
fn every_page_has_commands_that_work(two: &Two) -> Result<()> {
    let kubectl = observer_kubernetes::program("kubectl")?;
    let own = two.directory.path().display().to_string();
    let path = format!(
        "{own}:{}:{}",
        kubectl.parent().context("kubectl has no directory")?.display(),
        std::env::var("PATH")?
    );
    let mut ran = 0;
    for typed in documents::commands()? {
        if !typed.command.starts_with("kubectl observer ") {
            continue;
        }
        let endless = ["--follow", " ui"].iter().any(|word| typed.command.contains(word));
        let mut command = Command::new("timeout");
        command.arg(if endless { "3" } else { "60" }).args(["sh", "-c", &format!("exec {}", typed.command)]);
        command.env("PATH", &path).env("KUBECONFIG", &two.kubeconfig).env_remove("KUBERNETES_SERVICE_HOST");
        let output = command.output()?;
        // 1 tells that something was found, 124 is timeout's.
        let finds = ["posture", "graph"].iter().any(|word| typed.command.contains(word));
        let code = output.status.code();
        ensure!(
            code == Some(if endless { 124 } else { 0 }) || (finds && code == Some(1)),
            "{typed:?}: {output:?}"
        );
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!said.contains("did not answer"), "{typed:?}: {output:?}");
        ran += 1;
    }
    ensure!(ran > 5, "the pages have {ran} commands of the plugin");
    Ok(())
}

fn records_of_both_nodes_come_while_they_are_followed(
    two: &Two,
    (frontend, orders): (&Pod, &Pod),
    (also_orders, payments): (&Pod, &Pod),
) -> Result<()> {
    let mut command = two.command(&two.kubeconfig, &["flows", "--follow", "-o", "json"]);
    let mut following = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let outcome = (|| {
        // Nothing tells when both are followed: a call that is seen does.
        let stdout = following.stdout.take().context("no stdout")?;
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut nodes = std::collections::BTreeSet::new();
        while nodes.len() < 2 {
            ensure!(Instant::now() < deadline, "followed: {nodes:?}");
            call(frontend, orders)?;
            call(also_orders, payments)?;
            while let Ok(line) = told.recv_timeout(Duration::from_millis(700)) {
                let record: Value = serde_json::from_str(&line)?;
                nodes.insert(record["node"].as_str().unwrap_or_default().to_owned());
            }
        }
        Ok(())
    })();
    following.kill()?;
    following.wait()?;
    outcome
}

fn errors_name_the_cause_and_the_way_out(two: &Two) -> Result<()> {
    let listing = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
    let only_lists = caller(&two.scene, "lists", &listing)?;
    let does_nothing = caller(&two.scene, "nothing", &json!([]))?;
    let nowhere = two.directory.path().join("nowhere");
    let own = &two.kubeconfig;
    let cases: [(&Path, &[&str], &[&str]); 6] = [
        (&nowhere, &["edges"], &["nowhere", "--kubeconfig"]),
        (
            &does_nothing,
            &["edges"],
            &["no right to list pods in namespace observer", "pods/exec: get, create"],
        ),
        (&only_lists, &["edges", "--node", "n1"], &["no right to exec into pods", "pods/exec: get, create"]),
        (own, &["edges", "--selector", "app=nothing"], &["no pod in namespace observer", "--selector"]),
        (own, &["edges", "--node", "n9"], &["no observer runs on a node n9", "--node"]),
        (own, &["edges", "--context", "other"], &["other", "--context"]),
    ];
    for (kubeconfig, arguments, words) in cases {
        let output = two.command(kubeconfig, arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        // A node that did not answer has a line of its own.
        let last = said.lines().last().unwrap_or_default();
        for word in words {
            ensure!(last.contains(word), "{arguments:?}: {said}");
        }
        ensure!(said.lines().count() <= 2 && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
    Ok(())
}
