//! What is deployed: the chart as helm renders it, and the image as `cargo xtask image` writes it.
#![forbid(unsafe_code)]

mod chart;
mod container;
mod image;
mod session;

pub use chart::{NAMESPACE, Rendered, VALUES, helm, helm_with, objects_in, refusal, render};
pub use container::{Container, InCluster, Running, Runtime};
pub use image::Image;
pub use session::Session;
