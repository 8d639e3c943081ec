use serde_json::Value;

use super::{Fault, Named};
use crate::graph::policy::Policy;

pub(super) fn read(_named: &Named, _value: &Value) -> Result<Vec<Policy>, Fault> {
    Ok(Vec::new())
}
