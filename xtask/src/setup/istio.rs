//! Istio's CRDs for `tests/deploy`: what an AuthorizationPolicy may be.

use anyhow::{Context, Result};

use super::Step;
use super::go::Go;
use super::go_module::GoModule;
use crate::workspace;

const DIRECTORY: &str = "tests/deploy/istio";
const MODULE: &str = "istio.io/api";
/// Within the module; all kinds are in one file.
const SOURCE: &str = "kubernetes/customresourcedefinitions.gen.yaml";
const TARGET: &str = "istio-crds";
const FILE: &str = "crds.yaml";

pub struct IstioCrds {
    module: GoModule,
    version: String,
}

impl IstioCrds {
    /// # Errors
    /// Its go.mod is not there, or does not require Istio's API.
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

impl Step for IstioCrds {
    fn name(&self) -> String {
        format!("CRDs of Istio {}", self.version)
    }

    fn present(&self) -> Result<Option<String>> {
        let target = workspace::tools().join(TARGET);
        let version = std::fs::read_to_string(target.join("version")).unwrap_or_default();
        let there = version == self.version && target.join(FILE).is_file();
        Ok(there.then(|| format!("target/tools/{TARGET}")))
    }

    fn install(&self) -> Result<()> {
        let source = self.module.download(MODULE)?.join(SOURCE);
        let target = workspace::tools().join(TARGET);
        std::fs::create_dir_all(&target)?;
        // Not fs::copy: the module's files are read-only, and a later version has to replace them.
        let text = std::fs::read(&source).with_context(|| source.display().to_string())?;
        std::fs::write(target.join(FILE), text).context(FILE)?;
        std::fs::write(target.join("version"), &self.version).context("cannot note the version")
    }
}
