"""A server that speaks the clear part of a protocol, upgrades to TLS where it is asked to and may, and hangs up when
the client goes on in either way.

Usage: server.py DIALECT PORT CERTIFICATE KEY tls|clear
"""
import socket
import ssl
import struct
import sys
import threading

DIALECT, PORT, CERTIFICATE, KEY, OFFER = sys.argv[1:]
TLS = OFFER == "tls"
MYSQL_SSL = 0x800


class Talk:
    def __init__(self, connection):
        self.connection = connection

    def say(self, data):
        self.connection.sendall(data)

    def hear(self, count):
        data = b""
        while len(data) < count:
            more = self.connection.recv(count - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    def line(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self.hear(1)
        return line

    def upgrade(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        with context.wrap_socket(self.connection, server_side=True) as encrypted:
            encrypted.recv(4096)


def postgres(talk):
    while True:
        length, code = struct.unpack("!II", talk.hear(8))
        if code == 80877103 and TLS:
            talk.say(b"S")
            return talk.upgrade()
        if code in (80877103, 80877104):
            talk.say(b"N")
            continue
        talk.hear(length - 8)
        fields = b"SFATAL\0C28000\0Mnot today\0\0"
        return talk.say(b"E" + struct.pack("!I", len(fields) + 4) + fields)


def mysql(talk):
    low = 0xffff if TLS else 0xffff & ~MYSQL_SSL
    body = (b"\x0a5.5.5-10.11.6-MariaDB\0" + struct.pack("<I", 8) + b"abcdefgh\0" + struct.pack("<HBHH", low, 45, 2, 0x81ff)
            + b"\x15" + bytes(10) + b"ijklmnopqrst\0mysql_native_password\0")
    talk.say(struct.pack("<I", len(body)) + body)
    length = struct.unpack("<I", talk.hear(4))[0] & 0xffffff
    answer = talk.hear(length)
    if length == 32 and struct.unpack("<I", answer[:4])[0] & MYSQL_SSL:
        return talk.upgrade()
    refusal = b"\xff\x15\x04#28000Access denied"
    talk.say(struct.pack("<I", len(refusal) | 2 << 24) + refusal)


def lines(greeting, starts, accept, refuse, answers):
    def serve(talk):
        talk.say(greeting)
        while True:
            line = talk.line()
            word = line.upper().split()
            if not word:
                continue
            tag = word[0] + b" " if DIALECT == "imap" else b""
            verb = word[1] if DIALECT == "imap" else word[0]
            if verb == starts:
                talk.say(tag + (accept if TLS else refuse))
                if TLS:
                    return talk.upgrade()
            else:
                talk.say(answers(tag, verb))
    return serve


def smtp(tag, verb):
    extensions = b"250-mail\r\n250-STARTTLS\r\n250 8BITMIME\r\n" if TLS else b"250-mail\r\n250 8BITMIME\r\n"
    return {b"EHLO": extensions, b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 fine\r\n")


def ldap(talk):
    head = talk.hear(2)
    message = talk.hear(head[1])
    if b"1.3.6.1.4.1.1466.20037" in message:
        talk.say(bytes.fromhex("300c02010178070a01") + (b"\0" if TLS else b"\x34") + b"\x04\0\x04\0")
        if TLS:
            return talk.upgrade()


DIALECTS = {
    "postgres": postgres,
    "mysql": mysql,
    "ldap": ldap,
    "smtp": lines(b"220 mail ESMTP\r\n", b"STARTTLS", b"220 go\r\n", b"454 no\r\n", smtp),
    "ftp": lines(b"220 files\r\n", b"AUTH", b"234 go\r\n", b"534 no\r\n",
                 lambda tag, verb: b"211-Features:\r\n AUTH TLS\r\n211 End\r\n" if verb == b"FEAT" else b"331 go on\r\n"),
    "pop3": lines(b"+OK hello\r\n", b"STLS", b"+OK go\r\n", b"-ERR no\r\n", lambda tag, verb: b"+OK\r\n.\r\n" if verb == b"CAPA" else b"+OK\r\n"),
    "imap": lines(b"* OK hello\r\n", b"STARTTLS", b"OK go\r\n", b"NO no\r\n",
                  lambda tag, verb: b"* CAPABILITY IMAP4rev1 STARTTLS\r\n" + tag + b"OK\r\n" if verb == b"CAPABILITY" else tag + b"OK\r\n"),
}


def serve(connection):
    with connection:
        try:
            DIALECTS[DIALECT](Talk(connection))
        except OSError:
            pass


with socket.create_server(("", int(PORT))) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
