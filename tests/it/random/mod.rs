//! Parking, staging, requeueing and taking over at random, with processors that crash, stand still and come back.
//!
//! A run is a sequence of steps chosen by a seed. `OUTBOX_TEST_SEED` runs one again; what the servers and threads do
//! meanwhile is up to them.

mod events;
mod node;
mod operator;
mod owner;
mod truth;
mod world;

use outbox_tests::{TestDatabase, on_every_database};

use self::world::World;

/// Runs of a test, each with tables of its own.
const RUNS: u64 = 2;
/// Steps of a run.
const STEPS: usize = 120;

on_every_database! {
    async fn nothing_is_stranded_lost_or_overtaken(db: TestDatabase) {
        let seeds = match std::env::var("OUTBOX_TEST_SEED") {
            Ok(seed) => vec![seed.parse().expect("OUTBOX_TEST_SEED is a whole number")],
            Err(_) => (0..RUNS).map(|_| fastrand::u64(..1_000_000_000)).collect(),
        };
        let db = std::sync::Arc::new(db);
        for (run, seed) in seeds.into_iter().enumerate() {
            println!("OUTBOX_TEST_SEED={seed}");
            let mut world = World::new(&db, &format!("run{run}"), seed).await;
            for _ in 0..STEPS {
                world.step().await;
            }
            world.drain().await;
        }
    }
}
