//! Stage `token`.
