"""Somebody else's kernel programs: counts packets, established connections and round trips in a cgroup.

Arguments: the cgroup's directory, the flags of BPF_PROG_ATTACH, and what to attach (`skb`, `sock_ops` or both, by
comma). Programs go in as instructions (Documentation/bpf/standardization/instruction-set.rst), attached the old way
and not by link, so that they stay when this process ends. Says `attached`, or the error; then, for each line that it
reads, `ingress egress established round-trips`.
"""
import ctypes, errno, os, platform, struct, sys

SYSCALL = {"x86_64": 321, "aarch64": 280}[platform.machine()]
LIBC = ctypes.CDLL(None, use_errno=True)
MAP_CREATE, MAP_LOOKUP, PROG_LOAD, PROG_ATTACH = 0, 1, 5, 8
SKB, SOCK_OPS = 8, 13  # enum bpf_prog_type
INGRESS, EGRESS, ATTACH_SOCK_OPS = 0, 1, 3  # enum bpf_attach_type
ACTIVE_ESTABLISHED, PASSIVE_ESTABLISHED, RTT = 4, 5, 12  # operations of sock_ops
RTT_FLAG, FLAGS_AT = 8, 84  # BPF_SOCK_OPS_RTT_CB_FLAG; where bpf_sock_ops has its bpf_sock_ops_cb_flags


def bpf(command, *fields):
    attributes = ctypes.create_string_buffer(b"".join(fields), 128)
    result = LIBC.syscall(SYSCALL, command, attributes, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def instruction(code, target=0, source=0, offset=0, value=0):
    return struct.pack("<BBhi", code, target | source << 4, offset, value)


def count(index):
    return [
        instruction(0x62, 10, 0, -4, index),  # *(u32 *)(r10 - 4) = index
        instruction(0x18, 1, 1, 0, COUNTS), instruction(0),  # r1 = the map
        instruction(0xBF, 2, 10), instruction(0x07, 2, 0, 0, -4),  # r2 = r10 - 4
        instruction(0x85, 0, 0, 0, 1),  # bpf_map_lookup_elem
        instruction(0x15, 0, 0, 2, 0),  # if r0 == 0, skip two
        instruction(0xB7, 1, 0, 0, 1), instruction(0xDB, 0, 1),  # lock *(u64 *)r0 += 1
    ]


PASS = [instruction(0xB7, 0, 0, 0, 1), instruction(0x95)]


def when_established():
    ask = [
        instruction(0x61, 2, 6, FLAGS_AT), instruction(0x47, 2, 0, 0, RTT_FLAG),  # r2 = flags | RTT
        instruction(0xBF, 1, 6), instruction(0x85, 0, 0, 0, 59),  # bpf_sock_ops_cb_flags_set(ctx, r2)
    ]
    return ask + count(2)


def sock_ops():
    program = [instruction(0xBF, 6, 1)]
    for operations, then in (((ACTIVE_ESTABLISHED, PASSIVE_ESTABLISHED), when_established()), ((RTT,), count(3))):
        program.append(instruction(0x61, 7, 6, 0))  # r7 = op
        for left, operation in reversed(list(enumerate(reversed(operations)))):
            program.append(instruction(0x15, 7, 0, left + 1, operation))
        program.append(instruction(0x05, 0, 0, len(then)))
        program += then
    return program + PASS


def load(kind, program, expected):
    code = ctypes.create_string_buffer(b"".join(program))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(65536)
    try:
        return bpf(PROG_LOAD, struct.pack("<IIQQIIQII16sII", kind, len(program), ctypes.addressof(code),
                                          ctypes.addressof(licence), 1, 65536, ctypes.addressof(log), 0, 0,
                                          b"foreign", 0, expected))
    except OSError:
        sys.stderr.write(log.value.decode())
        raise


def attach(cgroup, program, kind, flags):
    bpf(PROG_ATTACH, struct.pack("<IIII", cgroup, program, kind, flags))


def look(index):
    key, value = ctypes.c_uint32(index), ctypes.c_uint64()
    bpf(MAP_LOOKUP, struct.pack("<IIQQ", COUNTS, 0, ctypes.addressof(key), ctypes.addressof(value)))
    return value.value


COUNTS = bpf(MAP_CREATE, struct.pack("<IIII", 2, 4, 8, 4))
try:
    directory = os.open(sys.argv[1], os.O_RDONLY)
    flags, wanted = int(sys.argv[2]), sys.argv[3].split(",")
    if "skb" in wanted:
        for index, kind in enumerate((INGRESS, EGRESS)):
            attach(directory, load(SKB, count(index) + PASS, kind), kind, flags)
    if "sock_ops" in wanted:
        attach(directory, load(SOCK_OPS, sock_ops(), ATTACH_SOCK_OPS), ATTACH_SOCK_OPS, flags)
    print("attached", flush=True)
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
for line in sys.stdin:
    print(*(look(index) for index in range(4)), flush=True)
