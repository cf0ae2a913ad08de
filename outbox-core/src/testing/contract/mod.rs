//! Contracts as test suites: one function per clause, and a macro that makes a test of each.

pub mod publisher;
