//! Address or cgroup, at a moment, to principal, workload, pod and Service.

mod account_objects;
mod accounts;
mod address_history;
mod backends;
#[cfg(test)]
mod builders;
mod cgroup;
mod cgroup_tree;
mod index;
mod intern;
mod inventory;
mod lists;
mod malformed;
mod namespaces;
mod node_objects;
mod nodes;
mod objects;
mod pods;
mod services;
mod templates;
mod tenure;
mod workload;

pub use account_objects::{AccountObject, BindingObject, RoleObject, RuleObject, SubjectObject};
pub use cgroup_tree::{CgroupCounts, CgroupTree};
pub use index::{Account, Counts, Index, Settings};
pub use inventory::{Inventory, InventoryError};
pub use malformed::{Malformed, Problem};
pub use node_objects::{CiliumNodeObject, NodeObject};
pub use objects::{
    EndpointSliceObject, FieldError, Metadata, NamedObject, Object, ObjectKind, PodObject, ServiceObject,
};
pub use pods::{DEPARTED_FOR, MAX_DEPARTED, MAX_PODS};
pub use services::ServiceMatch;
