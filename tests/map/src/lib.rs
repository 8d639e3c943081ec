//! A shop on a simulated node, and what drives Chromium over the pages that show it.

#![forbid(unsafe_code)]

mod browser;
mod shop;

pub use browser::{look, pictures};
pub use shop::Shop;
