//! Callers who go away: every public async function, dropped at its n-th poll for every n.
//!
//! A function is one entry of [`CASES`]. Its case brings about what the function needs, drops it by
//! [`drop_at`](outbox_tests::drop_at), does what a program would do next, and says what must have come of it. What
//! must hold after every call whatever it was, [`World::is_well`] looks at.

mod every_function;
mod kafka;
mod migration;
mod processor;
mod publishers;
mod record;
mod statements;
mod store;
mod transactions;
mod world;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use outbox_tests::{Role, TestDatabase, on_every_database};

use self::world::World;

/// Most polls before a function is dropped.
const MOST: usize = 50;

/// What must be there of a case's label, as a row and as an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Both.
    Both,
    /// Neither.
    Nothing,
    /// Both or neither: nobody was told.
    BothOrNothing,
    /// An event that belongs to no row.
    Event,
    /// Such an event, or none.
    EventOrNothing,
}

/// What a case did.
struct Done {
    /// The function came to its end: later polls need not be tried.
    completed: bool,
    left: Left,
}

impl Done {
    /// By what the function answered, if it did.
    fn new<T>(answer: Option<&T>, completed: Left, dropped: Left) -> Self {
        Self { completed: answer.is_some(), left: if answer.is_some() { completed } else { dropped } }
    }
}

/// Makes a call for the label, and drops it at its n-th poll.
type Case = fn(Arc<World>, String, usize) -> BoxFuture<'static, Done>;

/// A table of the cases of a module.
macro_rules! cases {
    ($module:ident: $($case:ident)*) => {
        &[$((
            concat!(stringify!($module), "::", stringify!($case)),
            |world, label, n| Box::pin(async move { $module::$case(&world, &label, n).await }),
        )),*]
    };
}

/// By module, so that they run beside each other.
const CASES: [&[(&str, Case)]; 7] = [
    cases! { transactions:
        begin begin_with_options begin_by_trait begin_with_options_by_trait begin_with_config
        commit commit_strict commit_of_a_savepoint rollback rollback_of_a_savepoint flush
        savepoint savepoint_with_options savepoint_by_trait savepoint_with_config
        transaction transaction_with_config transaction_async transaction_with_config_async
        nested_transaction nested_transaction_with_config nested_transaction_async nested_transaction_with_config_async
        check
    },
    cases! { statements:
        execute_raw execute execute_unprepared query_one_raw query_one query_all_raw query_all stream_raw stream
        execute_on_the_pool execute_raw_on_the_pool execute_unprepared_on_the_pool
        query_one_raw_on_the_pool query_one_on_the_pool query_all_raw_on_the_pool query_all_on_the_pool
        stream_raw_on_the_pool stream_on_the_pool
    },
    cases! { record:
        in_a_transaction with_options_in_a_transaction on_the_outbox with_options_on_the_outbox
        on_a_plain_pool on_a_plain_transaction
    },
    cases! { store:
        open lease read settle_delivered settle_dead settle_retry promote
        stats pending scheduled dead_letters dead_letter parked_keys
        requeue requeue_key requeue_all delete give_up
    },
    cases! { migration:
        up down status check up_in_a_transaction up_in_an_owned_transaction down_in_a_transaction
        trait_up trait_down fresh refresh reset install uninstall models migrations_with_status
        standard_up standard_down standard_trait_up standard_trait_down standard_fresh standard_refresh standard_reset
        standard_install standard_uninstall standard_models standard_migrations_with_status
        spliced_up spliced_down
    },
    cases! { processor: run_once run_until shutdown join snapshot woken },
    cases! { store: listen },
];

/// Every case of a module, as somebody or as the owner of the tables; with pools that are new, and with one that has
/// been used.
async fn sweep(db: TestDatabase, connections: u32, module: usize, role: Option<Role>) {
    let mut failures = Vec::new();
    let world = World::new(db, connections, role).await;
    for (name, case) in CASES[module] {
        for cold in [true, false] {
            let mut world = world.with_pool().await;
            for n in 1..=MOST {
                if cold && n > 1 {
                    world = world.with_pool().await;
                }
                let (label, shared) = (format!("{name} {n}"), Arc::new(world.clone()));
                // In a task, so that one failure does not hide the others.
                let run = tokio::spawn(async move {
                    let done = case(Arc::clone(&shared), label.clone(), n).await;
                    shared.is_well().await;
                    shared.left(&label, done.left).await;
                    done.completed
                });
                match run.await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(panic) => {
                        failures.push(format!("{name}, cold: {cold}, dropped at poll {n}: {panic}"));
                        break;
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

macro_rules! sweeps {
    ($($name:ident: $module:literal $role:expr;)*) => {
        on_every_database! {$(
            async fn $name(db: TestDatabase) {
                sweep(db, 3, $module, $role).await;
            }
        )*}

        /// SeaORM's default pool for SQLite.
        mod one_connection {
            use super::Role;
            $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::sweep(outbox_tests::sqlite_default_pool().await, 1, $module, $role).await;
            }
            )*
        }
    };
}

sweeps! {
    a_dropped_transaction_call_harms_nothing: 0 Some(Role::Writer);
    a_dropped_statement_harms_nothing: 1 Some(Role::Writer);
    a_dropped_record_harms_nothing: 2 Some(Role::Writer);
    a_dropped_call_of_the_store_harms_nothing: 3 None;
    a_dropped_migration_harms_nothing: 4 None;
    a_dropped_call_of_a_processor_harms_nothing: 5 Some(Role::Service);
    a_dropped_listener_harms_nothing: 6 Some(Role::Service);
}
