//! Stage `sink`.
