//! The frames of one direction (RFC 9113 sections 4 and 6): header blocks put together, everything else walked over.

use super::super::buffer::Buffer;
use super::super::session::Piece;

/// What a client says before its first frame (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest header block that is read, as it is on the wire: RFC 9113 section 10.5.1 lets an end refuse longer
/// ones, and nginx, Go and Envoy do so long before.
pub const LONGEST_BLOCK: usize = 64 * 1024;
/// Tries at finding a frame again, before it is let be for a while.
const TRIES: u8 = 64;

mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

mod flag {
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// RFC 9113 section 4.1.
#[derive(Clone, Copy)]
struct Header {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

const HEADER: usize = 9;

impl Header {
    fn read(bytes: &[u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        // The reserved bit is to be ignored.
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    /// What no end that keeps to RFC 9113 sections 6.1 to 6.10 sends.
    fn is_possible(self) -> bool {
        let of_stream = self.stream != 0;
        match self.kind {
            kind::DATA => of_stream,
            kind::HEADERS | kind::CONTINUATION => of_stream,
            kind::PRIORITY => of_stream && self.length == 5,
            kind::RST_STREAM => of_stream && self.length == 4,
            kind::SETTINGS => !of_stream && self.length.is_multiple_of(6),
            kind::PUSH_PROMISE => of_stream && self.length >= 4,
            kind::PING => !of_stream && self.length == 8,
            kind::GOAWAY => !of_stream && self.length >= 8,
            kind::WINDOW_UPDATE => self.length == 4,
            _ => true,
        }
    }

    /// A frame of a type that is not known is ignored where the stream is, and so tells nothing where it is not.
    fn is_known(self) -> bool {
        self.kind <= kind::CONTINUATION
    }
}

/// What a direction shows.
pub enum Seen<'a> {
    /// The client's preface is complete.
    Preface,
    /// It does not start as it must.
    NoPreface,
    /// A whole header block.
    Block { stream: u32, promise: bool, bytes: &'a [u8] },
    /// A header block that is not to be had whole.
    BlockLost { stream: u32, promise: bool, reason: &'static str },
    /// So many bytes that may have held anything.
    Lost(u64),
    /// From here on nothing can be read.
    Malformed,
}

enum State {
    /// So many bytes of the preface were seen.
    Preface(usize),
    Header {
        bytes: [u8; HEADER],
        have: usize,
    },
    /// A frame that is read whole, as far as it is there.
    Frame {
        header: Header,
        bytes: Buffer,
    },
    /// A frame that is not read: so much of it is to come.
    Skip(u64),
    /// Where a frame starts is not known.
    Lost,
}

impl State {
    const NEXT: Self = Self::Header { bytes: [0; HEADER], have: 0 };
}

struct Block {
    stream: u32,
    promise: bool,
    bytes: Buffer,
    too_long: bool,
}

/// See the module.
pub struct Walker {
    state: State,
    /// HEADERS or PUSH_PROMISE, to be continued.
    block: Option<Block>,
    tries_left: u8,
    /// A gap now holds DATA alone, and ends where a frame starts.
    only_data: bool,
}

impl Walker {
    pub fn at_preface() -> Self {
        Self { state: State::Preface(0), block: None, tries_left: TRIES, only_data: false }
    }

    pub fn at_frame() -> Self {
        Self { state: State::NEXT, block: None, tries_left: TRIES, only_data: false }
    }

    pub fn lost() -> Self {
        Self { state: State::Lost, block: None, tries_left: TRIES, only_data: false }
    }

    /// Whether somebody who saw it knows that a gap holds DATA alone, and ends where a frame starts.
    pub fn expect_data(&mut self, only_data: bool) {
        self.only_data = only_data;
    }

    /// It was tried often enough to find a frame.
    pub fn is_tired(&self) -> bool {
        self.tries_left == 0
    }

    pub fn rested(&mut self) {
        self.tries_left = TRIES;
    }

    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// A header block has begun and is not complete.
    pub fn is_amid_block(&self) -> bool {
        let frame = matches!(&self.state, State::Frame { header, .. } if header.kind == kind::HEADERS);
        frame || self.block.is_some()
    }

    /// In how many bytes a frame starts, as far as that is known and what lies before it is not needed.
    pub fn boundary(&self) -> Option<u64> {
        match self.state {
            State::Skip(left) => Some(left),
            State::Header { have: 0, .. } => Some(0),
            _ => None,
        }
    }

    pub fn push(&mut self, piece: Piece<'_>, see: &mut impl FnMut(Seen<'_>)) {
        match piece {
            Piece::Gap { len } => self.gap(len, see),
            Piece::Bytes { bytes, turn } => {
                if matches!(self.state, State::Lost) {
                    if !turn || !shows_frames(bytes) {
                        self.tries_left -= u8::from(turn && self.tries_left > 0);
                        return see(Seen::Lost(bytes.len() as u64));
                    }
                    self.tries_left = TRIES;
                    self.state = State::NEXT;
                }
                self.bytes(bytes, see);
            }
        }
    }

    fn gap(&mut self, len: u64, see: &mut impl FnMut(Seen<'_>)) {
        match &mut self.state {
            State::Skip(left) if *left > len => *left -= len,
            State::Skip(left) if *left == len => self.state = State::NEXT,
            State::Skip(_) | State::Header { have: 0, .. } if self.only_data => self.state = State::NEXT,
            _ => {
                self.lose_block("head-truncated", see);
                self.state = State::Lost;
                see(Seen::Lost(len));
            }
        }
    }

    fn lose_block(&mut self, reason: &'static str, see: &mut impl FnMut(Seen<'_>)) {
        if let Some(Block { stream, promise, .. }) = self.block.take() {
            see(Seen::BlockLost { stream, promise, reason });
        } else if let State::Frame { header, .. } = &self.state {
            let promise = header.kind == kind::PUSH_PROMISE;
            see(Seen::BlockLost { stream: header.stream, promise, reason });
        }
    }

    fn bytes(&mut self, mut rest: &[u8], see: &mut impl FnMut(Seen<'_>)) {
        while !rest.is_empty() {
            match &mut self.state {
                State::Preface(seen) => {
                    let here = (PREFACE.len() - *seen).min(rest.len());
                    if rest[..here] != PREFACE[*seen..*seen + here] {
                        self.state = State::Lost;
                        self.tries_left = 0;
                        return see(Seen::NoPreface);
                    }
                    rest = &rest[here..];
                    *seen += here;
                    if *seen == PREFACE.len() {
                        self.state = State::NEXT;
                        see(Seen::Preface);
                    }
                }
                State::Header { bytes, have } => {
                    let here = (HEADER - *have).min(rest.len());
                    bytes[*have..*have + here].copy_from_slice(&rest[..here]);
                    rest = &rest[here..];
                    *have += here;
                    if *have == HEADER {
                        let header = Header::read(bytes);
                        if let Err(reason) = self.begin(header, see) {
                            self.lose_block(reason, see);
                            self.state = State::Lost;
                            see(Seen::Malformed);
                            return see(Seen::Lost(rest.len() as u64));
                        }
                    }
                }
                State::Skip(left) => {
                    let here = (*left).min(rest.len() as u64);
                    rest = &rest[here as usize..];
                    *left -= here;
                    if *left == 0 {
                        self.state = State::NEXT;
                    }
                }
                State::Frame { header, bytes } => {
                    let header = *header;
                    let here = (header.length as usize - bytes.len()).min(rest.len());
                    // Most frames come whole, and are read where they lie.
                    if bytes.is_empty() && here == header.length as usize {
                        self.state = State::NEXT;
                        self.frame(header, &rest[..here], see);
                    } else {
                        bytes.extend(&rest[..here]);
                        if bytes.len() == header.length as usize {
                            let whole = std::mem::take(bytes);
                            self.state = State::NEXT;
                            self.frame(header, whole.bytes(), see);
                        }
                    }
                    rest = &rest[here..];
                }
                State::Lost => return see(Seen::Lost(rest.len() as u64)),
            }
        }
    }

    fn begin(&mut self, header: Header, see: &mut impl FnMut(Seen<'_>)) -> Result<(), &'static str> {
        if !header.is_possible() {
            return Err("malformed-http2");
        }
        // RFC 9113 section 6.10: nothing comes between the frames of a header block.
        let continues = header.kind == kind::CONTINUATION;
        if self.block.as_ref().is_some_and(|block| !continues || block.stream != header.stream) {
            return Err("malformed-http2");
        }
        self.state = match header.kind {
            // What it continues was lost, with the table.
            kind::CONTINUATION if self.block.is_none() => State::Skip(header.length.into()),
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => {
                let before = self.block.as_ref().map_or(0, |block| block.bytes.len());
                if before + header.length as usize > LONGEST_BLOCK {
                    self.skip_block(header, see);
                    State::Skip(header.length.into())
                } else {
                    State::Frame { header, bytes: Buffer::default() }
                }
            }
            _ => State::Skip(header.length.into()),
        };
        match self.state {
            State::Skip(0) => self.state = State::NEXT,
            State::Frame { .. } if header.length == 0 => {
                self.state = State::NEXT;
                self.frame(header, &[], see);
            }
            _ => {}
        }
        Ok(())
    }

    /// A block that grew too long goes on to its end unread.
    fn skip_block(&mut self, header: Header, see: &mut impl FnMut(Seen<'_>)) {
        let block = self.block.get_or_insert_with(|| Block {
            stream: header.stream,
            promise: header.kind == kind::PUSH_PROMISE,
            bytes: Buffer::default(),
            too_long: true,
        });
        block.bytes.clear();
        block.too_long = true;
        if header.flags & flag::END_HEADERS != 0 {
            self.lose_block("head-too-long", see);
        }
    }

    /// A frame of a header block is there.
    fn frame(&mut self, header: Header, payload: &[u8], see: &mut impl FnMut(Seen<'_>)) {
        let whole = header.flags & flag::END_HEADERS != 0;
        let promise = header.kind == kind::PUSH_PROMISE;
        let Some(fragment) = fragment(header, payload) else {
            see(Seen::Malformed);
            return see(Seen::BlockLost { stream: header.stream, promise, reason: "malformed-http2" });
        };
        match &mut self.block {
            None if whole => see(Seen::Block { stream: header.stream, promise, bytes: fragment }),
            None => {
                let mut bytes = Buffer::default();
                bytes.extend(fragment);
                self.block = Some(Block { stream: header.stream, promise, bytes, too_long: false });
            }
            Some(block) => {
                if !block.too_long {
                    block.bytes.extend(fragment);
                }
                if !whole {
                    return;
                }
                if block.too_long {
                    return self.lose_block("head-too-long", see);
                }
                if let Some(Block { stream, promise, bytes, .. }) = self.block.take() {
                    see(Seen::Block { stream, promise, bytes: bytes.bytes() });
                }
            }
        }
    }
}

/// A frame's part of the header block, without padding, priority and promised stream (RFC 9113 sections 6.2, 6.6
/// and 6.10). `None` if its lengths contradict each other.
fn fragment(header: Header, payload: &[u8]) -> Option<&[u8]> {
    if header.kind == kind::CONTINUATION {
        return Some(payload);
    }
    let mut rest = payload;
    let mut padding = 0;
    if header.flags & flag::PADDED != 0 {
        let (&length, left) = rest.split_first()?;
        (padding, rest) = (usize::from(length), left);
    }
    if header.kind == kind::PUSH_PROMISE {
        rest = rest.get(4..)?;
    } else if header.flags & flag::PRIORITY != 0 {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}

fn headers(mut bytes: &[u8]) -> impl Iterator<Item = Header> {
    std::iter::from_fn(move || {
        let (first, rest) = bytes.split_first_chunk()?;
        let header = Header::read(first);
        bytes = rest.get(header.length as usize..).unwrap_or(&[]);
        Some(header)
    })
}

/// Whether a frame starts here, and one after it as far as the bytes reach.
pub fn shows_frames(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER && headers(bytes).all(|header| header.is_known() && header.is_possible())
}

/// Whether frames start here, among them a client's request or its trailers.
pub fn shows_request(bytes: &[u8]) -> bool {
    let request = |header: Header| header.kind == kind::HEADERS && header.stream % 2 == 1;
    shows_frames(bytes) && headers(bytes).any(request)
}

/// Whether a server that speaks first starts so: with SETTINGS (RFC 9113 section 3.4). `None`: perhaps.
pub fn starts_with_settings(bytes: &[u8]) -> Option<bool> {
    // No server has more settings than fit in 255 bytes.
    const SHAPE: [Option<u8>; HEADER] =
        [Some(0), Some(0), None, Some(kind::SETTINGS), Some(0), Some(0), Some(0), Some(0), Some(0)];
    if !bytes.iter().zip(SHAPE).all(|(&byte, wanted)| wanted.is_none_or(|wanted| byte == wanted)) {
        return Some(false);
    }
    (bytes.len() >= HEADER).then_some(shows_frames(bytes))
}
