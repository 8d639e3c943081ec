//! Stage `review`: declared edges held against each other (`check`) and against what was seen (`diff`), and declarations
//! made of what was seen (`export`). Pure functions over what files and the observer's socket say.

mod check;
mod diff;
mod export;
mod matching;

pub use check::{CheckRow, Level, Report, check};
pub use diff::{Against, DiffRow, Difference, SeenEdge, diff};
pub use export::{Export, ExportFormat, Scope, export};

use std::path::PathBuf;

use crate::crd::DeclaredEdge;
use crate::graph::{Declarations, GraphError};

/// The edges of ServiceGraphs in files.
///
/// # Errors
/// As where an observer reads them.
pub fn declared_in(paths: &[PathBuf]) -> Result<Vec<DeclaredEdge>, GraphError> {
    let mut declarations = Declarations::default();
    for path in paths {
        declarations.read(path)?;
    }
    let (graph, _) = declarations.compile()?;
    Ok(graph.listing())
}
