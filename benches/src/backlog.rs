//! Committed events that wait.

use std::ops::Range;

use outbox_sea_orm::Outbox;

use crate::event::{Keys, Numbered, Payloads};

/// Events in a transaction.
const TOGETHER: u64 = 1_000;

/// Which events to stage.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'p> {
    pub(crate) topic: &'p str,
    pub(crate) keys: Keys,
    pub(crate) payloads: &'p Payloads,
}

impl Plan<'_> {
    /// Commits the events of these numbers, in their order.
    pub(crate) async fn stage(&self, outbox: &Outbox, numbers: Range<u64>) -> anyhow::Result<()> {
        let mut from = numbers.start;
        while from < numbers.end {
            let to = numbers.end.min(from + TOGETHER);
            let txn = outbox.begin().await?;
            for n in from..to {
                let key = self.keys.of(n);
                txn.stage_event(&Numbered { n, key, topic: self.topic, payloads: self.payloads })?;
            }
            txn.commit().await?;
            from = to;
        }
        Ok(())
    }
}
