//! Of a kubelet, what `kubectl exec` needs: commands in containers, over the web sockets that the API server passes on
//! (`v5.channel.k8s.io`, see k8s.io/apimachinery/pkg/util/remotecommand).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::certificates;

const PROTOCOL: &str = "v5.channel.k8s.io";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const CLOSE: u8 = 255;

/// Stands for the container: a mount namespace in which the socket is where the image has it.
const CONTAINER: &str = r#"mount -t tmpfs tmpfs /run && mkdir /run/observer &&
    ln -s "$0" /run/observer/observer.sock && exec "$@""#;

/// What a [`Kubelet`] does when it is asked.
#[derive(Clone, Debug)]
pub enum KubeletManners {
    /// Runs the observer's own commands beside the daemon that has this socket.
    Run { binary: PathBuf, socket: PathBuf },
    /// Takes connections and says nothing.
    Hang,
}

/// A running one. Dropping it ends it, and what it serves.
pub struct Kubelet {
    port: u16,
    running: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Kubelet {
    pub(crate) fn start(serving: &certificates::Pair, manners: KubeletManners) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(&serving.certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&serving.key)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        let running = Arc::new(AtomicUsize::new(0));
        let counted = running.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, manners, running) = (acceptor.clone(), manners.clone(), counted.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, acceptor, manners, running).await {
                        eprintln!("kubelet: {error:#}");
                    }
                });
            }
        });
        Ok(Self { port, running, runtime: Some(runtime) })
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Commands that run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    manners: KubeletManners,
    running: Arc<AtomicUsize>,
) -> Result<()> {
    let KubeletManners::Run { binary, socket } = manners else {
        std::future::pending::<()>().await;
        return Ok(());
    };
    let stream = acceptor.accept(stream).await?;
    let mut query = String::new();
    #[expect(clippy::result_large_err, reason = "tungstenite's own trait")]
    let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        query = request.uri().query().unwrap_or_default().to_owned();
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        Ok(response)
    };
    let mut web_socket = tokio_tungstenite::accept_hdr_async(stream, answer).await?;
    let command: Vec<String> =
        query.split('&').filter_map(|pair| pair.strip_prefix("command=")).map(decoded).collect();
    let (mut child, input, mut output, mut errors) = spawn(&command, &binary, &socket)?;
    running.fetch_add(1, Ordering::SeqCst);
    let mut input = Some(input);
    let (mut from_output, mut from_errors) = (vec![0; 32 * 1024], vec![0; 4 * 1024]);
    let (mut output_open, mut errors_open) = (true, true);
    let mut client_is_there = true;
    while client_is_there && (output_open || errors_open) {
        tokio::select! {
            message = web_socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => match bytes.as_ref() {
                    [STDIN, data @ ..] => if let Some(input) = &mut input {
                        let _ = input.write_all(data).await;
                    },
                    [CLOSE, STDIN] => input = None,
                    _ => {}
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => client_is_there = false,
                Some(Ok(_)) => {}
            },
            n = read(&mut output, &mut from_output), if output_open => {
                output_open = n > 0;
                client_is_there &= send(&mut web_socket, STDOUT, &from_output[..n]).await;
            }
            n = read(&mut errors, &mut from_errors), if errors_open => {
                errors_open = n > 0;
                client_is_there &= send(&mut web_socket, STDERR, &from_errors[..n]).await;
            }
        }
    }
    drop((input, output, errors));
    let status = tokio::task::spawn_blocking(move || child.wait()).await?;
    running.fetch_sub(1, Ordering::SeqCst);
    let status = if status?.success() {
        json!({"metadata": {}, "status": "Success"})
    } else {
        json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with a non-zero exit code"})
    };
    if client_is_there {
        send(&mut web_socket, ERROR, status.to_string().as_bytes()).await;
        let _ = web_socket.close(None).await;
    }
    Ok(())
}

async fn read(from: &mut (impl AsyncRead + Unpin), into: &mut [u8]) -> usize {
    from.read(into).await.unwrap_or(0)
}

/// Answers whether there is still somebody to send to.
async fn send<S>(web_socket: &mut S, channel: u8, data: &[u8]) -> bool
where
    S: futures_util::Sink<Message> + Unpin,
{
    let message = [&[channel], data].concat();
    data.is_empty() || web_socket.send(Message::binary(message)).await.is_ok()
}

/// With its stdin, stdout and stderr.
fn spawn(
    command: &[String],
    binary: &Path,
    socket: &Path,
) -> Result<(Child, UnixStream, UnixStream, UnixStream)> {
    let (program, arguments) = command.split_first().context("no command")?;
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "--propagation", "private", "sh", "-c", CONTAINER]).arg(socket);
    // The image has one program.
    inside.arg(if program == "observer" { binary } else { Path::new(program) }).args(arguments);
    let (input, input_end) = stream()?;
    let (output, output_end) = stream()?;
    let (errors, errors_end) = stream()?;
    inside.stdin(input_end).stdout(output_end).stderr(errors_end);
    let child = inside.spawn()?;
    Ok((child, input, output, errors))
}

fn stream() -> io::Result<(UnixStream, Stdio)> {
    let (own, other) = Pair::pair()?;
    own.set_nonblocking(true)?;
    Ok((UnixStream::from_std(own)?, Stdio::from(OwnedFd::from(other))))
}

/// Of a query (`application/x-www-form-urlencoded`).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                    .unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
