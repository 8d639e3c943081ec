//! Clients of the daemon's own servers that are turned away: which server, and why.

/// What people and programs ask of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// `/metrics`, `/healthz` and `/readyz`.
    Http,
    /// The unix socket.
    Socket,
}

impl Server {
    pub const ALL: [Self; 2] = [Self::Http, Self::Socket];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Socket => "socket",
        }
    }
}

/// Why a client was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooMany,
    TooSlow,
    TooLarge,
    AcceptFailed,
}

impl Refusal {
    pub const ALL: [Self; 4] = [Self::TooMany, Self::TooSlow, Self::TooLarge, Self::AcceptFailed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => "too-many",
            Self::TooSlow => "too-slow",
            Self::TooLarge => "too-large",
            Self::AcceptFailed => "accept-failed",
        }
    }
}

/// The servers, each with its meaning.
pub(super) fn servers() -> Vec<(&'static str, &'static str)> {
    let meaning = |server| match server {
        Server::Http => "`/metrics`, `/healthz` and `/readyz`",
        Server::Socket => "the socket behind `observer flows` and the like",
    };
    Server::ALL.map(|server| (server.as_str(), meaning(server))).into()
}

/// The reasons, each with its meaning.
pub(super) fn reasons() -> Vec<(&'static str, &'static str)> {
    let meaning = |why| match why {
        Refusal::TooMany => {
            "all places were taken: it, or one that waited idly and that it took the place of, had to go"
        }
        Refusal::TooSlow => "it sent its request, or took its answer, too slowly",
        Refusal::TooLarge => "its request was too large",
        Refusal::AcceptFailed => {
            "none could be let in, mostly for want of file descriptors; tried ten times a second"
        }
    };
    Refusal::ALL.map(|why| (why.as_str(), meaning(why))).into()
}
