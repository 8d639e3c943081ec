//! The shared vocabulary: no IO, no cluster client, no kernel. Every stage imports this and none imports another.

mod authentication;
mod declaration;
mod edge;
mod encryption;
mod event;
mod finding;
mod hash;
mod identity;
mod posture;
mod record;
mod time;
mod uid;

pub use authentication::{Authentication, AuthenticationStatus, Scheme, TokenFacts, TokenKind};
pub use declaration::{Declaration, DeclarationStatus};
pub use edge::{EdgeEnd, EdgeKey, EdgePort};
pub use encryption::{Encryption, EncryptionStatus, Evidence, Link, Mesh, MeshTarget};
pub use event::{Close, Cookie, Direction, Endpoint, Event, Open, Payload, Repeats, Transport, UdpClose};
pub use finding::{FindingKind, FindingSet};
pub use hash::HashMap;
pub use identity::{Identity, Kind, Label, OwnLabels, Pod, PodIps, Port, Template, TokenMount, Workload};
pub use posture::{PostureKind, PostureRow, PostureStatus};
pub use record::{
    CloseReason, FlowRecord, Hop, LastRequest, OfTemplate, Party, Protocol, Reporter, RequestCounts,
};
pub use time::Timestamp;
pub use uid::Uid;
