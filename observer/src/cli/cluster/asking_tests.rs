use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex, split};
use tokio::time::{Instant, sleep};

use super::super::conversation::Channel;
use super::*;
use crate::sink::query::PROTOCOL_VERSION;

/// What the observers of a made-up cluster do.
#[derive(Clone, Copy)]
enum Manners {
    Answer,
    /// Opens, and says nothing for ever.
    Hang,
    /// Sends more and more.
    Flood,
    /// Ends in the middle.
    BreakOff,
    /// Speaks another protocol.
    Strange,
}

struct Nodes {
    manners: fn(&str) -> Manners,
    /// How long each needs to answer.
    takes: Duration,
    open: std::sync::Arc<AtomicUsize>,
    most: AtomicUsize,
}

impl Nodes {
    fn new(takes: Duration, manners: fn(&str) -> Manners) -> Self {
        Self { manners, takes, open: Default::default(), most: AtomicUsize::new(0) }
    }
}

struct Open(std::sync::Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reach for Nodes {
    async fn open(&self, target: &Target, command: &[String]) -> Result<Channel, String> {
        assert_eq!(command, ["observer", "socket"]);
        let open = Open(self.open.clone());
        let now_open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now_open, Ordering::Relaxed);
        let (ours, theirs) = duplex(1024);
        let (node, manners, takes) = (target.node.clone(), (self.manners)(&target.node), self.takes);
        tokio::spawn(async move {
            let (read, mut write) = split(theirs);
            let mut asked = String::new();
            let protocol =
                if matches!(manners, Manners::Strange) { PROTOCOL_VERSION + 1 } else { PROTOCOL_VERSION };
            if !matches!(manners, Manners::Hang) {
                let hello = format!("{{\"protocol\":{protocol},\"version\":\"9.9.9\"}}\n");
                let _ = write.write_all(hello.as_bytes()).await;
            }
            let _ = BufReader::new(read).read_line(&mut asked).await;
            sleep(takes).await;
            let item = format!("{{\"node\":\"{node}\",\"asked\":{}}}\n", asked.trim());
            while matches!(manners, Manners::Flood) && write.write_all(item.as_bytes()).await.is_ok() {}
            let _ = write.write_all(item.as_bytes()).await;
            if !matches!(manners, Manners::BreakOff) {
                let _ = write.write_all(b"{\"end\":1}\n").await;
            }
        });
        let (read, write) = split(ours);
        let complaint = async move {
            drop(open);
            String::new()
        };
        Ok(Channel { input: Box::new(write), output: Box::new(read), complaint: complaint.boxed() })
    }
}

fn targets(count: usize) -> Vec<Target> {
    let target = |n| Target {
        node: format!("n{n}"),
        namespace: "observer".into(),
        pod: format!("observer-{n}"),
        container: "observer".into(),
        absent: None,
    };
    (0..count).map(target).collect()
}

/// The nodes that answered, and those that did not with why.
async fn ask(nodes: &Nodes, targets: &[Target], limits: Limits) -> (Vec<String>, Vec<(String, String)>) {
    let command = ["observer", "socket"].map(str::to_owned);
    let (mut answered, mut silent) = (Vec::new(), Vec::new());
    ask_all(nodes, targets, (&command, "\"coverage\"\n"), limits, |node, answer| match answer {
        Ok(lines) => {
            assert_eq!(lines, [format!("{{\"node\":\"{node}\",\"asked\":\"coverage\"}}\n")]);
            answered.push(node.to_owned());
        }
        Err(why) => silent.push((node.to_owned(), why)),
    })
    .await;
    silent.sort();
    (answered, silent)
}

#[tokio::test(start_paused = true)]
async fn of_500_nodes_one_that_hangs_costs_its_own_answer_and_no_more_time_than_it_has() {
    let nodes = Nodes::new(Duration::from_millis(100), |node| match node {
        "n7" => Manners::Hang,
        _ => Manners::Answer,
    });
    let limits = Limits { within: Duration::from_secs(10), ..Limits::default() };
    let start = Instant::now();
    let (answered, silent) = ask(&nodes, &targets(500), limits).await;
    assert_eq!(answered.len(), 499);
    assert_eq!(silent.len(), 1);
    assert!(silent[0].0 == "n7" && silent[0].1.contains("10 s") && silent[0].1.contains("--request-timeout"));
    // One after another they would take 50 s.
    let took = start.elapsed();
    assert!(took >= limits.within && took < limits.within + Duration::from_millis(100), "{took:?}");
    assert_eq!(nodes.most.load(Ordering::Relaxed), limits.at_once);
    assert_eq!(nodes.open.load(Ordering::Relaxed), 0, "each channel is closed");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_node_is_told_by_its_name_and_the_rest_is_shown() {
    let nodes = Nodes::new(Duration::ZERO, |node| match node {
        "n1" => Manners::Flood,
        "n2" => Manners::BreakOff,
        "n3" => Manners::Strange,
        _ => Manners::Answer,
    });
    let mut targets = targets(6);
    targets[4].absent = Some("its pod is Pending".into());
    let limits = Limits { bytes: 1024 * 1024, ..Limits::default() };
    let (mut answered, silent) = ask(&nodes, &targets, limits).await;
    answered.sort();
    assert_eq!(answered, ["n0", "n5"]);
    let causes =
        [("n1", "longer than 1 MiB"), ("n2", "broke off"), ("n3", "version 9.9.9"), ("n4", "is Pending")];
    assert_eq!(silent.len(), causes.len());
    for ((node, why), (wanted, cause)) in silent.iter().zip(causes) {
        assert!(node == wanted && why.contains(cause), "{node}: {why}");
    }
}
