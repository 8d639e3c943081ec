//! Connections both of whose ends are on this node: the server's end reports, so the client's keeps silent from its
//! first byte on, before the daemon could tell it to.
//!
//! The pair of initial sequence numbers names a connection whatever translates its addresses. The server's end writes
//! it down when it is established, which is before the client's connect() returns.

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use observer_common::{Socket, TWIN_SLOTS};

/// (first byte the client sends, first byte it receives). A later connection may take the slot of an earlier one whose
/// client has not spoken: then that ships until the daemon stops it.
#[map]
static TWINS: Array<[u32; 2]> = Array::with_max_entries(TWIN_SLOTS, 0);

/// This server's end reports.
#[inline(always)]
pub fn announce(server: &Socket) {
    let name = [server.received.next, server.sent.next];
    if let Some(slot) = TWINS.get_ptr_mut(slot_of(name)) {
        unsafe { *slot = name };
    }
}

/// Whether the server of this client, which has neither spoken nor heard yet, reports here.
#[inline(always)]
pub fn has_server_here(client: &Socket) -> bool {
    let name = [client.sent.next, client.received.next];
    TWINS.get(slot_of(name)).is_some_and(|found| *found == name)
}

#[inline(always)]
fn slot_of([sent, received]: [u32; 2]) -> u32 {
    // Initial sequence numbers are as good as random (RFC 6528).
    (sent ^ received) & (TWIN_SLOTS - 1)
}
