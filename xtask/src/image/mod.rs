//! `cargo xtask image`: the container image as an archive, made without a container engine.

mod archive;
mod binary;
mod dockerfile;
mod layer;
mod reference;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use self::archive::Image;
use self::dockerfile::Dockerfile;
use self::reference::Reference;
use crate::setup::{self, Purpose};
use crate::workspace;

const DOCKERFILE: &str = "deploy/Dockerfile";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Args, Default)]
pub struct Arguments {
    /// What the image is called [default: observer:VERSION]
    #[arg(long, value_name = "NAME:TAG")]
    tag: Option<String>,
    /// Where the archive goes [default: target/image/observer.tar]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The command itself.
///
/// # Errors
/// If the binary cannot be built, or the archive not written.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(Purpose::Build)?;
    let reference = arguments.tag.clone().unwrap_or_else(|| format!("observer:{VERSION}"));
    let reference = Reference::parse(&reference)?;
    let output = arguments.output.clone().map_or_else(archive, Ok)?;
    write(&reference, &output)
}

/// Where the archive goes unless told otherwise.
///
/// # Errors
/// If this program does not know where it lies itself.
pub fn archive() -> Result<PathBuf> {
    Ok(workspace::target()?.join("image/observer.tar"))
}

fn write(reference: &Reference, output: &Path) -> Result<()> {
    let top = workspace::top();
    let path = top.join(DOCKERFILE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut description = Dockerfile::parse(&text).context(DOCKERFILE)?;
    let source = binary::build()?;
    let built = source.binary;
    description.labels.insert("org.opencontainers.image.version".to_owned(), VERSION.to_owned());
    description.labels.insert("org.opencontainers.image.created".to_owned(), source.time.clone());
    if let Some(revision) = source.revision {
        description.labels.insert("org.opencontainers.image.revision".to_owned(), revision);
    }
    let files = description.copies.iter().map(|copy| {
        // The one file that is built lies in the target directory, which may be elsewhere than the Dockerfile says.
        let from = if copy.source == binary::IN_DOCKERFILE { built.clone() } else { top.join(&copy.source) };
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        Ok(layer::File { path: copy.target.clone(), mode: copy.mode, bytes })
    });
    let files = files.collect::<Result<Vec<_>>>()?;
    let image = Image { description, layer: layer::tar(&files)?, created: source.time, reference };
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let file = File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
    let digest = image.write(BufWriter::new(file))?;
    let shown = output.strip_prefix(&top).unwrap_or(output).display();
    eprintln!("{shown}: {reference}, {digest}");
    eprintln!("`docker load`, `ctr images import` and `kind load image-archive` take it");
    Ok(())
}
