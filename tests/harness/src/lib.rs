//! A simulated Kubernetes node, for tests, demos and benchmarks that need real traffic and no cluster.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use std::process::Command;
//!
//! use observer_harness::SimNode;
//!
//! let node = SimNode::builder().name("n1").start()?;
//! let payments = node.pod("shop", "payments").deployment("payments").container_port("http", 8080).start()?;
//! let orders = node.pod("shop", "orders").deployment("orders").start()?;
//! let service = node.service("shop", "payments").port(80, 8080).backend(&payments).start()?;
//!
//! let mut server = Command::new("python3");
//! server.args(["-m", "http.server", "8080"]);
//! let _server = payments.spawn(server)?;
//! payments.wait_listening(8080)?;
//! orders.run_ok(["curl", "-sS", &format!("http://{}/", service.cluster_ip)])?;
//! std::fs::write("inventory.yaml", node.inventory_yaml())?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it is made of
//!
//! - The node is a network namespace, `obs-<id>`, with the bridge `cni0` and kube-proxy's nftables tables in it. The
//!   machine's own namespace gets no interface, route, rule or setting.
//! - A pod is a network namespace, `obs-<id>-<namespace>.<pod>`, tied to the bridge by a veth pair, with one address in
//!   each family and no subnet, so that all its traffic passes the node; and a cgroup2 directory named as the kubelet
//!   names it with the systemd driver. A pod with `hostNetwork` has the cgroup only.
//! - `/sys/fs/cgroup/observer-node-<id>` (below wherever cgroup2 is mounted) stands for the node's cgroup2 root.
//! - A Service is DNAT to a random backend; a pod that reaches itself, and what does not come from a pod, is
//!   masqueraded. A Service without backends, and a port that it does not have, refuse.
//! - Files, users and process ids are the machine's. There is no DNS, no API server and no container image.
//!
//! `ip netns exec obs-<id>-shop.orders-x2k4v curl ...` looks in from another terminal.
//!
//! # How it ends
//!
//! Dropping [`SimNode`] kills what runs in its cgroups and removes namespaces and cgroups. A guardian process does the
//! work and waits for the owner's end, so it happens just as well after SIGKILL; should the guardian be killed too, the
//! next node to start on the machine cleans up. Each name is on record below `/run/observer-harness` before it is made,
//! and only names on record are removed. Nodes can run side by side, in one process or in several.
//!
//! # What it needs
//!
//! Root, cgroup2, `ip` (iproute2) and `nft` (nftables); IPv6 in the kernel. Linux 5.10 or later.

pub mod calls;
mod cgroup;
mod claim;
mod empty;
mod entropy;
mod inventory;
mod link;
mod netns;
mod node;
mod outside;
mod place;
mod pod;
mod process;
mod proxy;
mod service;
mod subnets;
mod yaml;

pub use cgroup::Qos;
pub use empty::EmptyPrograms;
pub use node::{NodeBuilder, SimNode};
pub use outside::Outside;
pub use place::Place;
pub use pod::{Pod, PodBuilder};
pub use process::Process;
pub use service::{Service, ServiceBuilder};
