//! Reads everything that was named and tells of all that is wrong in it, not just of the first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CheckRow, Level};
use crate::graph::{Declarations, GraphError, GraphKind, ObjectName};
use crate::manifest::{self, Document};
use crate::model::Timestamp;

/// Problems told of one object: then something else is the matter.
const MAX_FAULTS: usize = 200;

/// What the conflicts' search needs to know.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Not just ServiceGraphs.
    pub other_kinds: bool,
    /// Some rule asks for addresses.
    pub speaks_of_addresses: bool,
}

pub(super) fn read(
    paths: &[PathBuf],
    now: Timestamp,
    declarations: &mut Declarations,
    files: &mut HashMap<String, PathBuf>,
    rows: &mut Vec<CheckRow>,
) -> Facts {
    let mut facts = Facts::default();
    let mut seen: HashMap<ObjectName, PathBuf> = HashMap::new();
    let mut read_already = HashSet::new();
    for path in paths {
        let there = match manifest::files(path) {
            Ok(there) => there,
            Err(error) => {
                rows.push(of_file(path, error.to_string()));
                continue;
            }
        };
        let mut declares = 0;
        let mut broken = false;
        for file in there {
            // Named twice, or within a directory that is named, too.
            if !read_already.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                declares += 1;
                continue;
            }
            match manifest::read(&file) {
                Ok(documents) => {
                    for document in documents {
                        declares += usize::from(take(
                            document,
                            now,
                            declarations,
                            (&mut seen, files),
                            &mut facts,
                            rows,
                        ));
                    }
                }
                Err(error) => {
                    broken = true;
                    rows.push(of_file(&file, error.to_string()));
                }
            }
        }
        if declares == 0 && !broken {
            let error = GraphError::NoGraph { path: path.clone() };
            rows.push(of_file(path, error.to_string()));
        }
    }
    facts
}

/// Whether the document declares edges.
fn take(
    document: Document,
    now: Timestamp,
    declarations: &mut Declarations,
    (seen, files): (&mut HashMap<ObjectName, PathBuf>, &mut HashMap<String, PathBuf>),
    facts: &mut Facts,
    rows: &mut Vec<CheckRow>,
) -> bool {
    let Some(kind) = GraphKind::of(&document.api_version, &document.kind) else { return false };
    let Document { file, api_version, value, .. } = document;
    let object = call(kind, &value);
    let row = |key: Option<String>, level, message: String| CheckRow {
        file: Some(file.clone()),
        object: Some(object.clone()),
        key,
        ..CheckRow::new(level, message)
    };
    if let Ok(name) = ObjectName::of(kind, &value)
        && let Some(other) = seen.insert(name, file.clone())
    {
        let message = format!("is also in {}; keep one, or give one another name", other.display());
        rows.push(row(None, Level::Error, message));
        return true;
    }
    let faults = faults(kind, &file, &api_version, &value);
    if !faults.is_empty() {
        rows.extend(faults.into_iter().map(|(key, message)| row(key, Level::Error, message)));
        return true;
    }
    if kind == GraphKind::ServiceGraph {
        for (key, message) in expired(&value, now) {
            rows.push(row(Some(key), Level::Warning, message));
        }
    } else {
        facts.other_kinds = true;
        facts.speaks_of_addresses |= speaks_of_addresses(&value);
    }
    match declarations.apply(kind, file.clone(), &api_version, value) {
        Ok(()) => {
            files.insert(object.clone(), file.clone());
        }
        Err(error) => rows.push(row(None, Level::Error, error.to_string())),
    }
    true
}

/// Everything that is wrong with one object: what is wrong is taken out, and the rest is looked at again.
fn faults(kind: GraphKind, file: &Path, api_version: &str, value: &Value) -> Vec<(Option<String>, String)> {
    let mut value = value.clone();
    let mut found = Vec::new();
    // Of each list, the places of what was taken out, as they were at first.
    let mut taken: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    while found.len() < MAX_FAULTS {
        let error = match Declarations::default().apply(kind, file.to_owned(), api_version, value.clone()) {
            Ok(()) => break,
            Err(error) => error,
        };
        match error {
            // Nothing is left of it.
            GraphError::NoEdges { .. } if !taken.is_empty() => break,
            GraphError::Field { key, message, .. } => {
                let Some((list, place)) = first_place(&key) else {
                    found.push((Some(key), message));
                    break;
                };
                let gone = taken.entry(list.clone()).or_default();
                let mut original = place;
                for before in gone.iter() {
                    original += usize::from(*before <= original);
                }
                found.push((Some(key.replacen(&format!("[{place}]"), &format!("[{original}]"), 1)), message));
                gone.push(original);
                gone.sort_unstable();
                if !take_out(&mut value, &list, place) {
                    break;
                }
            }
            GraphError::NoEdges { .. } => {
                let way_out = "is empty, so it names nobody; add an edge, or set `governs: namespace` if nobody may call anybody";
                found.push((Some("spec.edges".to_owned()), way_out.to_owned()));
                break;
            }
            GraphError::Version { found: version, .. } => {
                let message = format!("is {version}, which is not known; write observer.dev/v1alpha1");
                found.push((Some("apiVersion".to_owned()), message));
                break;
            }
            other => {
                found.push((None, other.to_string()));
                break;
            }
        }
    }
    found
}

/// The first list of a key and the place in it: `spec.edges[3].ports[0]` is the fourth of `spec.edges`.
fn first_place(key: &str) -> Option<(String, usize)> {
    let (list, rest) = key.split_once('[')?;
    let (place, _) = rest.split_once(']')?;
    Some((list.to_owned(), place.parse().ok()?))
}

fn take_out(value: &mut Value, list: &str, place: usize) -> bool {
    let pointer = format!("/{}", list.replace('.', "/"));
    match value.pointer_mut(&pointer).and_then(Value::as_array_mut) {
        Some(items) if place < items.len() => {
            items.remove(place);
            true
        }
        _ => false,
    }
}

/// Exceptions whose time is over.
fn expired(value: &Value, now: Timestamp) -> Vec<(String, String)> {
    let exceptions = value["spec"]["exceptions"].as_array().map_or(&[][..], Vec::as_slice);
    let over = exceptions.iter().enumerate().filter_map(|(place, exception)| {
        let until = exception["until"].as_str()?;
        let moment: Timestamp = serde_json::from_value(exception["until"].clone()).ok()?;
        let finding = exception["finding"].as_str().unwrap_or_default();
        (moment <= now).then(|| {
            let key = format!("spec.exceptions[{place}].until");
            (
                key,
                format!(
                    "{until} is over, and {finding} is found again; take the exception out, or mend its cause"
                ),
            )
        })
    });
    over.collect()
}

/// The keys under which any of the kinds names addresses.
const OF_ADDRESSES: [&str; 11] = [
    "ipBlock",
    "ipBlocks",
    "notIpBlocks",
    "remoteIpBlocks",
    "notRemoteIpBlocks",
    "fromCIDR",
    "fromCIDRSet",
    "toCIDR",
    "toCIDRSet",
    "networks",
    "toFQDNs",
];

fn speaks_of_addresses(value: &Value) -> bool {
    match value {
        Value::Object(keys) => {
            keys.iter().any(|(key, value)| OF_ADDRESSES.contains(&key.as_str()) || speaks_of_addresses(value))
        }
        Value::Array(items) => items.iter().any(speaks_of_addresses),
        // Conditions of Istio's.
        Value::String(text) => matches!(text.as_str(), "source.ip" | "remote.ip" | "destination.ip"),
        _ => false,
    }
}

fn call(kind: GraphKind, value: &Value) -> String {
    let text = |key: &str| value["metadata"][key].as_str().filter(|text| !text.is_empty());
    match (text("namespace"), text("name")) {
        (Some(namespace), Some(name)) => format!("{} {namespace}/{name}", kind.kind()),
        (None, Some(name)) => format!("{} {name}", kind.kind()),
        (_, None) => kind.kind().to_owned(),
    }
}

fn of_file(file: &Path, message: String) -> CheckRow {
    // The reader's message begins with the file, which has a column of its own.
    let known = format!("{}: ", file.display());
    let message = message.strip_prefix("graph ").map_or(message.clone(), str::to_owned);
    let message = message.strip_prefix(&known).map_or(message.clone(), str::to_owned);
    CheckRow { file: Some(file.to_owned()), ..CheckRow::new(Level::Error, message) }
}
