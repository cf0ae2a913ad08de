//! The contract of [`Store`] and [`Admin`].
//!
//! Each public function is one clause and wants empty tables of its own with eight shards. An implementation runs all
//! of them with [`for_every_store_clause!`](crate::for_every_store_clause), and has a [`Fixture`] to write events.

mod admin;
mod events;
mod leases;
mod reads;
mod settles;
mod support;

use std::time::Duration;

use async_trait::async_trait;

use crate::event::Envelope;
use crate::store::{Admin, Store};

pub use admin::{
    a_deleted_dead_letter_is_gone, a_parked_event_is_not_requeued_alone, an_event_put_back_keeps_its_mark,
    delayed_events_are_listed_until_they_are_due, everything_is_requeued, giving_up_an_event_by_hand,
    lists_come_in_pages, requeueing_a_key_that_went_on_puts_it_last, requeueing_an_event_puts_it_last, stats_count,
};
pub use events::{
    delayed_events_of_others_stay, delayed_events_take_their_places_when_they_are_due,
    every_column_comes_back_as_it_was_written, unordered_events_are_never_parked,
};
pub use leases::{
    a_lease_that_is_renewed_lasts, a_lease_that_ran_out_is_taken_over_with_a_new_epoch,
    a_round_tells_when_the_first_lease_of_others_runs_out, a_stale_lease_neither_reads_nor_settles,
    everybody_gets_a_fair_share, giving_up_is_compare_and_set, no_more_than_asked_for_is_taken, no_shard_is_held_twice,
    who_leaves_keeps_nothing_and_counts_for_nothing, who_only_visits_counts_for_nothing,
    who_reaches_nothing_leaves_the_shards_to_others,
};
pub use reads::{
    a_lower_number_that_commits_late_is_shown, a_read_honours_its_limits, a_read_leaves_out_what_is_known,
    a_revisit_finds_what_was_passed_over, what_is_rolled_back_is_decided, what_is_uncommitted_is_not_decided,
};
pub use settles::{
    a_dead_event_moves_aside, a_parked_key_moves_aside_and_comes_back_in_its_order, a_place_is_only_a_hint,
    a_rejected_event_waits_and_remembers, a_retry_that_is_written_late_takes_nothing_back,
    number_and_id_must_both_match, settling_twice_is_settling_once, ten_rejections_are_kept,
    under_an_old_generation_only_deliveries_count,
};
/// Shards of the tables that a clause wants.
pub const SHARDS: u16 = 8;

/// Tables, and how to write events into them.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The tables.
    fn store(&self) -> &dyn Store;

    /// The same tables.
    fn admin(&self) -> &dyn Admin;

    /// Writes events in a transaction that stays open.
    async fn begin(&self, events: Vec<Envelope>) -> Box<dyn Open>;

    /// Whether several transactions can be open that have written events.
    fn writes_at_once(&self) -> bool;

    /// Lets so much time pass on the store's clock.
    async fn pass(&self, time: Duration);
}

/// A transaction with events.
#[async_trait]
pub trait Open: Send {
    /// Commits it.
    async fn commit(self: Box<Self>);

    /// Rolls it back.
    async fn rollback(self: Box<Self>);
}

/// Calls a macro with the names of all clauses, separated by commas.
#[macro_export]
macro_rules! for_every_store_clause {
    ($with:ident) => {
        $with! {
            no_shard_is_held_twice,
            everybody_gets_a_fair_share,
            a_lease_that_ran_out_is_taken_over_with_a_new_epoch,
            a_round_tells_when_the_first_lease_of_others_runs_out,
            a_lease_that_is_renewed_lasts,
            giving_up_is_compare_and_set,
            who_leaves_keeps_nothing_and_counts_for_nothing,
            who_only_visits_counts_for_nothing,
            who_reaches_nothing_leaves_the_shards_to_others,
            no_more_than_asked_for_is_taken,
            a_stale_lease_neither_reads_nor_settles,
            settling_twice_is_settling_once,
            number_and_id_must_both_match,
            a_place_is_only_a_hint,
            a_rejected_event_waits_and_remembers,
            a_retry_that_is_written_late_takes_nothing_back,
            ten_rejections_are_kept,
            a_dead_event_moves_aside,
            a_parked_key_moves_aside_and_comes_back_in_its_order,
            under_an_old_generation_only_deliveries_count,
            a_read_honours_its_limits,
            a_read_leaves_out_what_is_known,
            a_revisit_finds_what_was_passed_over,
            what_is_uncommitted_is_not_decided,
            what_is_rolled_back_is_decided,
            a_lower_number_that_commits_late_is_shown,
            delayed_events_take_their_places_when_they_are_due,
            delayed_events_of_others_stay,
            every_column_comes_back_as_it_was_written,
            unordered_events_are_never_parked,
            giving_up_an_event_by_hand,
            delayed_events_are_listed_until_they_are_due,
            requeueing_an_event_puts_it_last,
            requeueing_a_key_that_went_on_puts_it_last,
            a_parked_event_is_not_requeued_alone,
            an_event_put_back_keeps_its_mark,
            everything_is_requeued,
            a_deleted_dead_letter_is_gone,
            lists_come_in_pages,
            stats_count,
        }
    };
}

// Behind the macro that it uses.
#[cfg(test)]
mod tests;
