//! Flows whose ends are not known yet, with time and news as the test has them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::identity::{DEPARTED_FOR, Index, Object, Settings as IndexSettings};
use crate::model::{Close, CloseReason, Endpoint, FindingKind, FlowRecord, Open, Payload};
use crate::runtime::late::IDENTITY_WAIT;
use crate::sink::query::Filter;
use crate::sink::{BuildInfo, Metrics, StoreLimits};
use crate::verdict::Provenance;

const SERVER: &str = "10.244.0.3";
const STRANGER: &str = "10.244.1.9";
const UNKNOWN: &str = "unknown no-pod-at-address";

/// This node with the pod `payments` on it; of the pod at [`STRANGER`] nothing is known yet.
struct Scene {
    pipeline: Pipeline,
    sinks: Arc<Sinks>,
    cgroup: u64,
    root: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Milliseconds after the flow opened.
fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000) + Duration::from_millis(milliseconds)
}

fn end(ip: &str, port: u16) -> Endpoint {
    Endpoint { ip: ip.parse().unwrap(), port }
}

fn pod(name: &str, node: &str, ip: &str) -> Object {
    let pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
        "spec": {"serviceAccountName": name, "nodeName": node},
        "status": {"phase": "Running", "podIP": ip, "startTime": (at(0) - Duration::from_secs(2)).to_string()},
    });
    Object::from_value("v1", "Pod", pod).unwrap().unwrap()
}

impl Scene {
    fn new(test: &str, identity_wait: Duration) -> Self {
        let root = std::env::temp_dir().join(format!("observer-pipeline-{}-{test}", std::process::id()));
        let cgroup = root.join("kubepods.slice/kubepods-poduid_payments.slice");
        fs::create_dir_all(&cgroup).unwrap();
        let cgroup = fs::metadata(cgroup).unwrap().ino();
        let mut index = Index::new(IndexSettings {
            cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
            node_name: "n1".into(),
            ipsec: false,
        });
        index.apply(&pod("payments", "n1", SERVER), at(0) - Duration::from_secs(1)).unwrap();
        let metrics = Arc::new(Metrics::new(5_000, BuildInfo { version: "0", revision: None }));
        let sinks = Arc::new(Sinks::new(metrics, StoreLimits::default(), None));
        let settings = Settings {
            node: "n1".into(),
            protocol: protocol::Settings { head_limit: 16_384, credential_headers: Vec::new() },
            both_ends: false,
            identity_wait,
        };
        let pipeline = Pipeline::new(
            settings,
            conntrack::Settings::default(),
            Resolver::new(index, &root, at(0)).unwrap(),
            Graph::compile(Vec::new()).unwrap().0,
            Exemptions::new(Vec::new()),
            Verifier::new(Vec::new(), Vec::new()),
            sinks.clone(),
        );
        Self { pipeline, sinks, cgroup, root }
    }

    /// The stranger calls the pod here, and is answered.
    fn called(&mut self, headers: &str) {
        self.open(false);
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        self.bytes(Direction::Received, 2_000, request.as_bytes());
        self.bytes(Direction::Sent, 1_000, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }

    fn open(&mut self, client: bool) {
        let (local, remote) = if client {
            (end(SERVER, 40_000), end(STRANGER, 8080))
        } else {
            (end(SERVER, 8080), end(STRANGER, 40_000))
        };
        self.pipeline.event(Event::Open(Open {
            cookie: Cookie(1),
            time: at(0),
            transport: Transport::Tcp,
            local,
            remote,
            cgroup: Some(self.cgroup),
            client: Some(client),
            midstream: false,
            start: Some((1_000, 2_000)),
        }));
    }

    fn bytes(&mut self, direction: Direction, sequence: u32, bytes: &[u8]) {
        self.pipeline.event(Event::Payload(Payload {
            cookie: Cookie(1),
            time: at(1),
            transport: Transport::Tcp,
            direction,
            cgroup: Some(self.cgroup),
            sequence,
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
    }

    fn close(&mut self, milliseconds: u64) {
        self.pipeline.event(Event::Close(Close {
            cookie: Cookie(1),
            time: at(milliseconds),
            opened: at(0),
            local: end(SERVER, 8080),
            remote: end(STRANGER, 40_000),
            cgroup: Some(self.cgroup),
            client: Some(false),
            established: true,
            bytes_sent: 38,
            bytes_received: 27,
            reason: CloseReason::Fin,
        }));
    }

    /// The stranger's object comes.
    fn news(&mut self, milliseconds: u64) {
        let index = &mut self.pipeline.world.resolver.index;
        index.apply(&pod("orders", "n2", STRANGER), at(milliseconds)).unwrap();
    }

    fn records(&self) -> Vec<Arc<FlowRecord>> {
        self.sinks.feed.store().last(100, &Filter::default())
    }

    /// `principal reason` of the records' clients.
    fn clients(&self) -> Vec<String> {
        let client = |record: &Arc<FlowRecord>| {
            let reason = record.client.reason.as_deref().unwrap_or_default();
            format!("{} {reason}", record.client.principal).trim().to_owned()
        };
        self.records().iter().map(client).collect()
    }

    /// The samples of a family, by the client's ServiceAccount.
    fn samples(&self, family: &str) -> Vec<(String, u64)> {
        let text = self.sinks.metrics.openmetrics();
        let lines = text.lines().filter(|line| line.starts_with(&format!("observer_{family}_total{{")));
        let sample = |line: &str| {
            let account = line.split("client_service_account=\"").nth(1)?.split('"').next()?;
            Some((account.to_owned(), line.rsplit(' ').next()?.parse().ok()?))
        };
        let mut samples: Vec<_> = lines.filter_map(sample).collect();
        samples.sort();
        samples
    }
}

fn of(account: &str, count: u64) -> Vec<(String, u64)> {
    vec![(account.to_owned(), count)]
}

#[test]
fn a_flow_of_a_pod_that_is_not_known_yet_waits_for_the_news_of_it() {
    let mut scene = Scene::new("waits", IDENTITY_WAIT);
    scene.called("");
    for milliseconds in [50, 500, 1_400] {
        scene.pipeline.tick(at(milliseconds));
        assert_eq!(scene.clients(), [""; 0], "at {milliseconds}");
    }
    scene.news(1_420);
    scene.pipeline.tick(at(1_450));
    assert_eq!(scene.clients(), ["shop/orders"]);
    scene.close(3_000);
    assert_eq!(scene.clients(), ["shop/orders", "shop/orders"]);
    for family in ["flows", "requests"] {
        assert_eq!(scene.samples(family), of("orders", 1), "{family}");
    }
}

#[test]
fn a_flow_that_waited_in_vain_is_unknown_and_corrected_when_the_news_comes_and_counted_once() {
    let mut scene = Scene::new("corrected", IDENTITY_WAIT);
    scene.called("");
    scene.pipeline.tick(at(1_500));
    assert_eq!(scene.clients(), [UNKNOWN]);
    assert_eq!(scene.records()[0].findings, [FindingKind::Unauthenticated]);
    scene.news(1_600);
    scene.pipeline.tick(at(2_400));
    assert_eq!(scene.clients().len(), 1, "it is looked at again after a second");
    scene.pipeline.tick(at(2_500));
    assert_eq!(scene.clients(), [UNKNOWN, "shop/orders"]);
    assert_eq!(scene.records()[1].findings, [FindingKind::Unencrypted, FindingKind::Unauthenticated]);
    scene.pipeline.tick(at(9_000));
    scene.close(10_000);
    let records = scene.records();
    assert_eq!(scene.clients(), [UNKNOWN, "shop/orders", "shop/orders"]);
    assert!(records[2].last && records[2].requests.unwrap().total == 1);
    assert_eq!(scene.samples("flows"), of("", 1), "where it was when it was counted");
    assert_eq!(scene.samples("requests"), of("", 1));
    assert_eq!(scene.samples("findings"), [of("", 1), of("orders", 1)].concat());
    assert_eq!(scene.samples("bytes"), [of("orders", 27), of("orders", 38)].concat());
}

#[test]
fn a_flow_that_ended_meanwhile_waits_too() {
    let mut scene = Scene::new("ended", IDENTITY_WAIT);
    scene.called("");
    scene.close(100);
    assert!(scene.records().is_empty());
    scene.news(600);
    scene.pipeline.tick(at(650));
    assert_eq!(scene.clients(), ["shop/orders"]);
    assert!(scene.records()[0].last);
    assert_eq!((scene.samples("flows"), scene.samples("requests")), (of("orders", 1), of("orders", 1)));

    let mut scene = Scene::new("ended-unknown", IDENTITY_WAIT);
    scene.called("");
    scene.close(100);
    scene.pipeline.tick(at(1_500));
    assert_eq!(scene.clients(), [UNKNOWN]);
}

#[test]
fn what_waits_is_written_when_the_daemon_stops() {
    let mut scene = Scene::new("stops", IDENTITY_WAIT);
    scene.called("");
    scene.close(100);
    scene.pipeline.stop_waiting();
    assert_eq!(scene.clients(), [UNKNOWN]);
    assert_eq!(scene.samples("flows"), of("", 1));
}

#[test]
fn nothing_waits_where_no_news_can_come() {
    let mut scene = Scene::new("files", Duration::ZERO);
    scene.called("");
    scene.pipeline.tick(at(50));
    assert_eq!(scene.clients(), [UNKNOWN]);
    scene.news(100);
    scene.pipeline.tick(at(60_000));
    scene.close(60_001);
    assert_eq!(scene.clients(), [UNKNOWN, UNKNOWN]);
}

#[test]
fn a_flow_that_ends_before_its_first_record_is_due_has_one_and_a_live_one_has_two() {
    let mut scene = Scene::new("short", Duration::ZERO);
    scene.called("");
    scene.close(10);
    scene.pipeline.tick(at(50));
    let last = |scene: &Scene| scene.records().iter().map(|record| record.last).collect::<Vec<_>>();
    assert_eq!(last(&scene), [true]);
    scene.called("");
    scene.pipeline.tick(at(100));
    scene.pipeline.tick(at(150));
    scene.close(160);
    assert_eq!(last(&scene), [true, false, true]);
}

#[test]
fn a_client_known_by_its_address_alone_waits_only_for_news_that_another_has_it() {
    let mut scene = Scene::new("known", IDENTITY_WAIT);
    scene.news(0);
    scene.called("");
    scene.pipeline.tick(at(200));
    assert!(scene.records().is_empty());
    scene.pipeline.tick(at(260));
    assert_eq!(scene.clients(), ["shop/orders"]);
}

#[test]
fn a_clients_end_asks_who_it_talks_to_until_that_is_known() {
    let mut scene = Scene::new("client", IDENTITY_WAIT);
    scene.open(true);
    scene.bytes(Direction::Sent, 1_000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    scene.pipeline.tick(at(1_050));
    scene.news(1_100);
    assert_eq!(scene.pipeline.open_flows(), 1);
    scene.pipeline.tick(at(1_250));
    // A pod of another node: its observer reports.
    assert_eq!((scene.pipeline.open_flows(), scene.records().len()), (0, 0));
    let stop =
        std::iter::from_fn(|| scene.pipeline.next_command()).find(|one| *one == Command::Stop(Cookie(1)));
    assert!(stop.is_some());

    let mut scene = Scene::new("client-unknown", IDENTITY_WAIT);
    scene.open(true);
    scene.bytes(Direction::Sent, 1_000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for milliseconds in [1_050, 1_200, 1_450] {
        scene.pipeline.tick(at(milliseconds));
        assert!(scene.records().is_empty(), "at {milliseconds}");
    }
    scene.pipeline.tick(at(1_550));
    scene.bytes(Direction::Received, 2_000, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let servers: Vec<_> = scene.records().iter().map(|record| record.server.principal.to_string()).collect();
    assert_eq!(servers, ["unknown"]);
}

#[test]
fn what_a_pod_received_from_somebody_not_known_yet_it_can_have_passed_on() {
    let mut scene = Scene::new("received", IDENTITY_WAIT);
    scene.called("Authorization: Bearer abc.def.ghi\r\n");
    assert!(scene.records().is_empty());
    let token = scene.pipeline.verifier.judge(b"Bearer abc.def.ghi", at(5)).fingerprint;
    let other = scene.pipeline.verifier.judge(b"Bearer xyz.def.ghi", at(5)).fingerprint;
    let world = &scene.pipeline.world;
    let payments = world.resolver.index.by_address(SERVER.parse().unwrap(), at(5));
    let payments = payments.pod().unwrap();
    assert_eq!(world.received.provenance(token, payments), Provenance::Forwarded);
    assert_eq!(world.received.provenance(other, payments), Provenance::Replayed);
}

#[test]
fn requests_that_wait_are_bounded() {
    let mut scene = Scene::new("bounded", IDENTITY_WAIT);
    scene.called("");
    let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20);
    scene.bytes(Direction::Received, 2_000 + 27, &requests);
    scene.pipeline.tick(at(50));
    assert_eq!(scene.clients().first().map(String::as_str), Some(UNKNOWN));
}

#[path = "pipeline_tests/repeats.rs"]
mod repeats;

impl Scene {
    /// The stranger's object goes; news of another pod comes when it is forgotten.
    fn gone(&mut self, milliseconds: u64) {
        let index = &mut self.pipeline.world.resolver.index;
        index.delete(&pod("orders", "n2", STRANGER), at(milliseconds));
        index.apply(&pod("other", "n2", "10.244.1.10"), at(milliseconds) + DEPARTED_FOR).unwrap();
    }
}

#[test]
fn an_edge_keeps_its_series_until_its_pods_are_gone_for_as_long_as_is_set() {
    let idle = Duration::from_secs(60);
    let mut scene = Scene::new("reaped", IDENTITY_WAIT);
    scene.news(0);
    scene.called("");
    scene.pipeline.tick(at(300));
    scene.close(1_000);
    for minutes in 1..100 {
        assert_eq!(scene.pipeline.reap(at(minutes * 60_000), idle), 0, "its pods are there");
    }
    scene.gone(6_000_000);
    // Of flows and requests one each; `unencrypted` and `unauthenticated`; both directions; and when it was last seen.
    assert_eq!(scene.pipeline.reap(at(20_000_000), idle), 1 + 1 + 2 + 2 + 1);
    assert_eq!(scene.samples("flows"), Vec::new());
}

#[test]
fn an_open_flow_of_a_pod_that_is_gone_is_counted_to_its_end() {
    let idle = Duration::from_secs(60);
    let mut scene = Scene::new("held", IDENTITY_WAIT);
    scene.news(0);
    scene.called("");
    scene.pipeline.tick(at(300));
    scene.gone(1_000);
    for hours in 1..10 {
        assert_eq!(scene.pipeline.reap(at(hours * 3_600_000), idle), 0);
    }
    scene.close(36_000_000);
    assert_eq!(scene.samples("bytes"), [of("orders", 27), of("orders", 38)].concat());
    assert_eq!((scene.samples("flows"), scene.samples("requests")), (of("orders", 1), of("orders", 1)));
}

#[test]
fn other_exemptions_count_for_what_comes_next_and_change_no_verdict() {
    let mut scene = Scene::new("exemptions", Duration::ZERO);
    scene.called("");
    let exempt = crate::verdict::Exemption { reason: "migration".into(), ..Default::default() };
    scene.pipeline.set(Vec::new(), false, Exemptions::new(vec![exempt]));
    scene.close(1_000);
    scene.called("");
    scene.close(2_000);
    let findings: Vec<_> = scene.records().iter().map(|record| record.findings.len()).collect();
    assert_eq!(findings, [1, 0]);
    let exempted = "observer_exempted_total{kind=\"unauthenticated\",reason=\"migration\"} 1";
    assert!(scene.sinks.metrics.openmetrics().contains(exempted));
}

#[test]
fn other_credential_headers_count_from_the_next_request_of_an_open_flow() {
    let mut scene = Scene::new("headers", Duration::ZERO);
    scene.called("X-API-Key: k\r\n");
    scene.pipeline.set(vec!["x-api-key".to_owned()], false, Exemptions::new(Vec::new()));
    let first = "GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\n\r\n";
    scene.bytes(Direction::Received, 2_000 + u32::try_from(first.len()).unwrap(), first.as_bytes());
    scene.close(1_000);
    let requests = scene.records().last().unwrap().requests.unwrap();
    assert_eq!((requests.none, requests.present), (1, 1));
}
