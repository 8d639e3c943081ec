//! The image, as other programs read it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use observer_deployment::Image;
use observer_integration::Directory;
use serde_json::{Value, json};

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("not UTF-8")
}

/// Both ways to read the archive, as skopeo calls them.
fn sources(image: &Image) -> Result<[String; 2]> {
    let archive = text(image.archive())?;
    Ok(["docker-archive", "oci-archive"].map(|way| format!("{way}:{archive}")))
}

#[test]
fn it_is_the_same_image_as_a_docker_archive_and_as_an_oci_layout() -> Result<()> {
    let image = Image::open()?;
    let mut seen: Vec<Value> = Vec::new();
    for source in sources(&image)? {
        seen.push(serde_json::from_str(&run("skopeo", &["inspect", "--config", &source])?)?);
        // A copy compares each blob with its digest; an inspection does not.
        let target = Directory::new()?;
        let target = format!("dir:{}", text(target.path())?);
        run("skopeo", &["copy", "--quiet", "--insecure-policy", &source, &target])?;
    }
    assert_eq!(seen[0], seen[1]);
    let config = &seen[0];
    let architecture = run("dpkg", &["--print-architecture"])?;
    assert_eq!(config["architecture"], architecture.trim());
    assert_eq!(config["os"], "linux");
    assert_eq!(config["config"]["Entrypoint"], json!(["/observer"]));
    assert_eq!(config["config"]["Cmd"], json!(["run"]));
    assert_eq!(config["config"]["Env"], json!(["PATH=/"]));
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    Ok(())
}

#[test]
fn every_blob_has_the_digest_that_it_is_named_after() -> Result<()> {
    let image = Image::open()?;
    let mut blobs = 0;
    for blob in fs::read_dir(image.unpacked().join("blobs/sha256"))? {
        let path = blob?.path();
        let sum = run("sha256sum", &[text(&path)?])?;
        let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
        ensure!(sum.starts_with(&name), "{name} has {sum}");
        blobs += 1;
    }
    assert_eq!(blobs, 3, "layer, configuration and manifest");
    Ok(())
}

#[test]
fn it_is_named_as_containerd_and_docker_store_it() -> Result<()> {
    let image = Image::open()?;
    let read = |name: &str| -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(image.unpacked().join(name))?)?)
    };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(read("manifest.json")?[0]["RepoTags"], json!([format!("observer:{version}")]));
    let annotations = &read("index.json")?["manifests"][0]["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], format!("docker.io/library/observer:{version}"));
    Ok(())
}

#[test]
fn it_holds_the_binary_and_its_licence_and_nothing_else() -> Result<()> {
    let image = Image::open()?;
    let layer = fs::read_dir(image.unpacked().join("blobs/sha256"))?
        .map(|blob| Ok(blob?.path()))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .max_by_key(|path| path.metadata().map(|meta| meta.len()).unwrap_or_default())
        .context("no blobs")?;
    let list = run("tar", &["--numeric-owner", "--full-time", "--utc", "-tvf", text(&layer)?])?;
    let entries: Vec<[&str; 3]> = list
        .lines()
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [mode, owner, _, day, _, path] => {
                Some([mode, owner, if day == "1970-01-01" { path } else { day }])
            }
            _ => None,
        })
        .collect();
    let expected = [
        ["-rwxr-xr-x", "0/0", "observer"],
        ["drwxr-xr-x", "0/0", "licenses/"],
        ["-rw-r--r--", "0/0", "licenses/LICENSE"],
    ];
    assert_eq!(entries, expected, "{list}");
    Ok(())
}

#[test]
fn the_binary_needs_no_library_and_no_loader() -> Result<()> {
    let image = Image::open()?;
    let headers = run("readelf", &["--wide", "--program-headers", "--dynamic", text(&image.binary())?])?;
    ensure!(headers.contains("LOAD"), "{headers}");
    for word in ["INTERP", "NEEDED", "Requesting program interpreter"] {
        ensure!(!headers.contains(word), "{word} in {headers}");
    }
    Ok(())
}
