//! The tables as a processor sees them.

mod backlog;
mod contract;
mod crash;
mod databases;
mod fence;
mod fixture;
mod owner;
mod proof;
mod remade;
mod silent;
mod stalled;
mod unreadable;
