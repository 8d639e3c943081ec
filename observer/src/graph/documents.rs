use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::GraphError;

/// One object of a file.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: PathBuf,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) value: Value,
}

/// Every object of `path`, or of the *.yaml, *.yml and *.json in the directory `path`, by name. Lists are taken apart.
/// JSON is read as YAML, whose subset it is (YAML 1.2 section 1.2).
pub(super) fn read(path: &Path) -> Result<Vec<Document>, GraphError> {
    let mut documents = Vec::new();
    for file in files(path)? {
        let text =
            fs::read_to_string(&file).map_err(|source| GraphError::Read { file: file.clone(), source })?;
        // No snippets: what stands near an error may be anything.
        let values: Vec<Value> =
            serde_saphyr::from_multiple_with_options(&text, serde_saphyr::options! { with_snippet: false })
                .map_err(|error| GraphError::Syntax {
                file: file.clone(),
                line: error.location().map_or(1, |location| location.line()),
                message: error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned(),
            })?;
        for (number, value) in values.into_iter().enumerate() {
            take_apart(&file, format!("document {}", number + 1), value, &mut documents)?;
        }
    }
    Ok(documents)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, GraphError> {
    let unreadable = |source| GraphError::Read { file: path.to_owned(), source };
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
        true => Err(GraphError::EmptyDirectory { directory: path.to_owned() }),
        false => Ok(files),
    }
}

fn take_apart(
    file: &Path,
    place: String,
    mut value: Value,
    documents: &mut Vec<Document>,
) -> Result<(), GraphError> {
    let text = |key: &'static str| {
        let missing = || GraphError::NotKubernetes { file: file.to_owned(), place: place.clone(), key };
        value.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(missing)
    };
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    if kind != "List" && kind != "ServiceGraphList" {
        documents.push(Document { file: file.to_owned(), api_version, kind, value });
        return Ok(());
    }
    let items = value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
    for (number, item) in items.unwrap_or_default().into_iter().enumerate() {
        take_apart(file, format!("{place}, items[{number}]"), item, documents)?;
    }
    Ok(())
}
