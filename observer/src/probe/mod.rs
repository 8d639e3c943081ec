//! Stage `probe`.
