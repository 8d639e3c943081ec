//! `observer graph check`: what is wrong with declared graphs, and where kinds of sources disagree.
//!
//! Each edge of a ServiceGraph is taken for a call that happens, between pods of the inventory or, without one, between
//! two ServiceAccounts of whose pods nothing is known. All kinds together are asked about it: if one does not expect what
//! the ServiceGraph allows, that is a conflict. What depends on labels, ports or addresses that are not known is
//! `unevaluable`, with its reason.

mod cast;
mod conflicts;
mod read;
mod shadows;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::graph::Declarations;
use crate::model::Timestamp;
use cast::Cast;

/// How much a row weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It cannot be used, or names what is not there.
    Error,
    /// Sources of two kinds disagree.
    Conflict,
    /// Probably not meant so.
    Warning,
    /// Whether sources disagree cannot be told.
    Unevaluable,
}

impl Level {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Conflict => "conflict",
            Self::Warning => "warning",
            Self::Unevaluable => "unevaluable",
        }
    }

    /// Whether the check has failed.
    #[must_use]
    pub const fn fails(self) -> bool {
        matches!(self, Self::Error | Self::Conflict)
    }
}

/// Something to say about an object. What is not known, or does not apply, is absent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CheckRow {
    pub level: Level,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// `ServiceGraph shop/shop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong, and the way out.
    pub message: String,
    /// Of a conflict: the call that one side allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Of a conflict: the object that does not expect it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl CheckRow {
    fn new(level: Level, message: impl Into<String>) -> Self {
        Self {
            level,
            file: None,
            object: None,
            key: None,
            message: message.into(),
            client: None,
            server: None,
            port: None,
            against: None,
            reason: None,
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Errors first; sorted.
    pub rows: Vec<CheckRow>,
    /// Objects that declare edges and can be used.
    pub objects: usize,
    /// Edges of ServiceGraphs.
    pub edges: usize,
}

/// Looks at all of `paths` together. `inventory` is a file or directory of Kubernetes objects.
///
/// # Errors
/// The inventory cannot be used: one line.
pub fn check(paths: &[PathBuf], inventory: Option<&Path>, now: Timestamp) -> Result<Report, String> {
    let cast = inventory.map(|path| Cast::read(path, now)).transpose()?;
    let mut rows = Vec::new();
    let mut declarations = Declarations::default();
    let mut files = HashMap::new();
    let facts = read::read(paths, now, &mut declarations, &mut files, &mut rows);
    let (graph, warnings) = match declarations.compile() {
        Ok(compiled) => compiled,
        Err(error) => {
            rows.push(CheckRow::new(Level::Error, error.to_string()));
            return Ok(Report { rows, objects: declarations.len(), edges: 0 });
        }
    };
    for warning in warnings {
        rows.push(CheckRow {
            file: Some(warning.file),
            object: Some(warning.object.to_string()),
            key: Some(warning.key),
            ..CheckRow::new(Level::Warning, warning.message)
        });
    }
    let edges = graph.listing();
    shadows::look(&edges, &mut rows);
    if let Some(cast) = &cast {
        cast.miss(&edges, &mut rows);
    }
    if facts.other_kinds {
        conflicts::look(&graph, &edges, cast.as_ref(), facts.speaks_of_addresses, &mut rows);
    }
    for row in &mut rows {
        if row.file.is_none() {
            row.file = row.object.as_ref().and_then(|object| files.get(object.as_str()).cloned());
        }
    }
    rows.sort();
    rows.dedup();
    Ok(Report { rows, objects: declarations.len(), edges: edges.len() })
}

#[cfg(test)]
mod tests;
