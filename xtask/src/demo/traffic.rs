//! Plays the calls: one connection of each a round, made by curl.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use observer_harness::Pod;

use super::cast::{CALLS, Call, Credential, ISSUER};
use super::stage::{Stage, TLS_NAME, certificate};
use super::tokens::{self, Key, Life, Subject};
use crate::scratch::{Scratch, utf8};

/// Between two calls, so that a person can follow them.
const PAUSE: Duration = Duration::from_millis(150);
/// Between the start of two rounds.
const ROUND: Duration = Duration::from_secs(3);

/// The calls, ready to be made.
pub struct Traffic {
    parts: Vec<Part>,
}

struct Part {
    call: &'static Call,
    client: Pod,
    /// curl's configuration: it holds the token, which no command line must.
    config: PathBuf,
}

impl Traffic {
    /// Makes the tokens, and curl's configuration for each call.
    ///
    /// # Errors
    /// If openssl fails or a file cannot be written.
    pub fn prepare(stage: &Stage, issuer: &Key, scratch: &Scratch) -> Result<Self> {
        let mint = Mint { stage, issuer, forger: Key::new(scratch.path(), "forger")? };
        let mut parts = Vec::new();
        for (index, call) in CALLS.iter().enumerate() {
            let token = mint.token(call.client, call.credential, call.server)?;
            let text = config(call, stage, scratch, token.as_deref())?;
            let config = scratch.write(&format!("curl-{index}"), &text)?;
            parts.push(Part { call, client: stage.pod(call.client)?.clone(), config });
        }
        Ok(Self { parts })
    }

    /// Plays whole rounds until `end` or `stop`, at least one. Says how many connections of each call there were.
    ///
    /// # Errors
    /// If a call fails.
    pub fn play(&self, end: Option<Instant>, stop: &AtomicBool) -> Result<Vec<(&'static Call, u64)>> {
        let mut rounds = 0;
        let mut next = Instant::now();
        loop {
            for (index, part) in self.parts.iter().enumerate() {
                if stop.load(Ordering::Relaxed) {
                    return Ok(self.played(rounds, index));
                }
                part.play()?;
                std::thread::sleep(PAUSE);
            }
            rounds += 1;
            next += ROUND;
            if end.is_some_and(|end| next + PAUSE * 4 > end) {
                return Ok(self.played(rounds, 0));
            }
            while Instant::now() < next && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// `rounds` of all calls and one more of the first `more`.
    fn played(&self, rounds: u64, more: usize) -> Vec<(&'static Call, u64)> {
        let count = |(index, part): (usize, &Part)| (part.call, rounds + u64::from(index < more));
        self.parts.iter().enumerate().map(count).collect()
    }
}

impl Part {
    fn play(&self) -> Result<()> {
        let what = || format!("{} calls {}", self.call.client, self.call.server);
        // First of all options: the user's own .curlrc is not meant.
        self.client.run_ok(["curl", "-q", "--config", utf8(&self.config)?]).with_context(what)?;
        Ok(())
    }
}

fn config(call: &Call, stage: &Stage, scratch: &Scratch, token: Option<&str>) -> Result<String> {
    let service = stage.service(call.server)?;
    let options = "silent\nshow-error\nfail\nmax-time = 10\nnoproxy = \"*\"\noutput = \"/dev/null\"\n";
    if call.encryption == "tls" {
        let (ip, file) = (service.cluster_ip, certificate(scratch));
        return Ok(format!(
            "{options}url = \"https://{TLS_NAME}/\"\nresolve = \"{TLS_NAME}:443:{ip}\"\ncacert = \"{}\"\n",
            utf8(&file)?
        ));
    }
    // Its brackets are curl's own: that many requests, one after another, on one connection.
    let url = |count: u64| format!("url = \"http://{}/items/[1-{count}]\"\n", service.cluster_ip);
    let bare = call.requests.none;
    let with_token = call.requests.total - bare;
    let mut text = String::new();
    if with_token > 0 {
        let token = token.with_context(|| format!("{} has no token to show", call.client))?;
        let _ = writeln!(text, "{options}{}header = \"Authorization: Bearer {token}\"", url(with_token));
    }
    if bare > 0 {
        // `next` forgets options and keeps the connection.
        let next = if text.is_empty() { "" } else { "next\n" };
        let _ = write!(text, "{next}{options}{}", url(bare));
    }
    Ok(text)
}

/// Makes the tokens that the calls show.
struct Mint<'a> {
    stage: &'a Stage,
    issuer: &'a Key,
    forger: Key,
}

impl Mint<'_> {
    fn token(&self, client: &str, credential: Credential, server: &str) -> Result<Option<String>> {
        let pod = self.stage.pod(client)?;
        let subject = Subject {
            namespace: &pod.namespace,
            service_account: &pod.service_account,
            pod: &pod.name,
            pod_uid: &pod.uid,
            node: self.stage.node.name(),
        };
        let bound = |audience, life| tokens::bound(&subject, audience, life);
        let (key, claims) = match credential {
            Credential::None => return Ok(None),
            Credential::For(audience) => (self.issuer, bound(audience, Life::Current)),
            Credential::ApiServer => (self.issuer, bound(ISSUER, Life::Current)),
            Credential::Expired => (self.issuer, bound("orders", Life::Past)),
            Credential::Forged => (&self.forger, bound("orders", Life::Current)),
            Credential::Legacy => (self.issuer, tokens::legacy(&subject)),
            Credential::StolenFrom(victim) => {
                let theirs = CALLS.iter().find(|call| call.client == victim && call.server == server);
                let Some(theirs) =
                    theirs.filter(|call| !matches!(call.credential, Credential::StolenFrom(_)))
                else {
                    bail!("{victim} shows {server} no token that could be stolen");
                };
                return self.token(victim, theirs.credential, server);
            }
        };
        key.sign(&self.issuer.id, &claims).map(Some)
    }
}
