//! Ctrl-C and SIGTERM as a question that loops ask, so that servers are stopped on the way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether somebody asked this program to stop. The default never says yes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From here on the signals no longer end the process: whoever waits for something must ask.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0)).context("cannot listen for signals")?;
        }
        Ok(interrupt)
    }

    pub(crate) fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.happened() {
            bail!("interrupted");
        }
        Ok(())
    }
}
