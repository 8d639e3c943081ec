//! A row: who talks to whom and how, and what is to be read of it.

use anyhow::Result;
use observer_harness::Process;

use crate::scene::At;

type Act = Box<dyn Fn(&At<'_>) -> Result<()> + Send + Sync>;
type Begin = Box<dyn Fn(&At<'_>) -> Result<(Vec<Process>, Process)> + Send + Sync>;

/// Where the server of a row runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Server,
    /// The pod that proxies run in.
    Middle,
}

/// See the module.
pub struct Row {
    pub case: String,
    pub client: String,
    pub server: String,
    /// Parameters of `listen`, if the shared nginx is the server.
    pub nginx: Option<String>,
    pub on: On,
    pub act: Option<Act>,
    /// Starts a client before the daemon, which says a line once it has talked and goes on when it hears one.
    pub begin: Option<Begin>,
    pub connections: usize,
    /// What observer has to read.
    pub expected: String,
    pub findings: Option<Vec<&'static str>>,
    /// How tshark is told to read the port, where it would not find out.
    pub dialect: Option<&'static str>,
    /// Why tshark reads nothing of it.
    pub unread: Option<&'static str>,
    /// Why tshark at times reads nothing of it.
    pub unread_at_times: Option<&'static str>,
    /// What tshark reads otherwise, and why that is as it should be.
    pub otherwise: Vec<(&'static str, &'static str)>,
}

/// A row whose client and server are these.
pub fn row(case: impl Into<String>, client: &str, server: &str) -> Row {
    Row {
        case: case.into(),
        client: client.to_owned(),
        server: server.to_owned(),
        nginx: None,
        on: On::Server,
        act: None,
        begin: None,
        connections: 1,
        expected: String::new(),
        findings: None,
        dialect: None,
        unread: None,
        unread_at_times: None,
        otherwise: Vec::new(),
    }
}

/// A row whose server is nginx, in clear.
pub fn http(case: impl Into<String>, client: &str) -> Row {
    Row { nginx: Some(String::new()), dialect: Some("http"), ..row(case, client, "nginx") }
}

impl Row {
    #[must_use]
    pub fn listens(mut self, parameters: &str) -> Self {
        self.nginx = Some(parameters.to_owned());
        self.dialect = None;
        self
    }

    /// The connection to look at is the one to the proxy.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.on = On::Middle;
        self
    }

    #[must_use]
    pub fn does(mut self, act: impl Fn(&At<'_>) -> Result<()> + Send + Sync + 'static) -> Self {
        self.act = Some(Box::new(act));
        self
    }

    #[must_use]
    pub fn begins(
        mut self,
        begin: impl Fn(&At<'_>) -> Result<(Vec<Process>, Process)> + Send + Sync + 'static,
    ) -> Self {
        self.begin = Some(Box::new(begin));
        self
    }

    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    #[must_use]
    pub fn reads(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    #[must_use]
    pub fn finds(mut self, findings: &[&'static str]) -> Self {
        self.findings = Some(findings.to_vec());
        self
    }

    #[must_use]
    pub fn dialect(mut self, dialect: &'static str) -> Self {
        self.dialect = Some(dialect);
        self
    }

    #[must_use]
    pub fn unread(mut self, why: &'static str) -> Self {
        self.unread = Some(why);
        self
    }

    #[must_use]
    pub fn unread_at_times(mut self, why: &'static str) -> Self {
        self.unread_at_times = Some(why);
        self
    }

    #[must_use]
    pub fn otherwise(mut self, what: &'static str, why: &'static str) -> Self {
        self.otherwise.push((what, why));
        self
    }
}
