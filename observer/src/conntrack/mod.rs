//! Stage `conntrack`.
