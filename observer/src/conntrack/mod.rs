//! One table of live flows by socket cookie: which end reports, and the bytes of each direction in order.
//!
//! Sans-IO: events and `now` come in, what there is to do goes out. What a flow means is its session's business,
//! which the table carries and does not know.

mod counted;
mod role;
mod stream;
mod table;

pub use role::Role;
pub use stream::{Piece, Stream};
pub use table::{Flow, Settings, Stage, Table, Twin};

#[cfg(test)]
mod tests;
