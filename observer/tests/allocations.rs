//! What a request costs in memory. A program of its own, for its allocations to be the pipeline's alone.

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

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SERVER: &str = "10.244.0.3";
const CLIENT: &str = "10.244.0.4";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn now() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

struct Root(PathBuf);

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

fn pipeline(root: &Path) -> Pipeline {
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

struct Connection<'a> {
    pipeline: &'a mut Pipeline,
    sequences: [u32; 2],
}

impl Connection<'_> {
    fn say(&mut self, direction: Direction, bytes: &[u8]) {
        let sequence = &mut self.sequences[usize::from(direction == Direction::Sent)];
        self.pipeline.event(Event::Payload(Payload {
            cookie: Cookie(1),
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
    fn talk(&mut self, requests: &[String]) {
        for request in requests {
            self.say(Direction::Received, request.as_bytes());
            self.say(Direction::Sent, ANSWER);
        }
    }
}

#[test]
fn a_request_on_a_known_connection_allocates_nothing() {
    let root = Root(std::env::temp_dir().join(format!("observer-allocations-{}", std::process::id())));
    fs::create_dir_all(&root.0).unwrap();
    let mut pipeline = pipeline(&root.0);
    let end = |ip: &str, port| Endpoint { ip: ip.parse().unwrap(), port };
    pipeline.event(Event::Open(Open {
        cookie: Cookie(1),
        time: now(),
        transport: Transport::Tcp,
        local: end(SERVER, 8080),
        remote: end(CLIENT, 40_000),
        cgroup: None,
        client: Some(false),
        midstream: false,
        start: Some((1_000, 2_000)),
    }));
    let requests = |bearer: &str| -> Vec<String> {
        let request = |n| format!("GET /items/{n} HTTP/1.1\r\nHost: orders\r\n{bearer}\r\n");
        (0..2_000).map(request).collect()
    };
    let bare = requests("");
    // Tokens that are no JWT, and JWTs, cost the same once they are known.
    let opaque = requests("Authorization: Bearer abcdefghijklmnop\r\n");
    let mut connection = Connection { pipeline: &mut pipeline, sequences: [2_000, 1_000] };
    for requests in [&bare, &opaque] {
        connection.talk(&requests[..100]);
        let profiler = dhat::Profiler::builder().testing().build();
        connection.talk(&requests[100..]);
        let blocks = dhat::HeapStats::get().total_blocks;
        drop(profiler);
        assert_eq!(blocks, 0, "allocations of {} requests", requests.len() - 100);
    }
}
