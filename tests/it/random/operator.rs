//! What an operator does, at random, and in the end until nothing is left.

use std::collections::HashSet;
use std::time::Duration;

use outbox_core::event::{EventId, OrderKey};
use outbox_core::store::{Admin, AdminError, DeadLetter, DeadState, StoreError, StoreErrorKind};
use outbox_tests::eventually;
use sea_orm::{ConnectionTrait, Statement};

use super::events::CONTINUES;
use super::world::World;

/// For a database that is shared with other tests.
const DEADLINE: Duration = Duration::from_secs(90);

impl World {
    pub(super) async fn operate(&mut self) {
        match self.random.u32(..10) {
            0..4 => self.requeue_a_letter().await,
            4..7 => self.requeue_a_key().await,
            7 => {
                self.everybody_is_awake().await;
                let limit = self.random.u32(1..4);
                self.tally.requeued += possible(self.store.requeue_all(limit).await).unwrap_or(0);
            }
            8 => self.delete_a_letter().await,
            _ => self.give_up_an_event().await,
        }
    }

    async fn requeue_a_letter(&mut self) {
        self.everybody_is_awake().await;
        let Some(letter) = self.a_letter().await else { return };
        if self.random.bool() {
            self.broker.heal(letter.envelope.id);
        }
        self.tally.requeued += u64::from(granted(self.store.requeue(letter.envelope.id).await));
    }

    async fn requeue_a_key(&mut self) {
        self.everybody_is_awake().await;
        let parked = possible(self.store.parked_keys(None, 100).await).unwrap_or_default();
        let letter = self.a_letter().await.and_then(|letter| letter.envelope.order_key());
        let Some(key) = self.random.choice(parked.into_iter().chain(letter).collect::<Vec<_>>()) else { return };
        if self.random.u32(..3) > 0 {
            for letter in self.letters().await {
                if letter.envelope.order_key().as_ref() == Some(&key) {
                    self.broker.heal(letter.envelope.id);
                }
            }
        }
        self.tally.keys_requeued += possible(self.store.requeue_key(&key).await).unwrap_or(0);
    }

    async fn delete_a_letter(&mut self) {
        let Some(letter) = self.a_letter().await.filter(|letter| letter.state == DeadState::Dead) else { return };
        let id = letter.envelope.id;
        // Whether an answer says so or not, it may be gone.
        self.truth.deleted(id);
        self.tally.deleted += usize::from(granted(self.store.delete(id).await));
    }

    async fn give_up_an_event(&mut self) {
        self.everybody_is_awake().await;
        let pending = possible(self.store.pending(0, 20).await).unwrap_or_default();
        let Some(event) = self.random.choice(pending) else { return };
        let given_up = possible(self.store.give_up(event.envelope.id, "by hand").await);
        self.tally.given_up += usize::from(given_up == Some(true));
    }

    async fn a_letter(&mut self) -> Option<DeadLetter> {
        let letters = self.letters().await;
        self.random.choice(letters)
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        possible(self.store.dead_letters(None, 1_000).await).unwrap_or_default()
    }

    /// Requeues everything but a few letters, until everything has arrived, and looks at what there is then.
    pub(super) async fn drain(mut self) {
        self.end_stall().await;
        self.everybody_is_awake().await;
        let mut left: HashSet<EventId> = HashSet::new();
        for letter in self.letters().await {
            if letter.envelope.topic == CONTINUES && self.random.u32(..3) == 0 {
                left.insert(letter.envelope.id);
            }
        }
        let world = &self;
        eventually(DEADLINE, || world.drained(&left)).await;
        for node in std::mem::take(&mut self.nodes) {
            let report = node.stop().await;
            assert_eq!(report.abandoned, 0, "{report:?}");
        }
        assert_eq!(self.rows().await, [0, 0, 0, left.len() as i64]);
        assert_eq!(self.letters().await.iter().map(|letter| letter.envelope.id).collect::<HashSet<_>>(), left);
        let seen = self.truth.check(&self.sink, &left);
        println!("{seen:?}, left dead: {}, {:?}", left.len(), self.tally);
    }

    /// Heals and requeues what is dead, or says what there still is.
    async fn drained(&self, left: &HashSet<EventId>) -> Result<(), String> {
        let parked: Vec<OrderKey> = possible(self.store.parked_keys(None, 100).await).unwrap_or_default();
        for letter in self.letters().await {
            let (id, key) = (letter.envelope.id, letter.envelope.order_key().unwrap());
            if left.contains(&id) {
                continue;
            }
            self.broker.heal(id);
            if !parked.contains(&key) {
                granted(self.store.requeue(id).await);
            }
        }
        for key in &parked {
            possible(self.store.requeue_key(key).await).unwrap_or(0);
        }
        let rows = self.rows().await;
        if rows == [0, 0, 0, left.len() as i64] {
            return Ok(());
        }
        // One look every now and then: requeueing makes every lane of a shard begin again.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(format!("pending, scheduled, parked keys and letters are {rows:?}; {} letters may be left", left.len()))
    }

    /// Pending and scheduled events, parked keys and dead letters.
    async fn rows(&self) -> [i64; 4] {
        let (names, backend) = (self.store.names(), self.db.backend());
        let tables = [names.event(backend), names.scheduled(backend), names.parked(backend), names.dead(backend)];
        let mut counts = [0; 4];
        for (count, table) in counts.iter_mut().zip(tables) {
            let sql = Statement::from_string(backend, format!("SELECT COUNT(*) FROM {table}"));
            let row = self.db.connection().query_one_raw(sql).await.unwrap().unwrap();
            *count = row.try_get_by_index(0).unwrap();
        }
        counts
    }
}

/// The answer, unless the database chose this request to resolve a conflict.
fn possible<T>(answer: Result<T, StoreError>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(error) if error.kind() == StoreErrorKind::Unavailable => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Whether a request was granted. Others may have been faster, or the key is parked.
fn granted(answer: Result<(), AdminError>) -> bool {
    match answer {
        Ok(()) => true,
        Err(AdminError::NotFound(_) | AdminError::KeyParked { .. }) => false,
        Err(AdminError::Store(error)) => possible(Err::<(), _>(error)).is_some(),
        Err(error) => panic!("{error:?}"),
    }
}
