//! Segments that arrive in another order than they were sent: what the programs ship of them.

use observer::model::Direction;

use crate::stage::{Bytes, Cgroup, Script, Watch};

/// A client that is no kernel: it puts segments on a wire in whatever order it likes. `put` takes the position of the
/// first byte in what the client says, and must keep within the server's window; `answered` waits until the server has acknowledged so many bytes.
const WIRE: &str = r"
import fcntl, struct
SERVER, CLIENT = '198.51.100.1', '198.51.100.2'
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'wire', 0x1001))
os.system('ip address add 198.51.100.1/24 dev wire; ip link set wire mtu 65000 up')
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data[:len(data) // 2 * 2]))
    if len(data) % 2: total += data[-1] << 8
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
class Wire:
    def __init__(self, l):
        self.port, self.start, self.ack = l.getsockname()[1], 0xfffff000, 0
        self.put(-1, b'', flags=2)
        self.wait(lambda flags, ack: flags & 0x12 == 0x12)
        self.put(0, b'')
    def put(self, at, data, flags=0x10):
        header = struct.pack('!HHIIBBHHH', 40000, self.port, (self.start + at) & 0xffffffff, self.ack, 5 << 4,
                             flags | (8 if data else 0), 0xffff, 0, 0)
        ends = socket.inet_aton(CLIENT) + socket.inet_aton(SERVER)
        sum_ = checksum(ends + struct.pack('!HH', 6, len(header) + len(data)) + header + data)
        segment = header[:16] + struct.pack('!H', sum_) + header[18:] + data
        ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(segment), 0, 0x4000, 64, 6, 0) + ends
        os.write(tun, ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:] + segment)
    def wait(self, wanted):
        while True:
            packet = os.read(tun, 70000)
            if packet[0] >> 4 != 4 or packet[9] != 6: continue
            tcp = packet[20:]
            seq, ack, flags = *struct.unpack('!II', tcp[4:12]), tcp[13]
            self.ack = (seq + len(tcp) - (tcp[12] >> 4) * 4 + (flags & 2 != 0) + (flags & 1)) & 0xffffffff
            if wanted(flags, (ack - self.start) & 0xffffffff): return
    def answered(self, at): self.wait(lambda flags, ack: flags & 8 and ack >= at)
l = listen(SERVER); wire = Wire(l); s, _ = l.accept()
say(40000, l.getsockname()[1])
";

fn start(cgroup: &Cgroup, script: &str) -> Script {
    cgroup.start_alone("", &format!("{WIRE}{script}"))
}

/// What the server's socket received, of the records so far.
fn received(watch: &Watch, client_port: u16, server_port: u16) -> (Vec<&Bytes>, u32) {
    let open = watch.open_of(server_port, client_port);
    let of_client = |bytes: &&Bytes| bytes.cookie == open.cookie && bytes.direction == Direction::Received;
    (watch.payloads.iter().filter(of_client).collect(), open.start.unwrap().1)
}

/// HTTP/2 as a client uploads: `count` header blocks, each followed by 40,000 bytes of DATA in frames of 16 KiB and less.
const UPLOADS: &str = r"
def frame(kind, flags, stream, payload):
    return struct.pack('!I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('!I', stream) + payload
def uploads(count):
    said = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0, b'')
    for n in range(count):
        said += frame(1, 4, 2 * n + 1, b'header block %04d' % n)
        for length in (16384, 16384, 7232): said += frame(0, 0, 2 * n + 1, b'x' * length)
    return said
";

#[test]
fn frames_in_segments_that_arrive_swapped_are_walked_over_in_order() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    // Segments whose ends lie anywhere in frames, headers included; of each four the middle two are swapped, of
    // others three come ahead of the first, and some come twice.
    let mut script = start(
        &cgroup,
        &format!(
            "{UPLOADS}
said = uploads(40); at = 0; pieces = []
for n in range(1000):
    length = [1448, 9000, 13168, 333, 16393, 20000, 7, 2896][n * 7 % 8]
    if at < len(said): pieces.append((at, said[at:at + length])); at += length
first, rest = pieces[:2], pieces[2:]
for piece in first: wire.put(*piece)
for n in range(0, len(rest), 4):
    four = rest[n:n + 4]
    order = [[0, 2, 1, 3], [1, 2, 3, 0], [0, 1, 3, 3, 2]][n // 4 % 3]
    for index in order:
        if index < len(four): wire.put(*four[index])
    read(s, sum(len(piece) for _, piece in four))
read(s, sum(len(piece) for _, piece in first)); say(len(said))
"
        ),
    );
    let [client_port, server_port] = script.ports();
    let [total] = script.numbers();
    script.end();
    watch.until("the last header block", |watch| {
        let (records, _) = received(watch, client_port, server_port);
        records.iter().any(|record| record.bytes.windows(17).any(|bytes| bytes == b"header block 0039"))
    });
    let (records, start) = received(&watch, client_port, server_port);
    let positions: Vec<_> = records.iter().map(|record| record.sequence.wrapping_sub(start)).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    assert!(records.iter().all(|record| !record.lossy));
    let shipped: Vec<u8> = records.iter().flat_map(|record| record.bytes.clone()).collect();
    let blocks: Vec<_> = (0..40).map(|n| format!("header block {n:04}")).collect();
    let shipped_text = String::from_utf8_lossy(&shipped);
    let mut rest = &*shipped_text;
    for block in &blocks {
        let (_, after) = rest.split_once(block.as_str()).unwrap_or_else(|| panic!("{block} is missing"));
        rest = after;
    }
    assert_eq!(shipped_text.matches("header block").count(), 40);
    assert!(shipped.len() < 20_000, "{} of {total} bytes were shipped", shipped.len());
}

#[test]
fn more_holes_than_one_are_a_loss() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = start(
        &cgroup,
        &format!(
            "{UPLOADS}
said = uploads(2); wire.put(0, said[:1000]); read(s, 1000)
# In each hole a frame starts, at 16452 and at 32845.
for start, end in ((17000, 30000), (33000, 60000), (1000, 17000), (30000, 33000)): wire.put(start, said[start:end])
read(s, 59000)
"
        ),
    );
    let [client_port, server_port] = script.ports();
    script.end();
    watch.until("what was left", |watch| received(watch, client_port, server_port).0.len() > 2);
    let (records, _) = received(&watch, client_port, server_port);
    // By allowance, not as walked frames: the daemon finds frames again.
    assert!(records.iter().any(|record| !record.walked && record.bytes.len() > 1000), "{records:?}");
}

#[test]
fn a_request_whose_first_two_segments_arrive_swapped_is_shipped_whole() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = start(
        &cgroup,
        "
one, two, three = b'GET /one HTTP/1.1\\r\\n', b'Host: shop\\r\\n', b'\\r\\n'
at = 0
for _ in range(3):
    wire.put(at + len(one), two); wire.put(at, one); wire.put(at + len(one + two), three)
    at += len(one + two + three); read(s, len(one + two + three))
    s.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n'); wire.answered(at); wire.put(at, b'')
",
    );
    let [client_port, server_port] = script.ports();
    script.end();
    watch.until("all segments", |watch| received(watch, client_port, server_port).0.len() == 9);
    let (mut records, start) = received(&watch, client_port, server_port);
    records.sort_by_key(|record| record.sequence.wrapping_sub(start));
    let bytes: Vec<u8> = records.iter().flat_map(|record| record.bytes.clone()).collect();
    assert_eq!(bytes, b"GET /one HTTP/1.1\r\nHost: shop\r\n\r\n".repeat(3));
    // A turn starts where the request does, and nowhere else.
    let turns: Vec<_> = records.iter().map(|record| record.turn).collect();
    assert_eq!(turns, [true, false, false].repeat(3));
}

#[test]
fn a_body_sent_ahead_of_a_hole_is_not_shipped_beyond_the_allowance() {
    let cgroup = Cgroup::create();
    let mut watch = cgroup.watch();
    let mut script = start(
        &cgroup,
        "
head = b'POST / HTTP/1.1\\r\\nContent-Length: 50000\\r\\n\\r\\n'
body = b'x' * 50000
for at in range(0, 50000, 5000): wire.put(len(head) + at, body[at:at + 5000])
wire.put(0, head); read(s, len(head + body))
",
    );
    let [client_port, server_port] = script.ports();
    script.end();
    let head = |watch: &Watch| {
        received(watch, client_port, server_port).0.iter().any(|record| record.bytes.starts_with(b"POST"))
    };
    watch.until("the head", head);
    let (records, _) = received(&watch, client_port, server_port);
    let shipped: usize = records.iter().map(|record| record.bytes.len()).sum();
    // Once for what came ahead, and once for the turn itself.
    assert!(shipped <= 2 * 16 * 1024, "{shipped}");
}
