//! TCP segments: which of their bytes are worth shipping.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_cgroup_id;
use aya_ebpf::programs::SkBuffContext;
use observer_common::{
    Control, Direction, Settings, Socket, Stream, TcpClose, flag, kind, mode, tcp_state, verb,
};

use crate::cgroup_skb::full_socket;
use crate::field::field;
use crate::maps::{settings, take_control};
use crate::packet::{self, TCP_FIN, TCP_RST, TCP_SYN, Tcp};
use crate::ring::{About, LARGE_ROOM, emit, emit_bytes, emit_full, write_header};
use crate::{parking, repeats, socket, twins, walk};

/// Longest packet that can be a bare RST: IPv6 and TCP headers with all their options.
const LONGEST_BARE_SEGMENT: u32 = 40 + 60;

/// A segment of a socket whose state we hold. Answers whether it is to be walked over.
#[inline(always)]
pub fn of_known_socket<const SENT: bool>(ctx: &SkBuffContext, socket: *mut Socket) -> bool {
    let known = unsafe { &mut *socket };
    if known.done != 0 {
        // How it ends is still worth knowing, and a segment that says so is short.
        let tells_end = !SENT || known.flags & u32::from(flag::MIDSTREAM) != 0;
        if tells_end
            && ctx.len() <= LONGEST_BARE_SEGMENT
            && let Some(tcp) = packet::tcp_header(ctx)
        {
            note_end::<SENT>(ctx, known, tcp.flags);
        }
        return false;
    }
    if known.cgroup == 0 {
        known.cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    }
    let Some(tcp) = packet::tcp_header(ctx) else { return false };
    if tcp.flags & TCP_SYN != 0 {
        if SENT {
            // The name of the connection, which Fast Open's data would shift.
            known.sent.next = tcp.sequence.wrapping_add(1);
        }
        return false;
    }
    if tcp.payload_len > 0 {
        note_loopback(ctx, known);
        if payload::<SENT>(ctx, known, &tcp) {
            return true;
        }
    }
    // Last: the segment that ends a connection may carry bytes.
    note_end::<SENT>(ctx, known, tcp.flags);
    false
}

/// A segment that is to be walked over. Answers whether parked ones are due.
#[inline(always)]
pub fn of_walked<const SENT: bool>(ctx: &SkBuffContext, socket: *mut Socket) -> bool {
    let known = unsafe { &mut *socket };
    let Some(tcp) = packet::tcp_header(ctx) else { return false };
    let is_due = walk_over::<SENT>(ctx, known, &tcp);
    note_end::<SENT>(ctx, known, tcp.flags);
    is_due
}

/// The program that walks is missing: by allowance, as if frames were lost for good.
#[inline(always)]
pub fn of_unwalked<const SENT: bool>(socket: *mut Socket) {
    let known = unsafe { &mut *socket };
    lose(if SENT { &mut known.sent } else { &mut known.received }, settings().client_allowance);
}

/// The hole before what is parked of a socket was filled.
#[inline(always)]
pub fn of_parked(socket: *mut Socket) {
    let known = unsafe { &mut *socket };
    let cookie = known.cookie;
    let about = about::<false>(known);
    let stream = &mut known.received;
    let end = stream.ahead_end;
    let mut shipped = true;
    if let Some(kept) = parking::taken_up(cookie, stream) {
        shipped = walk::walk(&kept, stream, about, end);
    }
    if stream.next != end {
        lose(stream, settings().client_allowance);
    }
    parking::clear(cookie, stream);
    note_room(known, shipped);
}

/// Bytes that pass the loopback interface stay in their network namespace.
#[inline(always)]
pub fn note_loopback(ctx: &SkBuffContext, socket: &mut Socket) {
    if field!(ctx.skb.skb, __sk_buff, ifindex) == LOOPBACK_IFINDEX {
        socket.flags |= u32::from(flag::LOOPBACK);
    }
}

/// The first interface of each network namespace (`include/net/flow.h`).
const LOOPBACK_IFINDEX: u32 = 1;

/// An RST from the peer tells a reset from an abort. A connection from before our time has no callbacks to report
/// its end, so the first FIN or RST stands for it; its state is left to go with the socket.
#[inline(always)]
fn note_end<const SENT: bool>(ctx: &SkBuffContext, socket: &mut Socket, flags: u8) {
    if !SENT && flags & TCP_RST != 0 {
        socket.flags |= u32::from(flag::RESET_RECEIVED);
    }
    let midstream = socket.flags & u32::from(flag::MIDSTREAM) != 0;
    if !midstream || flags & (TCP_FIN | TCP_RST) == 0 || socket.last_speaker == ENDED {
        return;
    }
    socket.last_speaker = ENDED;
    socket.done = 1;
    let Some(sk) = full_socket(ctx) else { return };
    emit::<TcpClose>(|close| unsafe {
        write_header(
            &raw mut (*close).header,
            kind::TCP_CLOSE,
            socket.flags as u16,
            socket.cookie,
            socket.cgroup,
        );
        socket::write_tuple(sk, &raw mut (*close).tuple);
        (*close).opened = socket.opened;
        // The kernel's own counts cannot be read from here.
        (*close).bytes_sent = 0;
        (*close).bytes_received = 0;
        (*close).old_state = if flags & TCP_RST != 0 { tcp_state::ESTABLISHED } else { tcp_state::LAST_ACK };
    });
}

/// In `last_speaker`: nobody speaks any more.
const ENDED: u32 = 3;

/// Answers whether the segment is to be walked over.
#[inline(always)]
pub fn payload<const SENT: bool>(ctx: &SkBuffContext, socket: &mut Socket, tcp: &Tcp) -> bool {
    if let Some(word) = take_control(socket.cookie) {
        obey(socket, word);
        if socket.done != 0 {
            return false;
        }
    }
    let is_client = socket.flags & u32::from(flag::CLIENT) != 0;
    if is_client && socket.last_speaker == 0 && twins::has_server_here(socket) && settings().both_ends == 0 {
        socket.done = 1;
        socket.flags |= u32::from(flag::MUTED);
        return false;
    }
    let client_speaks = forget(&mut socket.scratch, u32::from(is_client == SENT)) != 0;
    let direction = if SENT { Direction::Sent } else { Direction::Received } as u32;
    let turn = u32::from(socket.last_speaker != direction);
    if SENT {
        catch_up(&mut socket.received, tcp.acknowledged);
    }
    let mut about = about::<SENT>(socket);
    let (stream, other) = if SENT {
        (&mut socket.sent, &mut socket.received)
    } else {
        (&mut socket.received, &mut socket.sent)
    };

    let end = tcp.sequence.wrapping_add(tcp.payload_len);
    if !after(end, stream.next) {
        return false; // a retransmission of what was looked at
    }
    if SENT && after(tcp.sequence, stream.next) && !walk::is_walking(stream) {
        // What is sent first comes by first: no hole, but data that went with the SYN.
        stream.next = tcp.sequence;
    }
    let in_order = !after(tcp.sequence, stream.next);
    if turn != 0 && stream.mode == mode::BY_ALLOWANCE && tcp.sequence == stream.next {
        recognise(ctx, stream, other, tcp, client_speaks, socket.last_speaker == 0);
    }
    let turn = forget(&mut socket.scratch, turn) != 0;
    match repeat::<SENT>(ctx, socket, tcp, turn, client_speaks) {
        Ok(()) => return false,
        Err(flags) => about.flags |= flags,
    }
    let stream = if SENT { &mut socket.sent } else { &mut socket.received };
    if in_order {
        // Otherwise the turn's first bytes are still to come.
        socket.last_speaker = direction;
    }
    let full = allowance(client_speaks);
    if walk::is_within_data(stream, tcp.sequence) {
        // Its order among others does not matter: what lies before the next frame is not wanted.
        if !after(end, stream.resume_at) {
            return false;
        }
        stream.next = stream.resume_at;
    }
    if walk::is_walking(stream) {
        socket.scratch = u32::from(turn) | u32::from(client_speaks) << 1;
        return true;
    }
    let shipped = by_allowance(ctx, stream, about, tcp, turn, full);
    note_room(socket, shipped);
    if SENT {
        repeats::left_out(socket);
    }
    false
}

/// At the server's end: whether the segment was counted, and needs no more; otherwise the flags that its record must
/// have, too.
#[inline(always)]
fn repeat<const SENT: bool>(
    ctx: &SkBuffContext,
    socket: &mut Socket,
    tcp: &Tcp,
    turn: bool,
    client_speaks: bool,
) -> Result<(), u16> {
    if SENT == client_speaks {
        return Err(0);
    }
    if SENT {
        if !turn {
            return Err(0);
        }
        repeats::answered(ctx, socket, tcp)?;
        socket.last_speaker = Direction::Sent as u32;
        socket.sent.allowance = 0;
        advance(&mut socket.sent, tcp.sequence.wrapping_add(tcp.payload_len));
        repeats::left_out(socket);
    } else {
        let stream = &socket.received;
        let alone = turn && stream.mode == mode::BY_ALLOWANCE && tcp.sequence == stream.next;
        repeats::heard(ctx, socket, tcp, alone && socket.last_speaker != 0)?;
        socket.last_speaker = Direction::Received as u32;
    }
    Ok(())
}

#[inline(always)]
fn walk_over<const SENT: bool>(ctx: &SkBuffContext, socket: &mut Socket, tcp: &Tcp) -> bool {
    let (turn, client_speaks) = (socket.scratch & 1 != 0, socket.scratch & 2 != 0);
    let about = about::<SENT>(socket);
    let stream = if SENT { &mut socket.sent } else { &mut socket.received };
    let end = tcp.sequence.wrapping_add(tcp.payload_len);
    let mut shipped = true;
    let kept = if after(tcp.sequence, stream.next) {
        // Where its frames start is told by what has not come yet.
        !SENT
            && parking::park(ctx.skb.skb, about.cookie, stream, tcp.sequence, tcp.payload_at, tcp.payload_len)
    } else {
        let packet = walk::Packet { ctx, at: tcp.payload_at, sequence: tcp.sequence };
        shipped = walk::walk(&packet, stream, about, end);
        stream.next == end
    };
    if !kept {
        // The daemon puts what comes in order, and says where frames start again.
        let full = allowance(client_speaks);
        lose(stream, full);
        shipped &= by_allowance(ctx, stream, about, tcp, turn, full);
    }
    note_room(socket, shipped);
    !SENT && parking::is_due(&socket.received)
}

#[inline(always)]
fn allowance(client_speaks: bool) -> u32 {
    let settings = settings();
    if client_speaks { settings.client_allowance } else { settings.server_allowance }
}

/// What the records of one direction of a socket say.
#[inline(always)]
fn about<const SENT: bool>(socket: &Socket) -> About<'static> {
    const OF_SOCKET: u16 = flag::CLIENT | flag::SERVER | flag::MIDSTREAM | flag::LOSSY | flag::LOOPBACK;
    let direction = if SENT { flag::SENT } else { 0 };
    About {
        kind: kind::TCP_DATA,
        flags: socket.flags as u16 & OF_SOCKET | direction,
        cookie: socket.cookie,
        cgroup: socket.cgroup,
        sequence: if SENT { socket.sent.next } else { socket.received.next },
        left_out: 0,
        first: socket.last_speaker == 0,
        tuple: None,
    }
}

#[inline(always)]
fn note_room(socket: &mut Socket, shipped: bool) {
    if shipped {
        socket.flags &= !u32::from(flag::LOSSY);
    } else {
        socket.flags |= u32::from(flag::LOSSY);
    }
}

/// Where frames start is not known any more.
#[inline(always)]
fn lose(stream: &mut Stream, full: u32) {
    stream.mode = mode::BY_ALLOWANCE;
    stream.allowance = full;
    stream.ahead_start = stream.ahead_end;
}

/// This end has acknowledged what comes before: nothing of it is still to come.
#[inline(always)]
fn catch_up(stream: &mut Stream, acknowledged: u32) {
    if !walk::is_walking(stream) && after(acknowledged, stream.next) {
        advance(stream, acknowledged);
    }
}

/// Of several holes only the first is remembered; what this leaves open ends when the peer is answered.
#[inline(always)]
fn note_ahead(stream: &mut Stream, start: u32, end: u32) {
    if parking::is_empty(stream) {
        stream.ahead_start = start;
        stream.ahead_end = end;
    } else if start == stream.ahead_end {
        stream.ahead_end = end;
    }
}

/// All before `next` has come, and with it perhaps the hole before what came ahead.
#[inline(always)]
fn advance(stream: &mut Stream, next: u32) {
    stream.next = next;
    if !parking::is_empty(stream) && !after(stream.ahead_start, next) {
        if after(stream.ahead_end, next) {
            stream.next = stream.ahead_end;
        }
        stream.ahead_start = stream.ahead_end;
    }
}

/// The same value, of which the verifier forgets where it comes from: it would follow each way to it to the end.
#[inline(always)]
fn forget(memory: &mut u32, value: u32) -> u32 {
    let memory: *mut u32 = memory;
    unsafe {
        memory.write_volatile(value);
        memory.read_volatile()
    }
}

/// The first bytes of either end tell HTTP/2 from all else, and then both directions are walked.
#[inline(always)]
fn recognise(
    ctx: &SkBuffContext,
    stream: &mut Stream,
    other: &mut Stream,
    tcp: &Tcp,
    client_speaks: bool,
    first: bool,
) {
    if !client_speaks {
        if first && walk::is_settings(ctx, tcp.payload_at) {
            walk::start_at(stream, tcp.sequence);
        }
    } else if (first || walk::is_walking(other)) && walk::is_preface(ctx, tcp.payload_at) {
        walk::start_at(stream, tcp.sequence.wrapping_add(walk::PREFACE));
        if first {
            walk::start_at(other, other.next);
        }
    }
}

/// Ships a segment's new bytes as far as the allowance reaches. Answers whether they found room.
#[inline(always)]
fn by_allowance(
    ctx: &SkBuffContext,
    stream: &mut Stream,
    mut about: About<'_>,
    tcp: &Tcp,
    turn: bool,
    full: u32,
) -> bool {
    let end = tcp.sequence.wrapping_add(tcp.payload_len);
    let mut start = if after(stream.next, tcp.sequence) { stream.next } else { tcp.sequence };
    let in_order = start == stream.next;
    if turn && (in_order || parking::is_empty(stream)) {
        stream.allowance = full;
    }
    if turn && in_order {
        about.flags |= flag::TURN;
    }
    if in_order {
        advance(stream, end);
    } else {
        note_ahead(stream, start, end);
    }
    if stream.mode == mode::SKIPPING {
        if !after(end, stream.resume_at) {
            return true;
        }
        if after(stream.resume_at, start) {
            start = stream.resume_at;
        }
        stream.mode = mode::BY_ALLOWANCE;
        stream.allowance = full;
        about.flags |= flag::TURN;
    }
    let wanted = end.wrapping_sub(start);
    let allowance = stream.allowance;
    if allowance == 0 {
        return true;
    }
    let take = if wanted < allowance { wanted } else { allowance };
    stream.allowance = allowance - take;
    about.sequence = start;
    let at = tcp.payload_at + start.wrapping_sub(tcp.sequence);
    ship(ctx, about, at, wanted, take)
}

/// Does what the daemon wants of this socket.
#[inline(always)]
fn obey(socket: &mut Socket, word: Control) {
    match word.verb {
        verb::STOP => socket.done = 1,
        verb::RESUME_RECEIVED => skip_to(&mut socket.received, word.argument),
        verb::RESUME_SENT => skip_to(&mut socket.sent, word.argument),
        verb::FRAMES => {
            frames_at(&mut socket.received, word.argument);
            frames_at(&mut socket.sent, word.other);
        }
        verb::FRAMES_RECEIVED => frames_at(&mut socket.received, word.argument),
        verb::FRAMES_SENT => frames_at(&mut socket.sent, word.other),
        verb::COUNT => repeats::begin(socket, word),
        _ => {}
    }
}

#[inline(always)]
fn skip_to(stream: &mut Stream, sequence: u32) {
    if !walk::is_walking(stream) {
        stream.resume_at = sequence;
        stream.mode = u32::from(after(sequence, stream.next)) * mode::SKIPPING;
    }
}

/// Unless frames are walked over already, or the daemon's word comes too late: it will say another.
#[inline(always)]
fn frames_at(stream: &mut Stream, sequence: u32) {
    if !walk::is_walking(stream) && !after(stream.next, sequence) {
        walk::start_at(stream, sequence);
        // What comes before it is left out like what was seen.
        stream.next = sequence;
    }
}

/// Ships the first `take` of `wanted` bytes, in as many records as that needs.
#[inline(always)]
pub fn ship(ctx: &SkBuffContext, mut about: About<'_>, mut at: u32, wanted: u32, take: u32) -> bool {
    let mut left = if take < wanted { take } else { wanted };
    let beyond = wanted - left;
    for _ in 0..Settings::MAX_ALLOWANCE / LARGE_ROOM as u32 {
        if left <= LARGE_ROOM as u32 {
            break;
        }
        if !emit_full(ctx.skb.skb, &about, at) {
            return false;
        }
        about.flags &= !flag::TURN;
        about.sequence = about.sequence.wrapping_add(LARGE_ROOM as u32);
        at += LARGE_ROOM as u32;
        left -= LARGE_ROOM as u32;
    }
    if left > LARGE_ROOM as u32 {
        left = LARGE_ROOM as u32;
    }
    about.left_out = beyond;
    left == 0 || emit_bytes(ctx.skb.skb, &about, at, left)
}

/// Sequence numbers wrap: `a` lies after `b` within half their range (RFC 9293 section 3.4).
#[inline(always)]
pub fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}
