//! The Prometheus operator's CRDs for `tests/deploy`: what a ServiceMonitor and a PrometheusRule may be.

use anyhow::{Context, Result};

use super::Step;
use super::go::Go;
use super::go_module::GoModule;
use crate::workspace;

const DIRECTORY: &str = "tests/deploy/operator";
const MODULE: &str = "github.com/prometheus-operator/prometheus-operator";
/// Within the module, and here.
const SOURCE: &str = "example/prometheus-operator-crd";
const TARGET: &str = "prometheus-operator-crd";
const KINDS: [&str; 3] = ["podmonitors", "prometheusrules", "servicemonitors"];

pub struct OperatorCrds {
    module: GoModule,
    version: String,
}

impl OperatorCrds {
    /// # Errors
    /// Its go.mod is not there, or does not require the operator.
    pub fn read() -> Result<Self> {
        let module = GoModule::read(DIRECTORY)?;
        let version = module.version(MODULE)?;
        Ok(Self { module, version })
    }

    /// What fetches them; none if they are there.
    ///
    /// # Errors
    /// Their go.mod names no version of Go.
    pub fn compiler(&self) -> Result<Option<Go>> {
        if self.present()?.is_some() { Ok(None) } else { self.module.compiler().map(Some) }
    }
}

fn file(kind: &str) -> String {
    format!("monitoring.coreos.com_{kind}.yaml")
}

impl Step for OperatorCrds {
    fn name(&self) -> String {
        format!("CRDs of the Prometheus operator {}", self.version)
    }

    fn present(&self) -> Result<Option<String>> {
        let target = workspace::tools().join(TARGET);
        let version = std::fs::read_to_string(target.join("version")).unwrap_or_default();
        let all = version == self.version && KINDS.iter().all(|kind| target.join(file(kind)).is_file());
        Ok(all.then(|| format!("target/tools/{TARGET}")))
    }

    fn install(&self) -> Result<()> {
        let source = self.module.download(MODULE)?.join(SOURCE);
        let target = workspace::tools().join(TARGET);
        std::fs::create_dir_all(&target)?;
        for kind in KINDS {
            // Not fs::copy: the module's files are read-only, and a later version has to replace them.
            let text = std::fs::read(source.join(file(kind))).with_context(|| file(kind))?;
            std::fs::write(target.join(file(kind)), text).with_context(|| file(kind))?;
        }
        std::fs::write(target.join("version"), &self.version).context("cannot note the version")
    }
}
