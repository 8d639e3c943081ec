//! All rows, in the order of the table. New ones go to the end of their part: a row's port follows from its place.

mod grpc;
mod heads;
mod http1;
mod http2;
mod midstream;
mod named;
mod proxies;
mod tls;
mod upgrades;

use crate::row::Row;

pub fn all() -> Vec<Row> {
    // First those that wait for the daemon.
    let parts =
        [midstream::rows, http1::rows, heads::rows, proxies::rows, http2::rows, grpc::rows, tls::rows];
    let more = [upgrades::rows, named::rows];
    parts.into_iter().chain(more).flat_map(|rows| rows()).collect()
}
