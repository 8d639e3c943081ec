//! The identity index at the size of the largest clusters: memory, look-ups, and how fast news is taken in.
//! `cargo xtask bench identity` runs it.

#[path = "../tests/cluster/mod.rs"]
mod cluster;

use std::env;
use std::hint::black_box;
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{Cluster, LATER, NOW};
use observer::identity::Index;
use observer::model::Transport;

const IPV4: &str = "ipv4";
const DUAL_STACK: &str = "dual-stack";
/// What the index of the largest cluster may have, of the 96 of the whole daemon.
const BOUND_MIB: f64 = 75.0;
/// Addresses that a busy node talks to; a cluster's others are asked for now and then.
const BUSY: usize = 1_000;
/// Look-ups of one measurement, and how many of those the median is taken of.
const BATCH: usize = 1_000;
const BATCHES: usize = 1_001;

fn main() {
    match env::args().find(|argument| argument == IPV4 || argument == DUAL_STACK) {
        Some(cluster) => measure(&cluster),
        None => all(),
    }
}

/// Each cluster in a process of its own, for the memory to be its alone.
fn all() {
    println!(
        "| cluster | RssAnon | by any address | by 1,000 addresses | by cgroup | by Service address | taken in |"
    );
    println!("|---|---|---|---|---|---|---|");
    let program = env::current_exe().expect("this program has a path");
    for cluster in [IPV4, DUAL_STACK] {
        let status = Command::new(&program).arg(cluster).status().expect("this program starts");
        assert!(status.success(), "{cluster}: {status}");
    }
}

fn measure(name: &str) {
    let before = cluster::anonymous_kib();
    let mut index = Cluster::index();
    let mut applying = Duration::ZERO;
    let mut objects = 0u32;
    let cluster = Cluster::largest(name == DUAL_STACK);
    cluster.each(|object| {
        let start = Instant::now();
        index.apply(object, NOW).expect("the objects are well formed");
        applying += start.elapsed();
        objects += 1;
    });
    let mib = (cluster::anonymous_kib() - before) as f64 / 1024.0;
    assert_eq!(index.counts().pods, cluster.pods as usize);
    assert!(mib < BOUND_MIB || cluster.dual_stack, "{mib:.1} MiB are more than {BOUND_MIB}");

    let addresses: Vec<IpAddr> = sample(cluster.pods).map(cluster::pod_ip).collect();
    let by_address = median(&addresses, |ip| index.by_address(*ip, LATER).pod().is_some());
    let busy = median(&addresses[..BUSY], |ip| index.by_address(*ip, LATER).pod().is_some());
    let cgroups: Vec<String> = sample(cluster.pods).take(BUSY).map(cluster::cgroup).collect();
    let by_cgroup = median(&cgroups, |path| index.by_cgroup(path).is_some_and(|found| found.pod().is_some()));
    let services: Vec<IpAddr> = sample(cluster.services()).map(cluster::service_ip).collect();
    for ip in &services {
        black_box(is_service(&mut index, *ip));
    }
    let by_service = median(&services, |ip| is_service(&mut index, *ip));
    let rate = f64::from(objects) / applying.as_secs_f64() / 1_000.0;
    let Cluster { pods, .. } = cluster;
    println!(
        "| {pods} pods, {} Services, {name} | {mib:.1} MiB | {by_address} ns | {busy} ns | {by_cgroup} ns | \
         {by_service} ns | {rate:.0},000 objects/s |",
        cluster.services()
    );
}

fn is_service(index: &mut Index, ip: IpAddr) -> bool {
    let found = index.service(ip, 80, Transport::Tcp);
    found.is_some_and(|found| found.backend.service_account().is_some())
}

fn sample(of: u32) -> impl Iterator<Item = u32> {
    (0..(BATCH * BATCHES) as u32).map(move |number| cluster::mix(number) % of)
}

/// Nanoseconds of one look-up: the median of many batches.
fn median<T>(keys: &[T], mut look_up: impl FnMut(&T) -> bool) -> u128 {
    let mut keys = keys.iter().cycle();
    let mut batches: Vec<u128> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            let found = keys.by_ref().take(BATCH).filter(|key| look_up(black_box(key))).count();
            assert_eq!(black_box(found), BATCH, "every key is one of the index");
            start.elapsed().as_nanos() / BATCH as u128
        })
        .collect();
    batches.sort_unstable();
    batches[BATCHES / 2]
}
