//! Something around the daemon breaks. Afterwards no byte of the traffic is harmed, nothing panicked, the same process
//! observes on, and what was lost is counted.

mod cgroup;
mod clients;
mod clock;
mod descriptors;
mod followers;
mod restart;
mod ring;
mod scene;
mod stdout;
