//! A pipeline with two pods of one node, and connections between them.
#![allow(dead_code, reason = "each program uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use observer::graph::Graph;
use observer::identity::{Index, Object, Settings as IndexSettings};
use observer::model::{Cookie, Direction, Endpoint, Event, Open, Payload, Timestamp, Transport};
use observer::runtime::ends::Resolver;
use observer::runtime::pipeline::{Pipeline, Settings};
use observer::sink::{BuildInfo, Metrics, Sinks, StoreLimits};
use observer::token::Verifier;
use observer::verdict::Exemptions;
use observer::{conntrack, protocol};
use serde_json::json;

const SERVER: &str = "10.244.0.3";
const CLIENT: &str = "10.244.0.4";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub fn now() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

/// A cgroup directory without cgroups.
pub struct Root(pub PathBuf);

impl Root {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("observer-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pod(name: &str, ip: &str) -> Object {
    let started = (now() - Duration::from_secs(60)).to_string();
    let pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
        "spec": {"serviceAccountName": name, "nodeName": "n1"},
        "status": {"phase": "Running", "podIP": ip, "startTime": started},
    });
    Object::from_value("v1", "Pod", pod).unwrap().unwrap()
}

pub fn pipeline(root: &Path) -> Pipeline {
    let mut index = Index::new(IndexSettings {
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        node_name: "n1".into(),
        ipsec: false,
    });
    for (name, ip) in [("orders", SERVER), ("frontend", CLIENT)] {
        index.apply(&pod(name, ip), now() - Duration::from_secs(50)).unwrap();
    }
    let metrics = Arc::new(Metrics::new(5_000, BuildInfo { version: "0", revision: None }));
    Pipeline::new(
        Settings {
            node: "n1".into(),
            protocol: protocol::Settings::default(),
            both_ends: false,
            identity_wait: Duration::ZERO,
        },
        conntrack::Settings::default(),
        Resolver::new(index, root, now()).unwrap(),
        Graph::compile(Vec::new()).unwrap().0,
        Exemptions::new(Vec::new()),
        Verifier::new(Vec::new(), Vec::new()),
        Arc::new(Sinks::new(metrics, StoreLimits::default(), None)),
    )
}

pub struct Connection<'a> {
    pub pipeline: &'a mut Pipeline,
    cookie: Cookie,
    sequences: [u32; 2],
}

impl<'a> Connection<'a> {
    /// Its server's end; the client's has the cookie after it, and is joined to it.
    pub fn open(pipeline: &'a mut Pipeline, number: u32) -> Self {
        let cookie = Cookie(2 * u64::from(number));
        let port = 10_000 + u16::try_from(number % 50_000).unwrap();
        let end = |ip: &str, port| Endpoint { ip: ip.parse().unwrap(), port };
        let (server, client) = (end(SERVER, 8080), end(CLIENT, port));
        let (sent, received) = (number, !number);
        let open = Open {
            cookie,
            time: now(),
            transport: Transport::Tcp,
            local: server,
            remote: client,
            cgroup: None,
            client: Some(false),
            midstream: false,
            start: Some((sent, received)),
        };
        let of_client = Open {
            cookie: Cookie(cookie.0 + 1),
            local: client,
            remote: server,
            client: Some(true),
            start: Some((received, sent)),
            ..open.clone()
        };
        pipeline.event(Event::Open(of_client));
        pipeline.event(Event::Open(open));
        while pipeline.next_command().is_some() {}
        Self { pipeline, cookie, sequences: [received, sent] }
    }

    pub fn say(&mut self, direction: Direction, bytes: &[u8]) {
        let sequence = &mut self.sequences[usize::from(direction == Direction::Sent)];
        self.pipeline.event(Event::Payload(Payload {
            cookie: self.cookie,
            time: now(),
            transport: Transport::Tcp,
            direction,
            cgroup: None,
            sequence: *sequence,
            bytes,
            left_out: 0,
            turn: true,
            walked: false,
            lossy: false,
            loopback: false,
            again: false,
            counted: false,
            ends: None,
            at_listener: false,
        }));
        *sequence = sequence.wrapping_add(u32::try_from(bytes.len()).unwrap());
    }

    /// Requests that differ, each with its answer.
    pub fn talk(&mut self, requests: &[String]) {
        for request in requests {
            self.say(Direction::Received, request.as_bytes());
            self.say(Direction::Sent, ANSWER);
        }
    }
}
