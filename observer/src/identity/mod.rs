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
mod services;
mod workload;

pub use cgroup_tree::{CgroupCounts, CgroupTree};
pub use index::{Counts, Index, Settings};
pub use inventory::{Inventory, InventoryError};
pub use malformed::{Malformed, Problem};
pub use objects::{FieldError, Metadata, Object, ObjectKind};
pub use services::ServiceMatch;
