//! Kubernetes objects in files, as `kubectl get -o yaml|json` prints them: what inventory and graphs are read from.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

/// Files beyond this are refused: all of a file's objects are in memory at once while it is read.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;
/// Objects nest deeper than the YAML reader's default allows: a CustomResourceDefinition's schema, for one.
const MAX_DEPTH: usize = 128;
/// What anchors and aliases may stand for: files that people write have some, and what kubectl prints has none.
const MAX_ALIASED: usize = 50_000;
const MAX_ALIASED_BYTES: usize = 4 << 20;
/// What a file of [`MAX_FILE_BYTES`] can hold.
const MAX_NODES: usize = MAX_FILE_BYTES as usize / 4;

/// One object of a file.
#[derive(Debug)]
pub struct Document {
    pub file: PathBuf,
    pub api_version: String,
    pub kind: String,
    pub value: Value,
}

/// Why files could not be read as Kubernetes objects.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{file}: {source}; give a file or a directory that this process may read", file = .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{file}: {bytes} bytes are more than the {MAX_FILE_BYTES} that are read; split it", file = .file.display())]
    TooLong { file: PathBuf, bytes: u64 },
    #[error("{directory}: no *.yaml, *.yml or *.json in it; put the output of `kubectl get -o yaml` there", directory = .directory.display())]
    EmptyDirectory { directory: PathBuf },
    #[error("{file}: line {line}: not valid {language}: {message}; mend that line, or write the file anew with `kubectl get -o yaml`", file = .file.display())]
    Syntax { file: PathBuf, line: u64, language: &'static str, message: String },
    #[error("{file}: {place} is no Kubernetes object: {key} is missing; every object starts with these, as `kubectl get -o yaml` prints it", file = .file.display())]
    NotKubernetes { file: PathBuf, place: String, key: &'static str },
}

/// Every object of `path`, or of the *.yaml, *.yml and *.json in the directory `path`, by name. Lists are taken apart.
///
/// # Errors
/// Something is there that cannot be read as Kubernetes objects.
pub fn read(path: &Path) -> Result<Vec<Document>, ManifestError> {
    let mut documents = Vec::new();
    for file in files(path)? {
        let unreadable = |source| ManifestError::Read { file: file.clone(), source };
        let bytes = fs::metadata(&file).map_err(unreadable)?.len();
        if bytes > MAX_FILE_BYTES {
            return Err(ManifestError::TooLong { file, bytes });
        }
        let text = fs::read_to_string(&file).map_err(unreadable)?;
        for (number, value) in parse(&file, &text)?.into_iter().enumerate() {
            flatten(&file, &format!("document {}", number + 1), value, None, &mut documents)?;
        }
    }
    Ok(documents)
}

/// The file `path`, or the *.yaml, *.yml and *.json in the directory `path`, by name.
///
/// # Errors
/// It cannot be read, or the directory has none.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let unreadable = |source| ManifestError::Read { file: path.to_owned(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if matches!(file.extension().and_then(|end| end.to_str()), Some("yaml" | "yml" | "json"))
            && file.is_file()
        {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(ManifestError::EmptyDirectory { directory: path.to_owned() }),
        false => Ok(files),
    }
}

fn parse(file: &Path, text: &str) -> Result<Vec<Value>, ManifestError> {
    let broken = |line, language, message: String| ManifestError::Syntax {
        file: file.to_owned(),
        line,
        language,
        message: message.lines().next().unwrap_or_default().to_owned(),
    };
    if file.extension().is_some_and(|end| end == "json") {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        return values
            .collect::<Result<_, _>>()
            .map_err(|error| broken(error.line() as u64, "JSON", error.to_string()));
    }
    // No snippets: what stands near an error may be a Secret.
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_documents: MAX_NODES,
            // An escape of two letters stands for three bytes at most.
            max_total_scalar_bytes: 2 * text.len() + MAX_ALIASED_BYTES,
            max_recorded_anchor_events: MAX_ALIASED,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        broken(line, "YAML", error.without_snippet().to_string())
    })
}

/// `of` is the API version and kind of a list's items, which the API server leaves out where the list's kind says it.
fn flatten(
    file: &Path,
    place: &str,
    mut value: Value,
    of: Option<(&str, &str)>,
    documents: &mut Vec<Document>,
) -> Result<(), ManifestError> {
    let mut text = |key| value.get_mut(key).and_then(|value| value.as_str()).map(str::to_owned);
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let missing = |key| ManifestError::NotKubernetes { file: file.to_owned(), place: place.to_owned(), key };
    let api_version = api_version.or(of.map(|of| of.0.to_owned())).ok_or_else(|| missing("apiVersion"))?;
    let kind = kind.or(of.map(|of| of.1.to_owned())).ok_or_else(|| missing("kind"))?;
    match (kind.strip_suffix("List"), value.get_mut("items").map(Value::take)) {
        (Some(_), Some(Value::Null)) => Ok(()),
        (Some(item), Some(Value::Array(items))) => {
            let of = (!item.is_empty()).then_some((api_version.as_str(), item));
            for (number, item) in items.into_iter().enumerate() {
                flatten(file, &format!("{place}, items[{number}]"), item, of, documents)?;
            }
            Ok(())
        }
        (_, items) => {
            if let (Some(items), Some(place)) = (items, value.get_mut("items")) {
                *place = items;
            }
            documents.push(Document { file: file.to_owned(), api_version, kind, value });
            Ok(())
        }
    }
}
