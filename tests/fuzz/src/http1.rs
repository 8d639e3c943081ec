//! HTTP/1 and whatever else a connection may open with.

use crate::script;
use crate::talk::{self, Setup};

pub fn run(input: &[u8]) {
    let Some((&options, input)) = input.split_first() else { return };
    talk::play_any_way(&script::read(input), &Setup::read(options));
}
