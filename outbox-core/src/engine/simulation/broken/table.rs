//! What each broken part is caught by.

use super::super::check::Violation;
use super::super::seeds::say;
use super::super::world::World;
use super::super::{deploys, faulty, instant, quiet, still, zombies};
use super::Broken;

/// Seeds within which each must be caught.
const SEEDS: u64 = 500;

/// Runs a broken world until it is caught, and fails unless that is by one of `by`.
fn is_caught(broken: Broken, world: impl Fn(u64) -> World, by: &[fn(String) -> Violation]) {
    for seed in 0..SEEDS {
        let mut world = world(seed);
        world.break_with(broken);
        if let Err(violation) = world.run() {
            let same = |one: &fn(String) -> Violation| {
                std::mem::discriminant(&one(String::new())) == std::mem::discriminant(&violation)
            };
            assert!(by.iter().any(same), "seed {seed} is caught by something else: {violation:?}");
            say(format_args!("{broken:?} is caught by seed {seed}: {violation:?}"));
            return;
        }
    }
    panic!("{broken:?} is not caught by {SEEDS} seeds");
}

macro_rules! caught {
    ($($name:ident: $broken:ident in $world:expr => $($by:ident)|+;)+) => {
        $(#[test]
        fn $name() {
            is_caught(Broken::$broken, $world, &[$(Violation::$by),+]);
        })+
    };
}

caught! {
    an_ack_before_the_send_is_caught: AckBeforeSend in faulty => Lost;
    a_settle_before_the_report_is_caught: SettleBeforeReport in faulty => Lost;
    a_cursor_at_the_highest_number_seen_is_caught: CursorAtHighestSeen in faulty => Forgotten | Gap | Stuck | Misordered;
    an_order_by_id_is_caught: OrderById in faulty => Misordered;
    an_order_by_time_of_creation_is_caught: OrderByTime in quiet => Misordered;
    rows_without_lanes_are_caught: RowsWithoutLanes in faulty => Gap | Misordered | Repeated | Stuck;
    a_settle_without_a_fence_is_caught: NoFence in zombies => NotHeldBack | Gap;
    leases_by_ones_own_clock_are_caught: LeaseByOwnClock in faulty => Repeated;
    a_publisher_that_reorders_when_full_is_caught: ReordersWhenFull in faulty => Misordered;
    a_publisher_that_sends_behind_failures_is_caught: SendsBehindFailures in faulty => Misordered | Repeated | GivenUpEarly | Window;
    no_flush_on_stop_is_caught: NoFlushOnStop in deploys => Lost;
    cleaning_by_age_is_caught: CleansByAge in faulty => Lost;
    outages_that_count_as_attempts_are_caught: OutagesCountAsAttempts in faulty => WronglyDead;
    calls_that_are_cut_off_are_caught: CallsCutOff in faulty => Forgotten | Gap | Stuck | Repeated | GivenUpEarly | Window;
    settles_by_number_are_caught: SettlesByNumber in faulty => Lost | Window;
    numbers_of_rows_as_ids_are_caught: NumbersAsIds in faulty => Lost;
    a_fence_without_a_lock_is_caught: FenceWithoutLock in zombies => NotHeldBack;
    a_mark_that_moves_by_time_is_caught: MarkByTime in faulty => Forgotten | Gap | Stuck | Misordered;
    a_retry_that_lets_its_key_pass_is_caught: RetryLetsKeyPass in faulty => Forgotten | Gap | Misordered | Stuck;
    a_requeue_without_a_generation_is_caught: RequeueWithoutGeneration in faulty => Gap | Stuck | Misordered;
    a_limit_that_is_not_told_is_caught: LimitUntold in faulty => Forgotten | Gap;
    more_for_nothing_is_caught: MoreForNothing in instant => Spinning;
    what_is_due_for_nothing_is_caught: DueForNothing in still => Spinning;
    rejections_that_are_never_written_are_caught: AlwaysRegenerated in instant => Spinning;
    sleep_after_a_hint_that_finds_nothing_is_caught: SleepsAfterEmptyHint in faulty => Stuck;
}
