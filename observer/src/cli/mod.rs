//! Stage `cli`.

pub mod doctor;
