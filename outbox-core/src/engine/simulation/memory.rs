//! What an engine remembers of what is pending.

use std::collections::BTreeMap;

use super::check::Violation;
use super::world::World;
use crate::store::Lease;

/// After how many answers the memory of an engine is looked at: what is forgotten stays so.
const SELDOM: usize = 8;

impl World {
    /// An engine has been told what was read or written: holds its memory against the table.
    ///
    /// Every pending event of a shard that it owns is where something will happen to it: the next read shows it, it is
    /// queued and its key has a turn, it is with the publisher, its outcome is to be written, or it is held and will be
    /// looked for. Not while the shard has a generation that the engine has not seen: then it reads everything again.
    pub(super) fn check_memory(&mut self, n: usize) {
        let Some(engine) = &self.nodes[n].engine else { return };
        self.answers += 1;
        if !self.answers.is_multiple_of(SELDOM) {
            return;
        }
        let owned = engine.lanes.iter().filter(|(shard, lane)| {
            let current = !lane.draining && !lane.fresh && lane.generation == self.store.generation(**shard);
            let owner = || self.store.owner(**shard).map(|(owner, epoch)| (owner, Lease { shard: **shard, epoch }));
            current && owner() == Some((engine.id, lane.lease))
        });
        let owned: BTreeMap<_, _> = owned.collect();
        let mut forgotten = None;
        self.store.for_each_pending_of(|seq, shard, event| {
            let Some(lane) = owned.get(&shard) else { return };
            let ready = |key: &_| engine.topics.is_ready(shard, key);
            let orphaned = |key: &_| engine.orphans.keys().any(|(of, orphan)| *of == shard && orphan == key);
            if let Some(why) = lane.forgets(seq, event, ready, orphaned) {
                forgotten = Some(format!("{seq} {why} in node {n}"));
            }
        });
        if let Some(forgotten) = forgotten {
            self.violated(Violation::Forgotten(forgotten));
        }
    }
}
