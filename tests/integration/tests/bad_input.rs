//! Bad input ends in one line that names the file, key or address, the cause and the way out; exit 2 for usage, else 1.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use observer_harness::SimNode;
use observer_integration::{Daemon, Directory, release_binary};

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, uid: 8cde4d2a-0000-4000-8000-000000000009}
spec: {serviceAccountName: orders, nodeName: n1, containers: [{name: main, image: main}]}
status: {phase: Running, podIP: 10.244.0.2, podIPs: [{ip: 10.244.0.2}]}
";
const GRAPH: &str = "\
apiVersion: observer.dev/v1alpha1
kind: ServiceGraph
metadata: {name: shop, namespace: shop}
spec:
  governs: listed
  edges:
    - from: {serviceAccount: orders}
      to: {serviceAccount: orders}
";
/// A whole command that fails takes milliseconds.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Runs it to its end.
fn run(command: &mut Command) -> Result<Output> {
    command.env_remove("NODE_NAME").env_remove("OBSERVER_LOG").env("RUST_BACKTRACE", "1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let deadline = Instant::now() + ENDS_WITHIN;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            let output = child.wait_with_output()?;
            bail!("{command:?} goes on: {}", String::from_utf8_lossy(&output.stderr));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(child.wait_with_output()?)
}

/// One line on stderr that begins with `observer:` and holds all of `words`, after whatever the log said; nothing on
/// stdout.
fn complains(command: &mut Command, code: i32, words: &[&str]) -> Result<()> {
    let output = run(command)?;
    let stderr = String::from_utf8(output.stderr)?;
    let said = || format!("{command:?}: {}\n{stderr}", output.status);
    ensure!(output.status.code() == Some(code), "not exit {code}: {}", said());
    ensure!(output.stdout.is_empty(), "stdout is not empty: {}", said());
    let (log, error): (Vec<&str>, Vec<&str>) = stderr.lines().partition(|line| is_log(line));
    ensure!(error.len() == 1, "not one line of error: {}", said());
    ensure!(stderr.trim_end().ends_with(error[0]), "the error is not the last line: {}", said());
    ensure!(error[0].starts_with("observer: "), "{}", said());
    ensure!(!log.iter().any(|line| line.contains("ERROR")), "an error in the log too: {}", said());
    for word in words {
        ensure!(error[0].contains(word), "{word:?} is missing: {}", said());
        ensure!(error[0].matches(word).count() <= 2, "{word:?} again and again: {}", said());
    }
    for noise in ["panicked", "backtrace", "RUST_BACKTRACE", "unwrap"] {
        ensure!(!stderr.contains(noise), "{noise}: {}", said());
    }
    Ok(())
}

/// `2026-11-22T12:27:16.005928Z  INFO ...`
fn is_log(line: &str) -> bool {
    let level = line.split_whitespace().nth(1);
    line.starts_with("20") && matches!(level, Some("INFO" | "WARN" | "ERROR" | "DEBUG" | "TRACE"))
}

#[test]
fn bad_input_is_one_line_that_names_its_cause_and_the_way_out() -> Result<()> {
    let directory = Directory::new()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let without_ip = POD.replace(", podIP: 10.244.0.2, podIPs: [{ip: 10.244.0.2}]", "");
    let nobody = GRAPH.replace("orders", "nobody");
    let unknown_key = GRAPH.replace("  edges:", "  colour: red\n  edges:");
    for (name, content) in [
        ("pod.yaml", POD),
        ("key.yaml", "node_name: n1\ninventry: x\n"),
        ("value.yaml", "node_name: n1\nlisten: nowhere\n"),
        ("word.yaml", "output: loud\n"),
        ("list.yaml", "- a\n- b\n"),
        ("budget.yaml", "series_budget: 3\n"),
        ("broken-config.yaml", "graph: [a,\n"),
        ("text.yaml", "just: text\nno: object\n"),
        ("broken.yaml", "a: [1,\nb: }\n"),
        ("empty.yaml", ""),
        ("without-ip.yaml", &without_ip),
        ("nobody.yaml", &nobody),
        ("unknown-key.yaml", &unknown_key),
        ("port.yaml", &GRAPH.replace("  edges:\n", "  edges:\n    - {from: {serviceAccount: orders}, to: {serviceAccount: orders}, ports: [70000]}\n")),
        ("version.yaml", &GRAPH.replace("v1alpha1", "v9")),
        ("jwks.txt", "not json"),
        ("jwks.json", "{\"key\": []}"),
    ] {
        directory.write(name, content)?;
    }
    fs::create_dir(directory.path().join("nothing"))?;
    fs::write(directory.path().join("binary.yaml"), [0xff, 0xfe, 0, 1])?;

    let missing = path("missing.yaml");
    let cases: &[(&[&str], i32, &[&str])] = &[
        // The command line.
        (&["run", "--nonsense"], 2, &["'--nonsense'", "--help"]),
        (&["nonsense"], 2, &["'nonsense'", "--help"]),
        (&["run", "--listen", "nowhere"], 2, &["--listen <ADDRESS:PORT>", "'nowhere'", "--help"]),
        (&["run", "--output", "loud"], 2, &["--output <FORMAT>", "'loud'", "json, text, none"]),
        (&["run", "--seccomp", "loud"], 2, &["--seccomp <MODE>", "'loud'", "refuse, kill, allow"]),
        (&["run", "--cluster-cidr", "10.0.0.0/99"], 2, &["--cluster-cidr <CIDR>", "10.0.0.0/99", "--help"]),
        (&["run", "--inventory"], 2, &["--inventory <FILE|DIR>", "--help"]),
        (&["run", "--issuer", "https://a.test"], 2, &["1 times --issuer", "0 times --jwks", "--jwks FILE"]),
        (&["run", "--jwks", "jwks.json"], 2, &["0 times --issuer", "--issuer URL"]),
        (&["findings", "--finding", "boredom"], 2, &["'boredom'", "--finding <KIND>", "legacy-token"]),
        (&["flows", "--finding", "boredom"], 2, &["'boredom'", "--finding <KIND>", "unencrypted"]),
        (&["flows", "--since", "yesterday"], 2, &["'yesterday'", "--since <TIME>", "5m"]),
        (&["flows", "--from", "orders"], 2, &["'orders'", "--from <NS/SA>", "NAMESPACE/SERVICEACCOUNT"]),
        (&["flows", "--last", "many"], 2, &["'many'", "--last <N>"]),
        // The config file.
        (&["run", "--config", &missing], 2, &[&missing, "No such file", "--config FILE"]),
        (
            &["run", "--config", &path("key.yaml")],
            2,
            &[&path("key.yaml"), "line 2", "\"inventry\"", "there are inventory, graph"],
        ),
        (
            &["run", "--config", &path("value.yaml")],
            2,
            &[&path("value.yaml"), "line 2", "listen:", "correct it"],
        ),
        (
            &["run", "--config", &path("word.yaml")],
            2,
            &[&path("word.yaml"), "output:", "json, text, none", "correct it"],
        ),
        (&["run", "--config", &path("list.yaml")], 2, &[&path("list.yaml"), "line 1", "correct it"]),
        (
            &["run", "--config", &path("broken-config.yaml")],
            2,
            &[&path("broken-config.yaml"), "line ", "correct it"],
        ),
        (
            &["run", "--config", &path("budget.yaml")],
            2,
            &[&path("budget.yaml"), "series_budget is 3", "choose 1000 to"],
        ),
        (&["run", "--flow-rate", "2000000"], 2, &["--flow-rate is 2000000", "choose 0 to"]),
        (&["run", "--config", &path("binary.yaml")], 2, &[&path("binary.yaml"), "not UTF-8", "YAML"]),
        // The inventory.
        (&["run"], 1, &["KUBERNETES_SERVICE_HOST", "KUBECONFIG", "--inventory"]),
        (&["run", "--inventory", &missing], 1, &[&missing, "No such file", "give a file"]),
        (
            &["run", "--inventory", &path("text.yaml")],
            1,
            &[&path("text.yaml"), "no Kubernetes object", "apiVersion", "kubectl get -o yaml"],
        ),
        (
            &["run", "--inventory", &path("broken.yaml")],
            1,
            &[&path("broken.yaml"), "line ", "not valid YAML", "mend that line"],
        ),
        (&["run", "--inventory", &path("empty.yaml")], 1, &[&path("empty.yaml"), "no Pod", "kubectl get"]),
        (&["run", "--inventory", &path("nothing")], 1, &[&path("nothing"), "no *.yaml", "kubectl get"]),
        (
            &["run", "--inventory", &path("without-ip.yaml")],
            1,
            &[&path("without-ip.yaml"), "Pod shop/orders-1", "status.podIP", "kubectl get pod"],
        ),
        // The graph.
        (
            &["run", "--inventory", &path("pod.yaml"), "--graph", &missing],
            1,
            &[&missing, "No such file", "give a file"],
        ),
        (
            &["run", "--inventory", &path("pod.yaml"), "--graph", &path("pod.yaml")],
            1,
            &[&path("pod.yaml"), "nothing in it declares edges", "leave --graph out"],
        ),
        (
            &["run", "--inventory", &path("pod.yaml"), "--graph", &path("nobody.yaml")],
            1,
            &[
                &path("nobody.yaml"),
                "ServiceGraph shop/shop",
                "names nobody",
                "shop/nobody",
                "mend the names",
            ],
        ),
        (
            &["run", "--inventory", &path("pod.yaml"), "--graph", &path("unknown-key.yaml")],
            1,
            &[
                &path("unknown-key.yaml"),
                "ServiceGraph shop/shop",
                "spec.colour",
                "expected one of `governs`, `edges`, `exceptions`",
            ],
        ),
        (
            &["run", "--inventory", &path("pod.yaml"), "--graph", &path("port.yaml")],
            1,
            &[&path("port.yaml"), "ServiceGraph shop/shop", "ports", "70000"],
        ),
        (
            &["run", "--inventory", &path("pod.yaml"), "--graph", &path("version.yaml")],
            1,
            &[&path("version.yaml"), "observer.dev/v9", "write observer.dev/v1alpha1"],
        ),
        // Keys.
        (
            &["run", "--inventory", &path("pod.yaml"), "--issuer", "https://a.test", "--jwks", &missing],
            1,
            &[&missing, "No such file", "keys of https://a.test"],
        ),
        (
            &[
                "run",
                "--inventory",
                &path("pod.yaml"),
                "--issuer",
                "https://a.test",
                "--jwks",
                &path("jwks.txt"),
            ],
            1,
            &[&path("jwks.txt"), "not JSON", "kubectl get --raw /openid/v1/jwks"],
        ),
        (
            &[
                "run",
                "--inventory",
                &path("pod.yaml"),
                "--issuer",
                "https://a.test",
                "--jwks",
                &path("jwks.json"),
            ],
            1,
            &[&path("jwks.json"), "`keys`", "kubectl get --raw /openid/v1/jwks"],
        ),
        // What is around it.
        (
            &["run", "--inventory", &path("pod.yaml"), "--cgroup-root", &path("nothing")],
            1,
            &[&path("nothing"), "cgroup v2", "give --cgroup-root"],
        ),
        (
            &[
                "run",
                "--inventory",
                &path("pod.yaml"),
                "--listen",
                "127.0.0.1:0",
                "--socket",
                &path("pod.yaml"),
            ],
            1,
            &[&path("pod.yaml"), "no socket", "--socket PATH"],
        ),
        (
            &["run", "--inventory", &path("pod.yaml"), "--listen", "192.0.2.1:9464"],
            1,
            &["192.0.2.1:9464", "--listen ADDRESS:PORT"],
        ),
        (
            &["flows", "--socket", &path("no.sock")],
            1,
            &[&path("no.sock"), "No such file", "observer run", "--socket PATH"],
        ),
        (&["findings", "--socket", &path("no.sock")], 1, &[&path("no.sock"), "observer run"]),
        (&["edges", "--socket", &path("no.sock")], 1, &[&path("no.sock"), "observer run"]),
    ];
    let binary = release_binary()?;
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|(arguments, code, words)| {
            let mut command = Command::new(&binary);
            Some(format!("{:#}", complains(command.args(*arguments), *code, words).err()?))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {}:\n\n{}", failures.len(), cases.len(), failures.join("\n"));
    Ok(())
}

/// `observer run` with what a start needs.
fn daemon(directory: &Directory) -> Result<Command> {
    let mut command = Command::new(release_binary()?);
    command.arg("run").arg("--inventory").arg(directory.write("pod.yaml", POD)?);
    command.args(["--listen", "127.0.0.1:0", "--socket"]).arg(directory.path().join("s.sock"));
    Ok(command)
}

#[test]
fn without_root_the_error_names_the_capabilities() -> Result<()> {
    // The build's own directory may be closed to others.
    let directory = Directory::new()?;
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777))?;
    let binary = directory.path().join("observer");
    fs::copy(release_binary()?, &binary)?;
    directory.write("pod.yaml", POD)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
    command.arg("run").arg("--inventory").arg(directory.path().join("pod.yaml"));
    command.args(["--listen", "127.0.0.1:0", "--socket"]).arg(directory.path().join("s.sock"));
    complains(&mut command, 1, &["run as root", "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "observer doctor"])
}

#[test]
fn a_daemon_answers_its_own_user_alone() -> Result<()> {
    let node = SimNode::builder().start()?;
    let daemon = Daemon::start(&node)?;
    fs::set_permissions(daemon.directory(), Permissions::from_mode(0o755))?;
    let binary = daemon.directory().join("observer");
    fs::copy(release_binary()?, &binary)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
    command.arg("flows").arg("--socket").arg(daemon.directory().join("observer.sock"));
    complains(&mut command, 1, &["no permission", "observer.sock", "run this as root"])
}

#[test]
fn a_kubeconfig_whose_credentials_come_from_a_program_names_what_is_in_its_way() -> Result<()> {
    let directory = Directory::new()?;
    let credential = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "x"}}"#;
    let credential = directory.write("credential.json", credential)?;
    let kubeconfig = format!(
        "
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:1'}}}}]
users:
- name: u
  user:
    exec: {{apiVersion: client.authentication.k8s.io/v1, command: cat, args: ['{}'], interactiveMode: Never}}
",
        credential.display()
    );
    let mut command = Command::new(release_binary()?);
    command.arg("run").env("KUBECONFIG", directory.write("kubeconfig", kubeconfig)?);
    command.args(["--listen", "127.0.0.1:0", "--socket"]).arg(directory.path().join("s.sock"));
    complains(&mut command, 1, &["KUBECONFIG", "program", "--seccomp allow"])
}

#[test]
fn without_cgroup2_the_error_says_how_to_mount_it() -> Result<()> {
    let directory = Directory::new()?;
    let daemon = daemon(&directory)?;
    // In a mount namespace of its own, from which the hierarchy is gone.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.args(["umount -a -l -t cgroup2 && exec \"$@\"", "sh"]);
    command.arg(daemon.get_program()).args(daemon.get_args());
    complains(&mut command, 1, &["no cgroup v2 hierarchy", "mount -t cgroup2", "--cgroup-root"])
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_stays_behind() -> Result<()> {
    let directory = Directory::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    directory.write("pod.yaml", POD)?;
    let mut command = Command::new(release_binary()?);
    command.arg("run").arg("--inventory").arg(directory.path().join("pod.yaml"));
    command.args(["--listen", &address, "--socket"]).arg(directory.path().join("s.sock"));
    complains(&mut command, 1, &[&address, "Address already in use", "--listen ADDRESS:PORT"])?;
    assert!(!directory.path().join("s.sock").exists());
    Ok(())
}

#[test]
fn a_living_daemons_socket_is_an_error_and_a_dead_ones_is_replaced() -> Result<()> {
    let node = SimNode::builder().start()?;
    let alive = Daemon::start(&node)?;
    let socket = alive.directory().join("observer.sock");
    let directory = Directory::new()?;
    directory.write("pod.yaml", POD)?;
    let mut command = Command::new(release_binary()?);
    command.arg("run").arg("--inventory").arg(directory.path().join("pod.yaml"));
    command.args(["--listen", "127.0.0.1:0", "--socket"]).arg(&socket);
    complains(
        &mut command,
        1,
        &["another observer answers at", &socket.display().to_string(), "--socket PATH"],
    )?;
    assert!(alive.ask(&["flows"])?.status.success(), "the living one lost its socket");

    // A listener of the standard library leaves its file behind, as SIGKILL does.
    let stale = directory.path().join("stale.sock");
    drop(UnixListener::bind(&stale)?);
    assert!(stale.exists());
    let config = directory.write("config.yaml", "node_name: n1\n")?;
    let successor = Daemon::builder()
        .socket(&stale)
        .arguments(["--config".to_owned(), config.display().to_string()])
        .start(&node)?;
    assert!(successor.ask(&["flows"])?.status.success(), "{}", successor.log());
    Ok(())
}
