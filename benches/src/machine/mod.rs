//! What processes of this machine use, from /proc.

mod port;
mod process;

pub(crate) use port::listener;
pub(crate) use process::{Usage, family_cpu, usage};
