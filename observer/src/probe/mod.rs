//! Load and attach the kernel programs, drain their ring: the only module that knows aya.

mod canary;
mod cgroup_root;
#[expect(unsafe_code, reason = "the control table is memory shared with the kernel")]
mod control;
mod features;
mod load;

pub use canary::Canary;
pub use cgroup_root::{CgroupRoot, CgroupRootError};
pub use features::{Feature, FeatureState, features};
pub use load::{HookState, Hooks, Options, Probe, ProbeError};
