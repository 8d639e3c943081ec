use serde_json::Value;

use super::{Fault, Named};
use crate::graph::policy::Policy;

#[derive(Clone, Debug)]
pub(in crate::graph) struct Object {
    named: Named,
}

pub(super) fn read(named: &Named, _value: &Value) -> Result<Object, Fault> {
    Ok(Object { named: named.clone() })
}

pub(super) fn compile(objects: &[&Object]) -> Vec<Policy> {
    objects.iter().map(|object| object.named.source()).flat_map(|_| Vec::new()).collect()
}
