//! The path of the unix socket: who may take it, and what lies there already.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Where the daemon listens and the CLI asks, unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/observer/observer.sock";

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("another observer answers at {}; stop it or choose another path with --socket PATH", .0.display())]
    InUse(PathBuf),
    #[error("{} is there and is no socket; remove it or choose another path with --socket PATH", .0.display())]
    NotASocket(PathBuf),
    #[error("cannot make the socket {}: {cause}; choose another path with --socket PATH", .path.display())]
    Io { path: PathBuf, cause: io::Error },
}

/// A listening socket, whose file goes when this is dropped.
#[derive(Debug)]
pub struct BoundSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file: somebody may have replaced it since.
    file: Option<(u64, u64)>,
}

impl BoundSocket {
    /// Takes the path: mode 0600, in a directory that is made if need be; a dead daemon's socket is replaced.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |cause| SocketError::Io { path: path.to_owned(), cause };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed)?;
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(there) if !there.file_type().is_socket() => {
                return Err(SocketError::NotASocket(path.to_owned()));
            }
            Ok(_) => clear_stale(path)?,
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Between these two calls others could connect: their credentials are checked all the same.
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        let file = fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()));
        Ok(Self { listener, path: path.to_owned(), file })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).ok().map(|file| (file.dev(), file.ino()));
        if there.is_some() && there == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn clear_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |cause| SocketError::Io { path: path.to_owned(), cause };
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        // It went away by itself.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A full backlog: somebody listens.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(SocketError::InUse(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// Who this process is.
///
/// # Errors
/// The kernel refuses a pair of sockets.
pub(super) fn own_uid() -> io::Result<u32> {
    // A socket's peer credentials are the only safe-Rust way to the effective user id.
    let (own, _other) = UnixStream::pair()?;
    Ok(own.peer_cred()?.uid())
}

/// Root and the daemon's own user may ask.
pub(super) fn may_ask(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture::TempDir;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn the_socket_is_for_its_owner_alone_and_goes_with_the_daemon() {
        let _in_runtime = runtime();
        let _guard = _in_runtime.enter();
        let dir = TempDir::new();
        let path = dir.path().join("run/observer.sock");
        let socket = BoundSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn the_socket_of_a_killed_daemon_is_replaced() {
        let _in_runtime = runtime();
        let _guard = _in_runtime.enter();
        let dir = TempDir::new();
        let path = dir.path().join("observer.sock");
        // A listener of the standard library leaves its file behind, as SIGKILL does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        BoundSocket::bind(&path).unwrap();
    }

    #[test]
    fn a_living_daemons_socket_is_left_alone_and_the_error_says_the_way_out() {
        let _in_runtime = runtime();
        let _guard = _in_runtime.enter();
        let dir = TempDir::new();
        let path = dir.path().join("observer.sock");
        let _alive = BoundSocket::bind(&path).unwrap();
        let error = BoundSocket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::InUse(_)));
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("--socket") && !text.contains('\n'));
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_is_never_removed() {
        let _in_runtime = runtime();
        let _guard = _in_runtime.enter();
        let dir = TempDir::new();
        let path = dir.path().join("precious");
        fs::write(&path, "data").unwrap();
        let error = BoundSocket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
        // A link to a socket is not ours either.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
        assert!(matches!(BoundSocket::bind(&link).unwrap_err(), SocketError::NotASocket(_)));
    }

    #[test]
    fn a_successors_socket_survives_its_predecessors_end() {
        let _in_runtime = runtime();
        let _guard = _in_runtime.enter();
        let dir = TempDir::new();
        let path = dir.path().join("observer.sock");
        let old = BoundSocket::bind(&path).unwrap();
        fs::rename(&path, dir.path().join("aside")).unwrap();
        let _new = BoundSocket::bind(&path).unwrap();
        drop(old);
        assert!(path.exists());
    }

    #[test]
    fn only_root_and_the_daemons_own_user_may_ask() {
        assert!(may_ask(0, 1000) && may_ask(1000, 1000) && may_ask(0, 0));
        assert!(!may_ask(1001, 1000) && !may_ask(65534, 0));
    }
}
