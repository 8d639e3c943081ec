//! `observer ui`: serves the page of observer/ui on loopback, and what it asks for.

mod answers;
mod ask;
mod door;
mod page;
mod resources;

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::CliError;
use super::client::SocketArgs;
use crate::sink::query::Request;
use crate::sink::{http, serve};
use answers::Socket;
pub use answers::{Answered, Answers};
use door::Token;

/// A browser opens six connections to a server; several people may look.
const MAX_CONNECTIONS: usize = 64;

#[derive(Args, Clone, Debug)]
pub struct UiArgs {
    /// An address of loopback, or its port alone; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub listen: Listen,
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Where to listen: nowhere but on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let text = text.replace("localhost:", "127.0.0.1:");
        match text.parse().ok().or_else(|| port(&text)) {
            Some(address) if address.ip().is_loopback() => Ok(Self(address)),
            Some(_) => Err("the page is served on loopback alone: 127.0.0.1:PORT, [::1]:PORT or PORT; \
                to see it elsewhere, forward that port (ssh -L, kubectl port-forward)"
                .to_owned()),
            None => Err("neither an address with a port nor a port".to_owned()),
        }
    }
}

/// Serves until it is told to stop.
pub(super) fn run(args: &UiArgs) -> Result<(), CliError> {
    let socket = Socket(args.socket.socket.clone());
    // Where nobody answers, a page would only say so.
    socket.ask(&Request::Coverage)?;
    show(args.listen, Arc::new(socket))
}

/// Serves the page with answers from anywhere. Returns when the process is told to end.
///
/// # Errors
/// The address cannot be had.
pub(super) fn show(listen: Listen, answers: Arc<dyn Answers>) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::Failed(format!("cannot serve: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(failed)?.block_on(async {
        let listener = http::bind(listen.0).await.map_err(|error| CliError::Failed(error.to_string()))?;
        let token = Token::new().map_err(failed)?;
        announce(&listener, &token).map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let (mut interrupt, mut end) = (
            signal(SignalKind::interrupt()).map_err(failed)?,
            signal(SignalKind::terminate()).map_err(failed)?,
        );
        let served = Arc::new(page::Served { answers, token });
        let answer = move |request| page::answer(served.clone(), request);
        let serving = tokio::spawn(serve::serve(listener, MAX_CONNECTIONS, answer, stopped));
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = end.recv() => {}
        }
        let _ = stop.send(true);
        let _ = serving.await;
        Ok(())
    })
}

/// The address alone goes to stdout: programs read it.
fn announce(listener: &TcpListener, token: &Token) -> std::io::Result<()> {
    eprintln!(
        "observer: open this in a browser; Ctrl-C ends it. Whoever has the address can read what it shows"
    );
    println!("http://{}/#{}", listener.local_addr()?, token.as_str());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_but_loopback_is_taken() {
        for (text, address) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("9470", "127.0.0.1:9470"),
            ("[::1]:9470", "[::1]:9470"),
            ("localhost:9470", "127.0.0.1:9470"),
            ("127.0.0.2:1", "127.0.0.2:1"),
        ] {
            assert_eq!(text.parse(), Ok(Listen(address.parse().unwrap())), "{text}");
        }
        for text in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80", "[2001:db8::1]:80"] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.contains("loopback alone") && !error.contains('\n'), "{text}: {error}");
        }
        for text in ["", "127.0.0.1", "70000", "example.org:80"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
