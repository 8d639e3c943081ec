//! Address or cgroup, at a moment, to principal, workload, pod and Service.

mod address_history;
#[cfg(test)]
mod builders;
mod cgroup;
mod cgroup_tree;
mod index;
mod intern;
mod inventory;
mod lists;
mod malformed;
mod nodes;
mod objects;
mod pods;
mod services;
mod templates;
mod tenure;
mod workload;

pub use cgroup_tree::{CgroupCounts, CgroupTree};
pub use index::{Counts, Index, Settings};
pub use inventory::{Inventory, InventoryError};
pub use malformed::{Malformed, Problem};
pub use objects::{
    CiliumNodeObject, EndpointSliceObject, FieldError, Metadata, NamedObject, NodeObject, Object, ObjectKind,
    PodObject, ServiceObject,
};
pub use pods::{DEPARTED_FOR, MAX_DEPARTED, MAX_PODS};
pub use services::ServiceMatch;
