//! What a child process of ours does. It works until its input ends, and says what it used.

mod bare;
mod complaints;
mod processor;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

pub(crate) use bare::{Bare, PRODUCER, headers};
pub(crate) use processor::{Processed, Relay};

use crate::machine::{Usage, usage};

pub(crate) const READY: &str = "ready";
pub(crate) const DONE: &str = "done";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Delivers events.
    Relay(Relay),
    /// Produces the same records without any database.
    Bare(Bare),
}

pub(crate) async fn play(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Relay(relay) => relay.play().await,
        Role::Bare(bare) => bare.play().await,
    }
}

/// Returns when whoever started us closes our input, or is gone.
async fn told_to_stop() {
    let mut rest = Vec::new();
    // An error means that nobody is there.
    drop(tokio::io::stdin().read_to_end(&mut rest).await);
}

fn own_usage() -> Usage {
    usage(std::process::id()).unwrap_or_default()
}
