//! Load and attach the kernel programs, drain their ring: the only module that knows aya.

mod alarm;
mod canary;
mod cgroup_root;
#[expect(unsafe_code, reason = "the control table is memory shared with the kernel")]
mod control;
mod examine;
mod features;
mod load;

pub use canary::{CANARY_COMMAND, Canary, CanaryError, canary_main};
pub use cgroup_root::{CgroupRoot, CgroupRootError};
pub use control::ControlTable;
pub use examine::examine;
pub use features::{Check, Feature, FeatureState, verdict};
pub use load::{HookState, Hooks, Options, Probe, ProbeError};
