//! What the pages tell people to do to their cluster, done to a real API server.

use anyhow::{Result, ensure};
use observer_deployment::Session;
use observer_integration::documents;

/// Answered by a kubelet: `container.rs` runs these in a container.
const IN_A_POD: &str = "kubectl --namespace observer exec ";
/// The plugin, which needs observers to ask: `tests/kubernetes` runs these.
const OF_THE_PLUGIN: &str = "kubectl observer ";

/// Every page on a cluster of its own, from its first command to its last.
#[test]
fn helm_and_kubectl_take_the_commands_of_every_page() -> Result<()> {
    let mut ran = 0;
    for page in documents::pages()? {
        let mut commands = documents::commands_of(&page)?;
        commands.retain(|typed| {
            let command = &typed.command;
            let is_for_a_cluster = command.starts_with("helm ") || command.starts_with("kubectl ");
            is_for_a_cluster && ![IN_A_POD, OF_THE_PLUGIN].iter().any(|other| command.starts_with(other))
        });
        if commands.is_empty() {
            continue;
        }
        let session = Session::start()?;
        for typed in commands {
            let output = session.run(&typed.command)?;
            let said = String::from_utf8_lossy(&output.stdout);
            ensure!(typed.is_answered_by(&said), "{typed:?}: {output:?}");
            ensure!(output.status.success() || !typed.answer.is_empty(), "{typed:?}: {output:?}");
            ran += 1;
        }
    }
    ensure!(ran > 2, "the pages have {ran} commands of helm and kubectl");
    Ok(())
}

#[test]
fn what_helm_installs_it_takes_away_again() -> Result<()> {
    let session = Session::start()?;
    let installs =
        documents::commands()?.into_iter().filter(|typed| typed.command.starts_with("helm install "));
    let daemon_set = "/apis/apps/v1/namespaces/observer/daemonsets/observer";
    for typed in installs {
        let output = session.run(&typed.command)?;
        let notes = String::from_utf8_lossy(&output.stdout);
        ensure!(notes.contains("exec daemonset/observer -- observer doctor"), "{typed:?}: {output:?}");
        let installed = session.cluster().get(daemon_set)?;
        assert_eq!(installed["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
        let container = &installed["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], serde_json::json!(["run", "--config", "/etc/observer/config.yaml"]));
        let output = session.run("helm uninstall observer --namespace observer")?;
        ensure!(output.status.success(), "{output:?}");
        ensure!(session.cluster().get(daemon_set).is_err(), "the DaemonSet is still there");
        let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/observer";
        ensure!(session.cluster().get(role).is_err(), "the ClusterRole is still there");
    }
    Ok(())
}
