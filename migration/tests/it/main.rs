//! The migration on real servers, in one binary.

mod lifecycle;
mod support;
