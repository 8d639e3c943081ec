//! kube-apiserver, etcd and kubectl for `tests/kubernetes`, built from their Go modules.

use std::path::PathBuf;

use anyhow::Result;

use super::Step;
use super::go::Go;
use super::go_module::GoModule;

const DIRECTORY: &str = "tests/kubernetes/servers";
const APISERVER: &str = "k8s.io/kubernetes";
const ETCD: &str = "go.etcd.io/etcd/server/v3";
const PROGRAMS: [&str; 3] = ["kube-apiserver", "etcd", "kubectl"];
/// The ecosystem's variable for a directory with all of them in it: it comes first.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

pub struct Servers {
    module: GoModule,
    apiserver: String,
    etcd: String,
}

impl Servers {
    /// # Errors
    /// Their go.mod is not there, or does not require one of them.
    pub fn read() -> Result<Self> {
        let module = GoModule::read(DIRECTORY)?;
        let (apiserver, etcd) = (module.version(APISERVER)?, module.version(ETCD)?);
        Ok(Self { module, apiserver, etcd })
    }

    /// The compiler to build them with; none if they are there.
    ///
    /// # Errors
    /// Their go.mod names no version of Go.
    pub fn compiler(&self) -> Result<Option<Go>> {
        if brought().is_some() || self.module.is_built(&PROGRAMS) {
            return Ok(None);
        }
        self.module.compiler().map(Some)
    }
}

/// The directory that the user brings, if all programs are in it.
fn brought() -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os(ASSETS)?);
    PROGRAMS.iter().all(|program| directory.join(program).is_file()).then_some(directory)
}

impl Step for Servers {
    fn name(&self) -> String {
        format!("kube-apiserver and kubectl {}, etcd {}", self.apiserver, self.etcd)
    }

    fn present(&self) -> Result<Option<String>> {
        if let Some(directory) = brought() {
            return Ok(Some(format!("{ASSETS} is {}", directory.display())));
        }
        Ok(self.module.is_built(&PROGRAMS).then(|| "target/tools/bin".to_owned()))
    }

    fn install(&self) -> Result<()> {
        eprintln!("built from their Go modules once; that takes minutes");
        let version = format!("-X k8s.io/component-base/version.gitVersion={}", self.apiserver);
        self.module.build(&format!("{APISERVER}/cmd/kube-apiserver"), PROGRAMS[0], &version)?;
        self.module.build(ETCD, PROGRAMS[1], "")?;
        self.module.build(&format!("{APISERVER}/cmd/kubectl"), PROGRAMS[2], &version)
    }
}
