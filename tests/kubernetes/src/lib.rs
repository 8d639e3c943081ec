//! A real kube-apiserver on etcd, for tests: real objects, real RBAC, real tokens. Nothing else of a cluster runs.
#![forbid(unsafe_code)]

mod certificates;
mod control_plane;
mod guarded;
mod objects;
mod programs;
mod scene;

pub use control_plane::{ControlPlane, ControlPlaneBuilder, ISSUER};
pub use objects::Cluster;
pub use scene::{Scene, header_file, running};
