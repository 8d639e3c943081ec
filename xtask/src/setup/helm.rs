//! helm, which renders and checks the chart.

use anyhow::Result;

use super::Step;
use super::go::Go;
use super::go_module::GoModule;

const DIRECTORY: &str = "xtask/tools/helm";
const MODULE: &str = "helm.sh/helm/v4";
const PROGRAM: &str = "helm";

pub struct Helm {
    module: GoModule,
    version: String,
}

impl Helm {
    /// # Errors
    /// Its go.mod is not there, or does not require helm.
    pub fn read() -> Result<Self> {
        let module = GoModule::read(DIRECTORY)?;
        let version = module.version(MODULE)?;
        Ok(Self { module, version })
    }

    /// The compiler to build it with; none if it is built.
    ///
    /// # Errors
    /// Its go.mod names no version of Go.
    pub fn compiler(&self) -> Result<Option<Go>> {
        if self.module.is_built(&[PROGRAM]) { Ok(None) } else { self.module.compiler().map(Some) }
    }
}

impl Step for Helm {
    fn name(&self) -> String {
        format!("helm {}", self.version)
    }

    fn present(&self) -> Result<Option<String>> {
        Ok(self.module.is_built(&[PROGRAM]).then(|| "target/tools/bin".to_owned()))
    }

    fn install(&self) -> Result<()> {
        eprintln!("built from its Go module once; that takes minutes");
        let version = format!("-X {MODULE}/internal/version.version={}", self.version);
        self.module.build(&format!("{MODULE}/cmd/helm"), PROGRAM, &version)
    }
}
