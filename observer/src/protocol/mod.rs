//! Stage `protocol`.
