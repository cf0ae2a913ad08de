//! The tables as a processor sees them.

mod backlog;
mod clock;
mod contract;
mod crash;
mod databases;
mod fence;
mod fixture;
mod inputs;
mod owner;
mod proof;
mod quiet;
mod remade;
mod silent;
mod stalled;
mod unreadable;
