//! A real kube-apiserver on etcd, for tests: real objects, real RBAC, real tokens. Nothing else of a cluster runs.
#![forbid(unsafe_code)]

mod certificates;
mod control_plane;
mod guarded;
mod kubelet;
mod objects;
mod programs;
mod scene;

pub use control_plane::{ControlPlane, ControlPlaneBuilder, ISSUER};
pub use kubelet::{Kubelet, KubeletManners};
pub use objects::Cluster;
pub use programs::find as program;
pub use scene::{Scene, header_file, running};
