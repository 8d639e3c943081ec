//! What `observer graph export` writes, as a real API server takes it.

use anyhow::{Result, ensure};
use observer_deployment::Session;
use observer_harness::SimNode;
use observer_integration::Daemon;
use observer_integration::wire::{self, Manners, Step};

#[test]
fn a_real_api_server_takes_what_is_exported() -> Result<()> {
    let node = SimNode::builder().start()?;
    let payments = node.pod("shop", "payments").deployment("payments").start()?;
    let orders = node.pod("shop", "orders").deployment("orders").start()?;
    let front = node.pod("web", "front").label("on", "true").start()?;
    let _server = wire::listen(&payments, &[(8080, Manners::Answer)])?;
    let daemon = Daemon::start(&node)?;
    for client in [&orders, &front] {
        let ip = payments.ip4.to_string();
        wire::talk(client, &ip, 8080, &[Step::Send(wire::get(&[]).as_bytes()), Step::Hear])?;
    }
    daemon.wait_final("shop/orders", "shop/payments")?;
    daemon.wait_final("web/front", "shop/payments")?;

    let session = Session::start()?;
    session.cluster().namespace("shop")?;
    let crds = session.run("kubectl apply -f deploy/helm/crds && kubectl wait --for condition=Established --timeout 30s crd --all")?;
    ensure!(crds.status.success(), "{crds:?}");
    for (format, wanted) in [
        ("servicegraph", "servicegraph.observer.dev/observed created (server dry run)"),
        ("networkpolicy", "networkpolicy.networking.k8s.io/observed-payments created (server dry run)"),
    ] {
        let output = daemon.ask(&["graph", "export", "--format", format])?;
        ensure!(output.status.success(), "{output:?}");
        let file = daemon.directory().join("exported.yaml");
        std::fs::write(&file, &output.stdout)?;
        let line = format!("kubectl apply --dry-run=server --validate=strict -f {}", file.display());
        let told = session.run(&line)?;
        let said = String::from_utf8_lossy(&told.stdout).into_owned();
        ensure!(
            told.status.success() && said.trim() == wanted,
            "{told:?}\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}
