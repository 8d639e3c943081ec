//! What a scraper gets from the daemon.

use anyhow::{Result, ensure};
use observer_harness::SimNode;
use observer_integration::Daemon;
use observer_monitoring::promtool;

#[test]
fn promtool_finds_nothing_wrong_with_the_text_format() -> Result<()> {
    let node = SimNode::builder().start()?;
    let daemon = Daemon::start(&node)?;
    let answer = daemon.get_as("/metrics", "text/plain")?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    ensure!(body.contains("observer_build_info"), "{answer}");
    let said = promtool(&["check", "metrics"], body)?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}
