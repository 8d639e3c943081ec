//! What `observer graph export` writes, as a real API server takes it.

use anyhow::{Result, ensure};
use observer_deployment::Session;
use observer_harness::SimNode;
use observer_integration::Daemon;
use observer_integration::servers::{Certificate, authority, s_server};
use observer_integration::wire::{self, Manners, Step};

#[test]
fn a_real_api_server_takes_what_is_exported() -> Result<()> {
    let node = SimNode::builder().start()?;
    let payments = node.pod("shop", "payments").deployment("payments").start()?;
    let orders = node.pod("shop", "orders").deployment("orders").start()?;
    let front = node.pod("web", "front").label("on", "true").start()?;
    let vault = node.pod("shop", "vault").start()?;
    let (certificate, own) = (Certificate::new("vault.shop.svc")?, Certificate::new("orders")?);
    let _server = wire::listen(&payments, &[(8080, Manners::Answer)])?;
    let _vault = s_server(&vault, 8443, &certificate, &["-Verify", "1", "-tls1_2", "-www"])?;
    let daemon = Daemon::start(&node)?;
    for client in [&orders, &front] {
        let ip = payments.ip4.to_string();
        wire::talk(client, &ip, 8080, &[Step::Send(wire::get(&[]).as_bytes()), Step::Hear])?;
    }
    daemon.wait_final("shop/orders", "shop/payments")?;
    daemon.wait_final("web/front", "shop/payments")?;

    // Istio's policies name callers by certificate.
    let to = format!("https://{}/", authority(vault.ip4, 8443));
    let (shown, key) = (own.certificate.display().to_string(), own.key.display().to_string());
    orders.run_ok(["curl", "-sSk", "--tls-max", "1.2", "--cert", &shown, "--key", &key, &to])?;
    daemon.wait_final("shop/orders", "shop/vault")?;

    let session = Session::start()?;
    session.cluster().namespace("shop")?;
    let crds = session.run(
        "kubectl create -f deploy/helm/crds -f target/tools/istio-crds/crds.yaml && \
         kubectl wait --for condition=Established --timeout 30s crd --all",
    )?;
    ensure!(crds.status.success(), "{crds:?}");
    let (graph, policies, istio) = (
        "servicegraph.observer.dev/observed created (server dry run)",
        "networkpolicy.networking.k8s.io/observed-payments created (server dry run)\n\
         networkpolicy.networking.k8s.io/observed-vault created (server dry run)",
        "authorizationpolicy.security.istio.io/observed-vault created (server dry run)",
    );
    for (format, wanted) in
        [("servicegraph", graph), ("networkpolicy", policies), ("authorizationpolicy", istio)]
    {
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
