//! Load and attach the kernel programs, drain their ring: the only module that knows aya.

mod alarm;
mod canary;
mod cgroup_root;
mod control;
mod examine;
mod features;
mod load;
mod repeats;
#[expect(unsafe_code, reason = "memory shared with the kernel")]
mod shared;

pub use canary::{CANARY_COMMAND, Canary, CanaryError, canary_main};
pub use cgroup_root::{CgroupRoot, CgroupRootError};
pub use control::ControlTable;
pub use examine::examine;
pub use features::{Check, Feature, FeatureState, verdict};
pub use load::{HookState, Hooks, Options, Probe, ProbeError};
pub use repeats::RepeatTable;
