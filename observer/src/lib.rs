//! Observer: one module per stage; data flows one way and no stage imports its neighbour. See ARCHITECTURE.md.
#![deny(unsafe_code)]

pub mod cli;
pub mod cluster;
pub mod confine;
pub mod conntrack;
pub mod crd;
pub mod decode;
pub mod graph;
pub mod identity;
pub mod manifest;
pub mod memory;
pub mod model;
pub mod posture;
pub mod probe;
pub mod protocol;
pub mod review;
pub mod runtime;
pub mod sink;
pub mod token;
pub mod verdict;
