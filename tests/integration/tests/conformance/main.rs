//! The conformance table: what services really speak, said by third-party programs, and what observer reads of it
//! beside what tshark does. One row a case; all rows share one node, one daemon and one capture.
//!
//! `OBSERVER_CONFORMANCE_ROWS=word` runs the rows whose case has the word in it.

mod judge;
mod reading;
mod row;
mod rows;
mod scene;
mod table;
mod witness;

use anyhow::{Result, ensure};

#[test]
fn every_row_is_read_as_it_should_be_and_as_tshark_reads_it() -> Result<()> {
    let table = table::run(rows::all())?;
    table.publish()?;
    ensure!(table.failures().is_empty(), "{}", table.failures().join("\n"));
    Ok(())
}
