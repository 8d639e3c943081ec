//! The page of `observer ui`: what it says of real traffic, how it bears a crowd, and the pictures in the documents.
//! What each of the scripts in `browser/` proves is named there.

use anyhow::{Result, bail};
use observer_map::{Shop, look};
use observer_monitoring::{Prometheus, Scraped};

#[test]
fn the_map_shows_what_the_daemon_says_to_eyes_keys_and_screen_readers() -> Result<()> {
    let shop = Shop::open()?;
    look("map.mjs", &[("SOCKET", &shop.socket())], |what| match what {
        "call" => shop.call(),
        other => bail!("nobody knows how to {other}"),
    })
}

#[test]
fn a_crowd_of_edges_is_drawn_at_once_and_moves_smoothly() -> Result<()> {
    look("crowd.mjs", &[], |what| bail!("nobody knows how to {what}"))
}

#[test]
fn prometheus_draws_what_the_daemon_counts() -> Result<()> {
    let shop = Shop::open()?;
    let scraped = Scraped { job: "observer", address: shop.daemon.address(), labels: &[("node", "n1")] };
    let prometheus = Prometheus::start(&[scraped])?;
    let address = format!("http://{}", prometheus.address());
    look("prometheus.mjs", &[("ADDRESS", &address)], |_| shop.call())
}
