//! Clauses about reading.

use std::time::Duration;

use super::support::{Processor, bodies, commit, commit_of, event};
use super::{Fixture, SHARDS};
use crate::event::Envelope;
use crate::shard::Shard;
use crate::store::{LaneRead, Revisit};

/// See [`LaneRead::limit`] and [`LaneRead::bytes`].
pub async fn a_read_honours_its_limits(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1234", "1234", "1234", "1234"]).await;
    let one = Processor::alone(fixture).await;
    let shard = Shard::of_key("a", SHARDS);
    let lane = one.lane(shard);
    for (limit, bytes, count) in [
        (4, usize::MAX, 4),
        (5, 16, 4),
        (3, usize::MAX, 3),
        (1, usize::MAX, 1),
        (9, 15, 3),
        (9, 12, 3),
        (9, 4, 1),
        (9, 0, 1),
        (0, usize::MAX, 0),
        (0, 0, 0),
    ] {
        let found = one.read_lane(LaneRead { limit, bytes, ..lane.clone() }).await;
        assert_eq!((found.rows.len(), found.more), (count, count < 4), "{limit} events, {bytes} bytes");
    }
    let rows = one.read_lane(lane.clone()).await.rows;
    let after = rows[1].message.seq;
    let found = one.read_lane(LaneRead { after, ..lane.clone() }).await;
    assert_eq!(found.rows, rows[2..]);
    let after = rows[3].message.seq;
    let found = one.read_lane(LaneRead { after, ..lane.clone() }).await;
    assert_eq!((found.rows.len(), found.more), (0, false));
    let found = one.read_lane(LaneRead { after, limit: 0, ..lane }).await;
    assert_eq!((found.rows.len(), found.more), (0, true), "whoever asks for nothing is not told that there is nothing");
}

/// See [`LaneRead::known`].
pub async fn a_read_leaves_out_what_is_known(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3", "4", "5"]).await;
    let one = Processor::alone(fixture).await;
    let lane = one.lane(Shard::of_key("a", SHARDS));
    let rows = one.read_lane(lane.clone()).await.rows;
    let seqs: Vec<i64> = rows.iter().map(|row| row.message.seq).collect();
    for (known, limit, bodies_, more) in [
        (vec![seqs[0], seqs[2]], 9, vec!["2", "4", "5"], false),
        (vec![seqs[0], seqs[1], seqs[2]], 1, vec!["4"], true),
        (vec![seqs[1], seqs[4] + 7], 9, vec!["1", "3", "4", "5"], false),
        (seqs.clone(), 9, vec![], false),
    ] {
        let found = one.read_lane(LaneRead { known, limit, ..lane.clone() }).await;
        assert_eq!((bodies(&found.rows), found.more), (bodies_.iter().map(|&b| b.to_owned()).collect(), more));
    }
}

/// See [`Revisit`].
pub async fn a_revisit_finds_what_was_passed_over(fixture: &dyn Fixture) {
    let shard = Shard::of_key("a", SHARDS);
    let sibling = (0..)
        .map(|n| format!("b{n}"))
        .find(|key| Shard::of_key(key, SHARDS) == shard)
        .expect("a key of the same shard");
    let elsewhere = Envelope { topic: "elsewhere".into(), ..event(Some(&sibling), "3") };
    let events = [event(Some("a"), "1"), event(Some(&sibling), "2"), elsewhere, event(Some("a"), "4")];
    commit(fixture, events).await;
    let one = Processor::alone(fixture).await;
    let lane = one.lane(shard);
    let rows = one.read_lane(lane.clone()).await.rows;
    let seqs: Vec<i64> = rows.iter().map(|row| row.message.seq).collect();
    let all = Revisit { from: 0, to: i64::MAX, limit: 10, bytes: usize::MAX, ..Revisit::default() };
    let key = |key: &str| vec![key.to_owned()];
    for (revisit, expected, more) in [
        (Revisit { keys: key("a"), ..all.clone() }, vec!["1", "4"], false),
        (Revisit { keys: vec!["a".to_owned(), sibling.clone()], ..all.clone() }, vec!["1", "2", "3", "4"], false),
        (Revisit { keys: key("a"), limit: 1, ..all.clone() }, vec!["1"], true),
        (Revisit { keys: key("a"), bytes: 1, ..all.clone() }, vec!["1"], true),
        (Revisit { keys: key("a"), from: seqs[1], ..all.clone() }, vec!["4"], false),
        (Revisit { keys: key("a"), to: seqs[2], ..all.clone() }, vec!["1"], false),
        (Revisit { topics: key("elsewhere"), ..all.clone() }, vec!["3"], false),
        (Revisit { topics: key("elsewhere"), seqs: vec![seqs[1]], ..all.clone() }, vec!["2", "3"], false),
        (Revisit { seqs: vec![seqs[0], seqs[3]], from: seqs[0] + 1, ..all.clone() }, vec!["4"], false),
        (Revisit { keys: key("nobody"), ..all.clone() }, vec![], false),
        (Revisit { keys: key("a"), from: 5, to: 4, ..all.clone() }, vec![], false),
        (all.clone(), vec![], false),
    ] {
        // What is passed over is behind the mark.
        let lane = LaneRead { after: seqs[3], revisit: Some(revisit.clone()), ..lane.clone() };
        let found = one.read_lane(lane).await;
        assert_eq!(bodies(&found.revisited), expected, "{revisit:?}");
        assert_eq!(found.more_revisited, more, "{revisit:?}");
        assert_eq!(found.rows, []);
    }
}

/// See [`Store`](crate::store::Store), clause 3.
pub async fn what_is_uncommitted_is_not_decided(fixture: &dyn Fixture) {
    let one = Processor::alone(fixture).await;
    commit_of(fixture, "a", &["1"]).await;
    let first = one.read().await[0].message.seq;
    one.read_until_decided(first).await;
    let open = fixture.begin(vec![event(Some("a"), "2")]).await;
    if fixture.writes_at_once() {
        commit_of(fixture, "b", &["3"]).await;
    }
    for _ in 0..20 {
        let lanes = one.held.iter().map(|lease| one.lane(lease.shard)).collect();
        let reply = one.read_with(lanes).await;
        assert!(reply.decided <= first, "{} is past the number of an open transaction", reply.decided);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    open.commit().await;
    let last = one.read().await.iter().map(|row| row.message.seq).max().expect("events");
    assert!(last > first);
    one.read_until_decided(last).await;
}

/// See [`Store`](crate::store::Store), clause 3.
pub async fn what_is_rolled_back_is_decided(fixture: &dyn Fixture) {
    let one = Processor::alone(fixture).await;
    commit_of(fixture, "a", &["1"]).await;
    let open = fixture.begin(vec![event(Some("a"), "2")]).await;
    if fixture.writes_at_once() {
        commit_of(fixture, "b", &["3"]).await;
    }
    open.rollback().await;
    commit_of(fixture, "c", &["4"]).await;
    let rows = one.read().await;
    let last = rows.last().expect("events").message.seq;
    let reply = one.read_until_decided(last).await;
    let count: usize = reply.lanes.iter().map(|lane| lane.rows.len()).sum();
    assert_eq!(count, rows.len(), "what is decided is shown");
    assert!(!bodies(&rows).contains(&"2".to_owned()));
}

/// See [`Store`](crate::store::Store), clause 2.
pub async fn a_lower_number_that_commits_late_is_shown(fixture: &dyn Fixture) {
    if !fixture.writes_at_once() {
        return;
    }
    let one = Processor::alone(fixture).await;
    let lane = one.lane(Shard::of_key("a", SHARDS));
    let open = fixture.begin(vec![event(Some("a"), "late")]).await;
    commit_of(fixture, "a", &["early"]).await;
    let reply = one.read_with(vec![lane.clone()]).await;
    assert_eq!(bodies(&reply.lanes[0].rows), ["early"]);
    let early = reply.lanes[0].rows[0].message.seq;
    assert!(reply.decided < early);
    open.commit().await;
    let found = one.read_lane(LaneRead { after: reply.decided, known: vec![early], ..lane }).await;
    assert_eq!(bodies(&found.rows), ["late"]);
    assert!(found.rows[0].message.seq < early);
}
