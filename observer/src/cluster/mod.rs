//! Stage `cluster`: what the API server tells. Watches the objects that say who is who, and finds out whose tokens
//! count. Nothing is decided here: objects go to `identity`, keys to `token`.
//!
//! Every loss of the API server is survived: what was heard stays until it is heard anew.

mod access;
mod backoff;
mod checks;
mod follow;
mod issuers;
mod permissions;
mod resource;
mod state;
mod wire;

pub use access::{Access, AccessError};
pub use checks::{Finding, Lack, check};
pub use follow::{Change, Heard, watch};
pub use issuers::{KeySource, Keys, Loaded};
pub use permissions::Allowed;
pub use resource::Resource;
pub use state::{WatchState, Watches};
