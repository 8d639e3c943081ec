//! The kernel programs on this machine's kernel, driven by a foreign program in a cgroup of its own. Needs root, and
//! fails without.

mod connections;
mod payload;
mod reordered;
mod repeats;
mod stage;
mod udp;
