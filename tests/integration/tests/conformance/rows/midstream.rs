//! Connections that began before the daemon did.

use crate::row::{Row, http, row};

const HTTP: &str = "import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]))
def ask(headers): c.request('GET', '/', headers=headers); c.getresponse().read()
ask({})
print('begun', flush=True)
sys.stdin.readline()
ask({'Authorization': 'Basic dXNlcjpzZXNhbWU='})
ask({})";

const TLS: &str = "import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
s = context.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2]))))
s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
s.recv(1 << 16)
print('begun', flush=True)
sys.stdin.readline()
s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
s.recv(1 << 16)";

const BEFORE: &str = "saw what was before";

pub fn rows() -> Vec<Row> {
    vec![
        http("HTTP/1.1 before the start", "python http.client")
            .begins(|at| Ok((Vec::new(), at.begin_python(HTTP, &[])?)))
            .reads("http/1.1 plaintext, 2 requests: 1 none 1 present, GET 200, none")
            .otherwise("Requests", BEFORE),
        row("HTTP/2 before the start, a token that came later", "Go x/net", "Go x/net")
            .dialect("http2")
            .begins(|at| {
                let program = at.go("go-h2c")?;
                let server = at.serve(&[&program, "-listen", &format!(":{}", at.port)])?;
                let (url, token) = (at.url("/"), at.file("token"));
                let line = [&program, "-url", &url, "-n", "4", "-pause", "2", "-late-token-file", &token];
                Ok((vec![server], at.begin(&line.map(str::to_owned))?))
            })
            .reads("http/2 plaintext, 2 requests: 2 verified, GET 200, verified bearer")
            .otherwise("Requests", BEFORE),
        row("HTTP/2 before the start, a token that came before", "Go x/net", "Go x/net")
            .dialect("http2")
            .begins(|at| {
                let program = at.go("go-h2c")?;
                let server = at.serve(&[&program, "-listen", &format!(":{}", at.port)])?;
                let (url, token) = (at.url("/"), at.file("token"));
                let line = [&program, "-url", &url, "-n", "4", "-pause", "2", "-token-file", &token];
                Ok((vec![server], at.begin(&line.map(str::to_owned))?))
            })
            .reads("http/2 plaintext, 2 requests: 2 unknown, GET 200, unknown hpack-unknown-slot")
            .otherwise("Requests", BEFORE)
            .otherwise("Credentials", BEFORE),
        http("TLS before the start", "python ssl")
            .listens("ssl")
            .dialect("tls")
            .begins(|at| Ok((Vec::new(), at.begin_python(TLS, &[])?)))
            .reads("unknown unknown attached-mid-stream")
            .otherwise("Protocol", BEFORE)
            .otherwise("Encryption", BEFORE)
            .otherwise("Version", BEFORE),
    ]
}
