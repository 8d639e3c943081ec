//! `observer socket`: its input goes to the observer's socket, and what comes back to its output. `kubectl observer` runs
//! it in the containers, where there is nothing else to run.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use clap::Args;

use super::CliError;
use super::client::SocketArgs;

const PORTION: usize = 64 * 1024;

#[derive(Args, Clone, Debug)]
pub struct BridgeArgs {
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Returns once the observer has nothing more to say. The end of the input tells the observer, who lets a follower go.
pub(super) fn run(args: &BridgeArgs) -> Result<(), CliError> {
    let path = args.socket.socket.display();
    let stream = UnixStream::connect(&args.socket.socket).map_err(|error| {
        CliError::Failed(format!(
            "no observer answers at {path}: {error}; name its socket with --socket PATH"
        ))
    })?;
    let failed =
        |error: io::Error| CliError::Failed(format!("cannot talk to the observer at {path}: {error}"));
    let mut to_observer = stream.try_clone().map_err(failed)?;
    // It ends with the process: a read of stdin cannot be broken off.
    thread::spawn(move || {
        let _ = pass(&mut io::stdin().lock(), &mut to_observer);
        let _ = to_observer.shutdown(Shutdown::Write);
    });
    match pass(&mut &stream, &mut io::stdout().lock()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Whatever comes is passed on at once.
fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut portion = vec![0; PORTION];
    loop {
        match from.read(&mut portion) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                to.write_all(&portion[..n])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
