//! gRPC in clear, by Go and by Python.

use anyhow::Result;
use observer_harness::Process;

use crate::row::{self, Row};
use crate::scene::At;

const SERVER: &str = r#"
import sys, grpc
from concurrent import futures
class Any(grpc.GenericRpcHandler):
    def service(self, details):
        def answer(request, context):
            if "refuse" in sys.argv: context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
            return request
        return grpc.unary_unary_rpc_method_handler(answer)
server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[Any()])
server.add_insecure_port("0.0.0.0:" + sys.argv[1])
server.start()
server.wait_for_termination()
"#;

const CLIENT: &str = r#"
import sys, grpc
with grpc.insecure_channel(f"{sys.argv[1]}:{sys.argv[2]}") as channel:
    call = channel.unary_unary("/grpc.health.v1.Health/Check")
    metadata = [("authorization", "Bearer " + open(sys.argv[4]).read())] if len(sys.argv) > 4 else []
    calls = [call.future(b"", metadata=metadata) for _ in range(int(sys.argv[3]))]
    print([call.exception() for call in calls])
"#;

fn row(case: &str, client: &str, server: &str) -> Row {
    row::row(case, client, server).dialect("http2")
}

fn go_server(at: &At<'_>, more: &[&str]) -> Result<Process> {
    let (program, listen) = (at.go("go-grpc")?, format!(":{}", at.port));
    at.serve(&[[program.as_str(), "-listen", &listen].as_slice(), more].concat())
}

fn go_client(at: &At<'_>, more: &[&str]) -> Result<()> {
    let (program, to) = (at.go("go-grpc")?, at.to());
    at.run(&[[program.as_str(), "-target", &to].as_slice(), more].concat()).map(drop)
}

pub fn rows() -> Vec<Row> {
    vec![
        row("100 streams with a token each", "grpc-go", "grpc-go")
            .does(|at| {
                let _server = go_server(at, &[])?;
                go_client(at, &["-n", "500", "-parallel", "100", "-token-file", &at.file("token")])
            })
            .reads("grpc plaintext, 500 requests: 500 verified, POST 200, verified bearer"),
        row("100 streams with a token each", "grpcio", "grpcio")
            .does(|at| {
                let _server = at.serve_python(SERVER, &[])?;
                at.python(CLIENT, &["100", &at.file("token")]).map(drop)
            })
            .reads("grpc plaintext, 100 requests: 100 verified, POST 200, verified bearer"),
        row("calls without a token", "grpcio", "grpc-go")
            .does(|at| {
                let _server = go_server(at, &[])?;
                at.python(CLIENT, &["10"]).map(drop)
            })
            .reads("grpc plaintext, 10 requests: 10 none, POST 200, none"),
        row("calls with a token", "grpc-go", "grpcio")
            .does(|at| {
                let _server = at.serve_python(SERVER, &[])?;
                go_client(at, &["-n", "10", "-token-file", &at.file("token")])
            })
            .reads("grpc plaintext, 10 requests: 10 verified, POST 200, verified bearer"),
        row("UNAUTHENTICATED", "grpcio", "grpc-go")
            .does(|at| {
                let _server = go_server(at, &["-refuse"])?;
                at.python(CLIENT, &["10"]).map(drop)
            })
            .reads("grpc plaintext, 10 requests: 10 none, 10 rejected, POST 200, none"),
        row("PERMISSION_DENIED", "grpc-go", "grpcio")
            .does(|at| {
                let _server = at.serve_python(SERVER, &["refuse"])?;
                go_client(at, &["-n", "10", "-token-file", &at.file("token")])
            })
            .reads("grpc plaintext, 10 requests: 10 verified, 10 rejected, POST 200, verified bearer"),
    ]
}
