#!/usr/bin/env python3
"""Makes the captures of this directory: third-party clients and servers talk over loopback in a network namespace of
their own, tshark takes the segments down and says what it reads in them.

Needs root, curl, gnutls-bin, go, haproxy, nghttp2, nginx, openssl, tshark. Usage: ./capture.py [NAME...]

Each NAME.json has `segments`, the payload of every TCP segment with its sender, in order and without
retransmissions, and `tshark`, its reading of the same capture: what the tests expect.
"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from xml.etree import ElementTree

HERE = pathlib.Path(__file__).parent
HOST, PORT = "127.0.0.1", 8080

NGINX = """
daemon off; worker_processes 1; pid {dir}/pid; error_log stderr;
events {{}}
http {{
  access_log off; if_modified_since before; client_body_temp_path {dir}/nginx; proxy_temp_path {dir}/nginx; fastcgi_temp_path {dir}/nginx;
  uwsgi_temp_path {dir}/nginx; scgi_temp_path {dir}/nginx;
  server {{
    listen 127.0.0.1:8080 {options}; root {dir}/root;
    location = /orders {{ return 200 "some orders\\n"; }}
    location = /private {{ return 401; }}
    location = /forbidden {{ return 403; }}
    location = /empty {{ return 204; }}
    location = /upload {{ proxy_pass http://127.0.0.1:8081; }}
    location = /chunked {{ gzip on; gzip_types *; gzip_min_length 1; alias {dir}/root/large.txt; }}
  }}
  server {{ listen 127.0.0.1:8081; location / {{ return 200 "taken\\n"; }} }}
}}
"""


class Place:
    """A scratch directory with what the servers serve."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        root = self.dir / "root"
        root.mkdir()
        self.dir.chmod(0o755)
        (root / "index.html").write_text("<h1>shop</h1>\n")
        (root / "large.txt").write_text("".join(f"GET /{n} HTTP/1.1\r\nHost: body\r\n\r\n" for n in range(400)))
        (self.dir / "body.txt").write_text("amount=1\r\n\r\nGET /hidden HTTP/1.1\r\nHost: body\r\n\r\n")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", "/CN=ledger", "-keyout", self.dir / "key.pem", "-out", self.dir / "cert.pem"],
            check=True, capture_output=True)
        for name, names in [("client", "URI:spiffe://cluster.local/ns/shop/sa/orders,DNS:orders.shop.svc"), ("bare", None)]:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                 "-subj", f"/CN={name}", *(["-addext", f"subjectAltName={names}"] if names else []), "-keyout",
                 self.dir / f"{name}.key", "-out", self.dir / f"{name}.pem"],
                check=True, capture_output=True)
        # A chain of 8 KB: as many copies of the certificate as it takes.
        one = (self.dir / "cert.pem").read_text()
        (self.dir / "chain.pem").write_text(one * (8192 * 4 // 3 // len(one) + 1))


def server(*command, cwd=None):
    process = subprocess.Popen([str(part) for part in command], cwd=cwd, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listening = f":{PORT:04X} "
    for _ in range(100):
        if any(listening in line and " 0A " in line for line in open("/proc/net/tcp")):
            return process
        time.sleep(0.05)
    sys.exit(f"no server: {command}")


def nginx(options=""):
    def start(place):
        (place.dir / "nginx.conf").write_text(NGINX.format(dir=place.dir, options=options))
        return server("nginx", "-c", place.dir / "nginx.conf", "-e", "/dev/null")
    return start


HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen front
  bind 127.0.0.1:8090
  server back 127.0.0.1:8080 send-proxy-v2
"""


class Both:
    def __init__(self, *processes):
        self.processes = processes

    def terminate(self):
        for process in self.processes:
            process.terminate()

    def wait(self):
        for process in self.processes:
            process.wait()


def haproxy(place):
    """In front of an nginx that asks for PROXY headers; what passes between the two is recorded."""
    (place.dir / "haproxy.cfg").write_text(HAPROXY)
    back = nginx("proxy_protocol")(place)
    front = server("haproxy", "-db", "-f", place.dir / "haproxy.cfg")
    time.sleep(0.5)
    return Both(back, front)


def nghttpd(*options):
    def start(place):
        return server("nghttpd", "--no-tls", "--htdocs", place.dir / "root", *options, PORT)
    return start


def go_h2c(place):
    """The repository's own fixture, of which nothing but Go's standard server and client speaks."""
    source = HERE / "../../../../tests/fixtures/go-h2c"
    subprocess.run(["go", "build", "-o", place.dir / "go-h2c", "."], cwd=source, check=True)
    return server(place.dir / "go-h2c", "-listen", f"{HOST}:{PORT}")


def go_client(*options):
    def run(place):
        (place.dir / "token").write_text("example-of-no-use")
        options_here = [option.format(dir=place.dir, url=f"http://{HOST}:{PORT}") for option in options]
        subprocess.run([place.dir / "go-h2c", *options_here], check=True, stdout=subprocess.DEVNULL)
    return run


def nghttp(*options):
    def run(place):
        command = ["nghttp", "--null-out"]
        command += [option.format(dir=place.dir, url=f"http://{HOST}:{PORT}") for option in options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return run


def python(place):
    return server("/usr/bin/python3", "-m", "http.server", "--bind", HOST, PORT, cwd=place.dir / "root")


def s_server(*options):
    def start(place):
        return server("openssl", "s_server", "-4", "-accept", PORT, "-cert", place.dir / "cert.pem", "-key",
                      place.dir / "key.pem", "-quiet",
                      *[option.format(cert=place.dir / "cert.pem", key=place.dir / "key.pem", dir=place.dir) for option in options])
    return start


def gnutls_serv(*options):
    def start(place):
        return server("gnutls-serv", "--port", PORT, "--echo", "--x509certfile", place.dir / "cert.pem", "--x509keyfile",
                      place.dir / "key.pem", *options)
    return start


def curl(*options):
    """Requests of one curl share a connection; `{dir}` is the scratch directory."""
    def run(place):
        command = ["curl", "-sS", "-o", "/dev/null"]
        command += [option.format(dir=place.dir, url=f"http://{HOST}:{PORT}") for option in options]
        subprocess.run(command, check=True, env={"PATH": os.environ["PATH"]})
    return run


def s_client(*options):
    def run(place):
        command = ["openssl", "s_client", "-connect", f"{HOST}:{PORT}"]
        command += [option.format(dir=place.dir) for option in options]
        subprocess.run(command, input=b"", capture_output=True)
    return run


def s_client_resumed(*options):
    """Only the second connection is kept: it resumes the first one's session, or tries to."""
    def run(place):
        command = ["openssl", "s_client", "-connect", f"{HOST}:{PORT}"]
        command += [option.format(dir=place.dir) for option in options]
        if not (place.dir / "session").exists():
            with subprocess.Popen([*command, "-sess_out", place.dir / "session"], stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
                time.sleep(0.5)
                first.communicate(b"Q\n")
            return
        subprocess.run([*command, "-sess_in", place.dir / "session"], input=b"", capture_output=True)
    run.twice = True
    return run


def gnutls_cli(*options):
    def run(place):
        command = ["gnutls-cli", "--port", str(PORT), HOST]
        command += [option.format(dir=place.dir) for option in options]
        subprocess.run(command, input=b"", capture_output=True)
    return run


def raw(text, answers):
    """Sends `text` at once and waits for so many answers."""
    def run(place):
        with socket.create_connection((HOST, PORT)) as connection:
            connection.sendall(text)
            seen = b""
            while seen.count(b"HTTP/1.") < answers:
                seen += connection.recv(65536)
    return run


TOKEN = "Authorization: Bearer example-of-no-use"
NEXT = ("--next", "-sS", "-o", "/dev/null")
SCENES = {
    "http_python": (python, curl("-H", TOKEN, "{url}/index.html?colour=red")),
    "http_python_error": (python, curl("{url}/nowhere")),
    "http_nginx_keepalive": (nginx(), curl(
        "-H", TOKEN, "{url}/orders?id=1",
        *NEXT, "{url}/orders",
        *NEXT, "--data-binary", "@{dir}/body.txt", "-H", TOKEN, "{url}/upload",
        *NEXT, "-I", "{url}/index.html",
        *NEXT, "-H", "Transfer-Encoding: chunked", "-T", "{dir}/body.txt", "-H", TOKEN, "-X", "POST", "{url}/upload",
        *NEXT, "{url}/private",
        *NEXT, "-u", "who:what", "{url}/forbidden",
        *NEXT, "{url}/empty",
        *NEXT, "--compressed", "{url}/chunked",
        *NEXT, "-H", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "{url}/index.html",
        *NEXT, "-X", "DELETE", "{url}/nowhere",
    )),
    "http_nginx_continue": (nginx(), curl(
        "-H", "Expect: 100-continue", "-T", "{dir}/body.txt", "{url}/upload", *NEXT, "-H", TOKEN, "{url}/orders")),
    "http_nginx_pipelined": (nginx(), raw(
        b"\r\nGET /orders HTTP/1.1\r\nHost: a\r\n\r\n"
        b"POST /orders HTTP/1.1\nHost: a\nContent-Length: 18\n\nGET / HTTP/1.1\r\n\r\n"
        b"DELETE /index.html HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /private HTTP/1.1\r\nHost: a\r\nAuthorization: Basic bm86b25l\r\n\r\n", 4)),
    # One request each: this curl cannot go on with a connection that it opened by prior knowledge.
    "http2_nginx_curl": (nginx("http2"), curl(
        "--http2-prior-knowledge", "--data-binary", "@{dir}/body.txt", "-H", TOKEN, "{url}/upload?id=1")),
    # Priorities and padding; a header block in several frames.
    "http2_nginx_nghttp": (nginx("http2"), nghttp(
        "--padding=20", "-H", TOKEN, "{url}/orders?id=1", "{url}/index.html", "{url}/private")),
    "http2_nginx_continuation": (nginx("http2"), nghttp("--continuation", "-H", TOKEN, "{url}/orders")),
    "http2_nghttpd_trailers": (nghttpd("--trailer", "sum: 1", "--padding=9", "--header-table-size=0"), nghttp(
        "--header-table-size=0", "--trailer", "sum: 2", "--data", "{dir}/body.txt", "-H", ":method: POST", "-H", TOKEN,
        "{url}/index.html", "{url}/nowhere")),
    "http2_go": (go_h2c, go_client("-url", "{url}/", "-n", "4", "-token-file", "{dir}/token")),
    "http2_go_refusing": (go_h2c, go_client("-url", "{url}/grpc", "-n", "2", "-token-file", "{dir}/token")),
    "http2_go_upgrade": (go_h2c, curl("--http2", "-H", TOKEN, "{url}/", *NEXT, "--http2", "-H", TOKEN, "{url}/forbidden")),
    "proxy_nginx_curl": (nginx("proxy_protocol"), curl(
        "--haproxy-protocol", "-H", TOKEN, "{url}/orders?id=1", *NEXT, "--haproxy-protocol", "{url}/private")),
    "proxy_nginx_haproxy": (haproxy, curl("-H", TOKEN, f"http://{HOST}:8090/orders", *NEXT, f"http://{HOST}:8090/private")),
    "tls13": (s_server("-alpn", "h2"), s_client("-tls1_3", "-servername", "ledger.shop.svc", "-alpn", "h2,http/1.1")),
    "tls12": (s_server(), s_client("-tls1_2", "-servername", "ledger.shop.svc", "-alpn", "h2,http/1.1")),
    "tls12_bare": (s_server("-tls1_2"), s_client("-noservername")),
    "tls13_retry": (s_server("-groups", "P-384"), s_client("-groups", "X25519:P-384", "-servername", "ledger.shop.svc")),
    "tls_refused": (s_server("-tls1_3"), s_client("-tls1_2", "-servername", "ledger.shop.svc")),
    "tls10": (s_server("-tls1", "-cipher", "DEFAULT@SECLEVEL=0"),
              s_client("-tls1", "-cipher", "DEFAULT@SECLEVEL=0", "-servername", "ledger.shop.svc")),
    "tls11": (s_server("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"),
              s_client("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-servername", "ledger.shop.svc")),
    "tls12_mtls": (s_server("-tls1_2", "-verify", "1"), s_client("-cert", "{dir}/client.pem", "-key", "{dir}/client.key")),
    "tls12_mtls_nameless": (s_server("-tls1_2", "-verify", "1"), s_client("-cert", "{dir}/bare.pem", "-key", "{dir}/bare.key")),
    "tls12_mtls_declined": (s_server("-tls1_2", "-verify", "1"), s_client()),
    "tls12_mtls_denied": (s_server("-tls1_2", "-Verify", "1"), s_client()),
    "tls12_mtls_chain": (s_server("-tls1_2", "-verify", "1", "-cert_chain", "{dir}/chain.pem"),
                         s_client("-cert", "{dir}/client.pem", "-key", "{dir}/client.key")),
    "tls12_mtls_resumed": (s_server("-tls1_2", "-verify", "1"),
                           s_client_resumed("-cert", "{dir}/client.pem", "-key", "{dir}/client.key")),
    "tls12_distrusted": (s_server("-tls1_2"), s_client("-verify_return_error", "-CAfile", "{dir}/client.pem")),
    "tls13_distrusted": (s_server("-tls1_3"), s_client("-verify_return_error", "-CAfile", "{dir}/client.pem")),
    "tls13_distrusted_ccm8": (s_server("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"),
                              s_client("-ciphersuites", "TLS_AES_128_CCM_8_SHA256", "-verify_return_error", "-CAfile",
                                       "{dir}/client.pem")),
    "tls13_ccm8": (s_server("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"),
                   s_client("-ciphersuites", "TLS_AES_128_CCM_8_SHA256", "-servername", "ledger.shop.svc")),
    "tls13_mtls": (s_server("-tls1_3", "-verify", "1"), s_client("-cert", "{dir}/client.pem", "-key", "{dir}/client.key")),
    "tls13_resumed": (s_server("-tls1_3"), s_client_resumed("-servername", "ledger.shop.svc")),
    "tls13_early_data": (s_server("-tls1_3", "-early_data", "-no_anti_replay"),
                         s_client_resumed("-servername", "ledger.shop.svc", "-early_data", "{dir}/body.txt")),
    "tls13_gnutls": (gnutls_serv("--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3"),
                     gnutls_cli("--insecure", "--sni-hostname", "ledger.shop.svc", "--alpn", "h2", "--alpn", "http/1.1")),
    "tls13_distrusted_gnutls": (gnutls_serv("--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3"), gnutls_cli()),
    "tls12_gnutls_mtls": (gnutls_serv("--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"),
                          gnutls_cli("--insecure", "--x509certfile", "{dir}/client.pem", "--x509keyfile", "{dir}/client.key")),
    "tls13_istio": (s_server("-tls1_3", "-verify", "1", "-alpn", "istio"),
                    s_client("-cert", "{dir}/client.pem", "-key", "{dir}/client.key", "-servername",
                             "outbound_.9080_._.reviews.shop.svc.cluster.local", "-alpn", "istio-peer-exchange,istio")),
    "tls13_linkerd": (s_server("-tls1_3", "-verify", "1"),
                      s_client("-cert", "{dir}/client.pem", "-key", "{dir}/client.key", "-servername",
                               "payments.shop.serviceaccount.identity.linkerd.cluster.local")),
    "tls12_consul_bare": (s_server("-tls1_2"), s_client("-servername",
        "web.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul")),
    "tls_unknown_name": (s_server("-tls1_2", "-servername", "other", "-cert2", "{cert}", "-key2", "{key}"),
                         s_client("-servername", "ledger.shop.svc")),
}


def tshark(capture, *options):
    command = ["tshark", "-r", capture, "-d", f"tcp.port=={PORT},{options[0]}", *options[1:]]
    output = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in output.splitlines()]


def fields(*names):
    return [part for name in names for part in ("-e", name)]


def segments(capture):
    rows = tshark(capture, "data", "-Y", f"tcp.len > 0 && tcp.port == {PORT} && !tcp.analysis.retransmission", "-T", "fields",
                  *fields("tcp.dstport", "tcp.payload"))
    return [{"from": "client" if int(to) == PORT else "server", "hex": payload} for to, payload in rows]


def read_http(capture):
    """Every message, also where several share a frame: PDML alone keeps those apart."""
    command = ["tshark", "-r", capture, "-d", f"tcp.port=={PORT},http", "-Y", f"http && tcp.port == {PORT}", "-T", "pdml"]
    pdml = subprocess.run([str(part) for part in command], check=True, capture_output=True).stdout
    requests, statuses = [], []
    for message in ElementTree.fromstring(pdml).iter("proto"):
        if message.get("name") != "http":
            continue
        read = {field.get("name"): field.get("show") for field in message.iter("field")}
        if "http.request.method" in read:
            path = read["http.request.uri"].split("?")[0]
            requests.append({"method": read["http.request.method"], "path": path,
                             "authorization": (read.get("http.authorization") or "").removesuffix("\\r\\n") or None})
        elif "http.response.code" in read:
            statuses.append(int(read["http.response.code"]))
    return {"requests": requests, "statuses": statuses}


READ = {":method", ":path", ":status", "authorization", "content-type", "grpc-status", "sum"}


def read_http2(capture):
    """Header fields of every header block that tshark reads."""
    kind = "http" if b"\nUpgrade: h2c" in payload(capture) else "http2"
    command = ["tshark", "-r", capture, "-d", f"tcp.port=={PORT},{kind}", "-Y", f"http2 && tcp.port == {PORT}", "-T", "pdml"]
    pdml = subprocess.run([str(part) for part in command], check=True, capture_output=True).stdout
    messages = []
    for packet in ElementTree.fromstring(pdml).iter("packet"):
        to = next(field.get("show") for field in packet.iter("field") if field.get("name") == "tcp.dstport")
        for frame in packet.iter("field"):
            if frame.get("name") != "http2.stream":
                continue
            read = [(field.get("name"), field.get("show")) for field in frame.iter("field")]
            of = dict(read)
            headers = {}
            for header in frame.iter("field"):
                if header.get("name") == "http2.header":
                    inner = {field.get("name"): field.get("show") for field in header.iter("field")}
                    if inner["http2.header.name"] in READ:
                        headers.setdefault(inner["http2.header.name"], inner.get("http2.header.value", ""))
            if headers and of.get("http2.type") in ("1", "9"):
                messages.append({"from": "client" if int(to) == PORT else "server", "stream": int(of["http2.streamid"]),
                                 "headers": headers})
    return messages


def payload(capture):
    return b"".join(bytes.fromhex(segment["hex"]) for segment in segments(capture))


def read_tls(capture):
    names = ["tls.handshake.type", "tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str",
             "tls.handshake.version", "tls.handshake.extensions.supported_version", "tls.alert_message.level",
             "tls.alert_message.desc", "x509ce.uniformResourceIdentifier", "x509ce.dNSName"]
    rows = tshark(capture, "tls", "-Y", "tls.handshake.type || tls.alert_message", "-T", "fields", "-E",
                  "occurrence=a", "-E", "aggregator=|", "-E", "header=n", *fields("tcp.dstport", *names))
    return [{"from": "client" if int(to) == PORT else "server",
             **{name: value for name, value in zip(names, values) if value}} for to, *values in rows]


def record(pcap, place, talk):
    recorder = subprocess.Popen(["dumpcap", "-q", "-i", "lo", "-w", pcap], stderr=subprocess.PIPE)
    while b"File:" not in (line := recorder.stderr.readline()):
        if not line:
            sys.exit("dumpcap does not record")
    time.sleep(0.5)
    try:
        talk(place)
        # It buffers: let the last segments arrive.
        time.sleep(1)
    finally:
        recorder.terminate()
        recorder.wait()


def capture(name):
    start, talk = SCENES[name]
    with tempfile.TemporaryDirectory() as directory:
        place = Place(directory)
        pcap = place.dir / "capture.pcap"
        process = start(place)
        try:
            if getattr(talk, "twice", False):
                talk(place)
            record(pcap, place, talk)
        finally:
            process.terminate()
            process.wait()
        read = {"http": read_http, "http2": read_http2, "proxy": read_http}
        reading = read.get(name.split("_")[0], read_tls)(pcap)
        made = {"segments": segments(pcap), "tshark": reading}
    (HERE / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n")
    print(name, json.dumps(reading))


if __name__ == "__main__":
    if os.environ.get("IN_NAMESPACE") != "1":
        os.execvpe("unshare", ["unshare", "-n", sys.executable, __file__, *sys.argv[1:]],
                   {**os.environ, "IN_NAMESPACE": "1"})
    # Segments of a real size, not loopback's 64 KiB.
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
    for scene in sys.argv[1:] or SCENES:
        capture(scene)
