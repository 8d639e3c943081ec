//! Tables that are asked for every event.

/// With a quick hash under a random seed: what names and numbers come to, the cluster's own objects and the kernel say,
/// and every table is bounded. Nothing secret is hashed with it.
pub type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
