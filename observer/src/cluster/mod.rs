//! Stage `cluster`: what the API server tells. Watches the objects that say who is who, and finds out whose tokens
//! count, and what declares edges. Nothing is decided here: objects go to `identity` and `graph`, keys to `token`.
//!
//! Every loss of the API server is survived: what was heard stays until it is heard anew.

mod access;
mod backoff;
mod checks;
mod collection;
mod discovery;
mod election;
mod follow;
mod issuers;
mod lease;
mod permissions;
mod resource;
mod state;
mod wire;

pub use access::{Access, AccessError};
pub use checks::{Finding, Lack, check};
pub use collection::{Collection, Declaring, DeclaringObject};
pub use election::{Election, Step};
pub use follow::{Change, Heard, watch};
pub use issuers::{KeySource, Keys, Loaded};
pub use lease::{Lease, Leases};
pub use resource::Resource;
pub use state::{WatchState, Watches};
