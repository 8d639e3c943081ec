//! A container as a kubelet and its runtime would make it of the chart and the image: runc starts it, with the
//! capabilities, the seccomp profile and the mounts that the rendered pod asks for.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use observer_integration::Directory;
use serde_json::{Value, json};

use crate::{Image, Rendered};

/// Debian's copy of the profile that CRI-O and Podman call RuntimeDefault.
const PROFILE: &str = "/usr/share/containers/seccomp.json";
/// runc's own default, which containerd takes over.
const MASKED: [&str; 4] = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"];

/// What a runtime does with bpf(2) under RuntimeDefault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// containerd since 1.6.9, and Docker since 23, let a container with CAP_BPF use it.
    Containerd,
    /// CRI-O and Podman want CAP_SYS_ADMIN.
    CriO,
}

/// What a kubelet adds to every pod: the API server's address, and the files of the ServiceAccount.
pub struct InCluster {
    files: Directory,
    address: SocketAddr,
}

impl InCluster {
    /// With this token.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn new(address: SocketAddr, ca: &Path, namespace: &str, token: &str) -> Result<Self> {
        let files = Directory::new()?;
        files.write("ca.crt", fs::read(ca)?)?;
        files.write("namespace", namespace)?;
        files.write("token", token)?;
        Ok(Self { files, address })
    }
}

/// A container that is to be started.
pub struct Container {
    id: String,
    bundle: Directory,
    state: PathBuf,
    _image: Image,
}

impl Container {
    /// Puts it together: the chart's pod, on this runtime, in the network namespace of that name, or in this process's
    /// own.
    ///
    /// # Errors
    /// The chart asks for something that is not simulated here.
    pub fn new(chart: &Rendered, runtime: Runtime, network: Option<&str>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("observer-deployment-{}-{number}", std::process::id());
        let (image, bundle) = (Image::open()?, Directory::new()?);
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": image.rootfs(), "readonly": true},
            "process": process(chart.container()?, &image.config)?,
            "mounts": mounts(chart, &bundle)?,
            "linux": {
                "cgroupsPath": format!("/{id}"),
                "namespaces": namespaces(network),
                "maskedPaths": MASKED,
                "readonlyPaths": ["/proc/sys"],
                "seccomp": seccomp(chart.container()?, runtime)?,
            },
        });
        bundle.write("config.json", config.to_string())?;
        let state = bundle.path().join("state");
        Ok(Self { id, bundle, state, _image: image })
    }

    /// With a way to the API server.
    ///
    /// # Errors
    /// The files are gone.
    pub fn in_cluster(self, cluster: &InCluster) -> Result<Self> {
        self.change(|config| {
            let (host, port) = (cluster.address.ip(), cluster.address.port());
            let mount =
                json!({"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true});
            let add = |list: &mut Value, more: Value| {
                if let Some(list) = list.as_array_mut() {
                    list.push(more);
                }
            };
            add(&mut config["process"]["env"], json!(format!("KUBERNETES_SERVICE_HOST={host}")));
            add(&mut config["process"]["env"], json!(format!("KUBERNETES_SERVICE_PORT={port}")));
            add(&mut config["mounts"], bind(cluster.files.path(), &mount));
        })?;
        Ok(self)
    }

    fn change(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let path = self.bundle.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
        change(&mut config);
        fs::write(&path, config.to_string())?;
        Ok(())
    }

    fn runc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.state).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs another command of the binary in a container of this kind, to its end.
    ///
    /// # Errors
    /// runc does not start.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let line: Vec<&str> = ["/observer"].iter().chain(arguments).copied().collect();
        self.change(|config| config["process"]["args"] = json!(line))?;
        let bundle = self.bundle.path().display().to_string();
        self.runc(&["run", "--bundle", &bundle, &self.id]).output().context("runc does not start")
    }

    /// Starts it as the chart has it.
    ///
    /// # Errors
    /// runc does not start.
    pub fn start(self) -> Result<Running> {
        let output = |name: &str| File::create(self.bundle.path().join(name));
        let bundle = self.bundle.path().display().to_string();
        let mut command = self.runc(&["run", "--bundle", &bundle, &self.id]);
        command.stdout(output("stdout")?).stderr(output("stderr")?);
        let child = command.spawn().context("runc does not start")?;
        Ok(Running { container: self, child })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.runc(&["delete", "--force", &self.id]).stderr(Stdio::null()).status();
    }
}

/// A container that runs.
pub struct Running {
    container: Container,
    child: Child,
}

impl Running {
    /// As `kubectl exec POD -- ...`: a program by its name, found on the image's PATH.
    ///
    /// # Errors
    /// runc does not start.
    pub fn exec(&self, line: &[&str]) -> Result<Output> {
        let arguments: Vec<&str> = ["exec", &self.container.id].iter().chain(line).copied().collect();
        self.container.runc(&arguments).output().context("runc does not start")
    }

    /// The number of its first process, as the host has it.
    ///
    /// # Errors
    /// runc does not know it.
    pub fn pid(&self) -> Result<u64> {
        let state = self.container.runc(&["state", &self.container.id]).output()?;
        let state: Value = serde_json::from_slice(&state.stdout).context("runc state")?;
        state["pid"].as_u64().context("runc state: no pid")
    }

    /// As `kubectl logs`: what it wrote to stdout and stderr.
    #[must_use]
    pub fn logs(&self) -> [String; 2] {
        let bundle = self.container.bundle.path();
        ["stdout", "stderr"].map(|name| fs::read_to_string(bundle.join(name)).unwrap_or_default())
    }

    /// # Errors
    /// As wait(2).
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.container.runc(&["kill", &self.container.id, "KILL"]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn capabilities(container: &Value) -> Vec<String> {
    let added = container["securityContext"]["capabilities"]["add"].as_array();
    added.into_iter().flatten().filter_map(Value::as_str).map(|name| format!("CAP_{name}")).collect()
}

/// The image says what is run, the pod with what.
fn process(container: &Value, image: &Value) -> Result<Value> {
    let security = &container["securityContext"];
    if security["capabilities"]["drop"] != json!(["ALL"]) {
        bail!("only containers that drop all capabilities are simulated here");
    }
    let words = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let arguments = [words(&image["config"]["Entrypoint"]), words(&container["args"])].concat();
    let mut environment = words(&image["config"]["Env"]);
    environment.push(json!("NODE_NAME=n1"));
    let capabilities = capabilities(container);
    Ok(json!({
        "user": {"uid": security["runAsUser"], "gid": security["runAsGroup"]},
        "args": arguments,
        "env": environment,
        "cwd": image["config"]["WorkingDir"],
        "noNewPrivileges": security["allowPrivilegeEscalation"] == false,
        "capabilities": {"bounding": capabilities, "permitted": capabilities, "effective": capabilities},
    }))
}

/// A namespace of each kind, the cgroup's too, as runtimes on cgroup v2 make it.
fn namespaces(network: Option<&str>) -> Vec<Value> {
    let own = ["pid", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({"type": kind}));
    let network = network.map(|name| json!({"type": "network", "path": format!("/run/netns/{name}")}));
    own.into_iter().chain(network).collect()
}

fn mounts(chart: &Rendered, bundle: &Directory) -> Result<Vec<Value>> {
    let mount = |at: &str, kind: &str, options: &[&str]| json!({"destination": at, "type": kind, "source": kind, "options": options});
    let mut mounts = vec![
        mount("/proc", "proc", &[]),
        mount("/dev", "tmpfs", &["nosuid", "mode=755"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ];
    let volumes = chart.pod()?["volumes"].as_array().context("no volumes")?;
    for wanted in chart.container()?["volumeMounts"].as_array().context("no mounts")? {
        let volume = volumes.iter().find(|volume| volume["name"] == wanted["name"]);
        let volume = volume.with_context(|| format!("no volume for {wanted}"))?;
        let source = if volume.get("configMap").is_some() {
            let directory = bundle.path().join("config");
            fs::create_dir_all(&directory)?;
            fs::write(directory.join("config.yaml"), chart.config()?)?;
            directory
        } else if let Some(path) = volume["hostPath"]["path"].as_str() {
            PathBuf::from(path)
        } else if volume.get("emptyDir").is_some() {
            let at = wanted["mountPath"].as_str().unwrap_or_default();
            mounts.push(mount(at, "tmpfs", &["nosuid", "nodev", "mode=777"]));
            continue;
        } else {
            bail!("the volume {volume} is not simulated here");
        };
        mounts.push(bind(&source, wanted));
    }
    Ok(mounts)
}

fn bind(source: &Path, wanted: &Value) -> Value {
    let access = if wanted["readOnly"] == true { "ro" } else { "rw" };
    json!({
        "destination": wanted["mountPath"], "type": "bind", "source": source, "options": ["rbind", "rprivate", access],
    })
}

/// The profile that RuntimeDefault means, for a container with these capabilities.
fn seccomp(container: &Value, runtime: Runtime) -> Result<Value> {
    if container["securityContext"]["seccompProfile"] != json!({"type": "RuntimeDefault"}) {
        bail!("only RuntimeDefault is simulated here");
    }
    let profile: Value = serde_json::from_slice(&fs::read(PROFILE).context(PROFILE)?).context(PROFILE)?;
    let own = capabilities(container);
    let own: BTreeSet<&str> = own.iter().map(String::as_str).collect();
    let here = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    // containerd: contrib/seccomp/seccomp_default.go.
    let moved = |name: &str| match runtime {
        Runtime::Containerd => {
            name == "bpf" && own.contains("CAP_BPF")
                || name == "perf_event_open" && own.contains("CAP_PERFMON")
        }
        Runtime::CriO => false,
    };
    let mut rules = Vec::new();
    let mut allowed = Vec::new();
    for rule in profile["syscalls"].as_array().context("no system calls")? {
        let (needs, spares) = (&rule["includes"], &rule["excludes"]);
        let has = |name: &String| own.contains(name.as_str());
        let is_here = |name: &String| name == here;
        let applies = words(&needs["caps"]).iter().all(has)
            && !words(&spares["caps"]).iter().any(has)
            && (needs["arches"].is_null() || words(&needs["arches"]).iter().any(is_here))
            && !words(&spares["arches"]).iter().any(is_here);
        if !applies {
            continue;
        }
        let (out, stay): (Vec<_>, Vec<_>) = words(&rule["names"]).into_iter().partition(|name| moved(name));
        allowed.extend(out);
        if stay.is_empty() {
            continue;
        }
        let mut kept = json!({"names": stay, "action": rule["action"]});
        for key in ["args", "errnoRet"] {
            if !rule[key].is_null() {
                kept[key] = rule[key].clone();
            }
        }
        rules.push(kept);
    }
    if !allowed.is_empty() {
        rules.push(json!({"names": allowed, "action": "SCMP_ACT_ALLOW"}));
    }
    let mut seccomp = json!({"defaultAction": profile["defaultAction"], "syscalls": rules});
    if !profile["defaultErrnoRet"].is_null() {
        seccomp["defaultErrnoRet"] = profile["defaultErrnoRet"].clone();
    }
    Ok(seccomp)
}
