//! What a run of the tests showed, for docs/reliability.md.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

/// The table of the page that a row belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Something around the daemon breaks.
    Fault,
    /// Somebody means harm: a pod, an object of the cluster, a client.
    Input,
    /// A credential comes by, and is nowhere to be found.
    Secret,
    /// What the daemon may not do, tried.
    Privilege,
}

/// The last thing a test does: `proven!(Fault, "what was done to it", "what was seen, {with} numbers")`. `cargo xtask
/// tidy` sees to it that each such test has its row in docs/reliability.md, and each row its test.
#[macro_export]
macro_rules! proven {
    ($kind:ident, $what:expr, $($shown:tt)+) => {{
        fn place_of_row() {}
        $crate::reliability::note(
            $crate::reliability::Kind::$kind,
            file!(),
            std::any::type_name_of_val(&place_of_row),
            $what,
            &format!($($shown)+),
        )?
    }};
}

/// Writes the row to the folder that `OBSERVER_RELIABILITY` names, if it does. `place`: a path of items in the test.
///
/// # Errors
/// It cannot be written.
pub fn note(kind: Kind, file: &str, place: &str, what: &str, shown: &str) -> Result<()> {
    eprintln!("{what}: {shown}");
    let Some(folder) = std::env::var_os("OBSERVER_RELIABILITY") else { return Ok(()) };
    let parts = place.split("::").filter(|part| *part != "place_of_row" && !part.starts_with('{'));
    let test = parts.last().context("a test has a name")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let row = json!({
        "kind": format!("{kind:?}").to_lowercase(), "what": what, "shown": shown, "file": file, "test": test,
        "kernel": kernel.trim(),
    });
    fs::create_dir_all(&folder)?;
    let path = Path::new(&folder).join(format!("{test}.json"));
    fs::write(&path, row.to_string()).with_context(|| path.display().to_string())
}
