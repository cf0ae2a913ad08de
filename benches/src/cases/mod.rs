//! The benchmarks, one per file.

mod backlog;
mod blocked;
mod drain;
mod idle;
mod latency;
mod outage;
mod pinned;
mod scale;
mod stage;
mod takeover;

use std::str::FromStr;

use anyhow::Context;

use crate::bench::Bench;
use crate::report::Case;
pub(crate) use stage::change;

/// Which benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Drain,
    Stage,
    Latency,
    Idle,
    HotKey,
    Blocked,
    Backlog,
    Scale,
    Pinned,
    Outage,
    Takeover,
}

impl Name {
    pub(crate) const ALL: [Self; 11] = [
        Self::Drain,
        Self::Stage,
        Self::Latency,
        Self::Idle,
        Self::HotKey,
        Self::Blocked,
        Self::Backlog,
        Self::Scale,
        Self::Pinned,
        Self::Outage,
        Self::Takeover,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Stage => "stage",
            Self::Latency => "latency",
            Self::Idle => "idle",
            Self::HotKey => "hot-key",
            Self::Blocked => "blocked",
            Self::Backlog => "backlog",
            Self::Scale => "scale",
            Self::Pinned => "pinned",
            Self::Outage => "outage",
            Self::Takeover => "takeover",
        }
    }

    /// Measures. The first case is the headline.
    pub(crate) async fn run(self, bench: &Bench) -> anyhow::Result<Vec<Case>> {
        match self {
            Self::Drain => drain::run(bench).await,
            Self::Stage => stage::run(bench).await,
            Self::Latency => latency::run(bench).await,
            Self::Idle => idle::run(bench).await,
            Self::HotKey => drain::hot_key(bench).await,
            Self::Blocked => blocked::run(bench).await,
            Self::Backlog => backlog::run(bench).await,
            Self::Scale => scale::run(bench).await,
            Self::Pinned => pinned::run(bench).await,
            Self::Outage => outage::run(bench).await,
            Self::Takeover => takeover::run(bench).await,
        }
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == name);
        known.with_context(|| format!("there is no benchmark {name:?}; `help` lists them"))
    }
}
