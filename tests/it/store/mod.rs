//! The tables as a processor sees them.

mod contract;
mod databases;
mod fixture;
