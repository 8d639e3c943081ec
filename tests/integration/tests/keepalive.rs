//! Nothing is missed and nothing invented when a connection carries thousands of requests.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use observer_harness::{Pod, Process, SimNode};
use observer_integration::{Claims, Daemon, Directory, TokenIssuer};

const REQUESTS: u64 = 10_000;
const CONNECTIONS: u64 = 8;

/// nginx with one worker and no limit on a connection's requests; `/count` tells how many it served.
fn nginx(pod: &Pod, directory: &Directory) -> Result<Process> {
    let path = directory.path().display();
    let config = format!(
        "daemon off; worker_processes 1; pid {path}/nginx.pid; error_log {path}/error.log;
         events {{ worker_connections 1024; }}
         http {{
             access_log off; keepalive_requests 1000000;
             client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
             uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
             server {{
                 listen 8080; listen [::]:8080;
                 location = /count {{ stub_status; }}
                 location / {{ return 200 'hello world\\n'; }}
             }}
         }}"
    );
    let config = directory.write("nginx.conf", config)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&config).arg("-p").arg(directory.path());
    let process = pod.spawn(command)?;
    pod.wait_listening(8080)?;
    Ok(process)
}

/// The third number of the third line: requests.
fn nginx_count(pod: &Pod) -> Result<u64> {
    let status = pod.run_ok(["curl", "-sS", "http://127.0.0.1:8080/count"])?;
    let numbers = status.lines().nth(2).context("stub_status")?;
    Ok(numbers.split_whitespace().nth(2).context("stub_status")?.parse()?)
}

#[test]
fn every_request_of_ten_thousand_on_kept_connections_is_counted_once() -> Result<()> {
    let issuer = TokenIssuer::new("https://issuer.test")?;
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "server").start()?;
    let client = node.pod("shop", "client").start()?;
    let directory = Directory::new()?;
    let _nginx = nginx(&server, &directory)?;
    let token = issuer.bound(&client, &Claims { audiences: vec!["shop".into()], expires_in: 3600 })?;
    let mut daemon = Daemon::builder().arguments(issuer.arguments()).start(&node)?;

    let before = nginx_count(&server)?;
    let url = format!("http://{}:8080/", server.ip4);
    let (requests, connections) = (REQUESTS.to_string(), CONNECTIONS.to_string());
    let header = format!("Authorization: Bearer {token}");
    client.run_ok(["ab", "-q", "-k", "-n", &requests, "-c", &connections, "-H", &header, &url])?;
    // The question itself is one of them.
    let served = nginx_count(&server)? - before - 1;
    assert!(served >= REQUESTS, "ab asked {REQUESTS} times, nginx served {served}");

    daemon.wait_final("shop/client", "shop/server")?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(daemon.metric("observer_lost_events_total", &[])?, 0.0, "lost events");
    daemon.end(libc::SIGTERM)?;
    let finals = daemon.finals("shop/client", "shop/server")?;
    let sum =
        |key: &str| finals.iter().map(|record| record["requests"][key].as_u64().unwrap_or(0)).sum::<u64>();
    for record in &finals {
        eprintln!("{} {}", record["requests"], record["encryption"]);
    }
    assert_eq!(sum("total"), served);
    assert_eq!(sum("verified"), served, "{finals:?}");
    assert_eq!(finals.len() as u64, CONNECTIONS, "one record a connection");
    Ok(())
}

#[test]
fn at_full_speed_nothing_is_lost() -> Result<()> {
    let node = SimNode::builder().start()?;
    let server = node.pod("shop", "server").start()?;
    let client = node.pod("shop", "client").start()?;
    let directory = Directory::new()?;
    let _nginx = nginx(&server, &directory)?;
    let mut daemon = Daemon::start(&node)?;
    let before = nginx_count(&server)?;
    let url = format!("http://{}:8080/", server.ip4);
    let output = client.run_ok(["wrk", "-t1", "-c16", "-d2s", &url])?;
    let served = nginx_count(&server)? - before - 1;
    daemon.wait_final("shop/client", "shop/server")?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    let lost = daemon.metric("observer_lost_events_total", &[])?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid()))?;
    daemon.end(libc::SIGTERM)?;
    let mut finals = daemon.finals("shop/client", "shop/server")?;
    // wrk first tries the address with a connection that it leaves unused.
    finals.retain(|record| record["bytes_sent"] != 0);
    let counted: u64 = finals.iter().map(|record| record["requests"]["total"].as_u64().unwrap_or(0)).sum();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<u64>().ok())
        .sum();
    eprintln!(
        "{output}\nserved {served}, counted {counted}, lost {lost}, daemon {} CPU-s",
        ticks as f64 / 100.0
    );
    assert_eq!(lost, 0.0, "lost events");
    assert_eq!(counted, served);
    assert_eq!(finals.len(), 16, "one record a connection");
    Ok(())
}
