use super::fixture::{Outboxed, event};
use outbox_core::store::*;
use outbox_core::testing::contract::store::Fixture;
use outbox_tests::{TestDatabase, on_every_database};
use std::time::{Duration, Instant};
use uuid::Uuid;
on_every_database! {
    async fn measured(db: TestDatabase) {
        let kind = db.kind();
        let o = Outboxed::new(db).await;
        let bodies: Vec<String> = (0..20_000).map(|n| format!("{n:0>400}")).collect();
        for b in bodies.chunks(5000) {
            let txn = o.outbox.begin().await.unwrap();
            for b in b { let e = event(b, b); txn.stage_event(&super::fixture::Again(&e)).unwrap(); }
            txn.commit().await.unwrap();
        }
        let id = Uuid::now_v7();
        let req = LeaseRequest { processor: id, name: "x".into(), ttl: Duration::from_secs(600), release: vec![], most: 8, leaving: false, state: "{}".into() };
        let held = o.store.lease(req.clone()).await.unwrap().held;
        let t = Instant::now();
        for _ in 0..10 { o.store.lease(req.clone()).await.unwrap(); }
        println!("{kind:?} lease {:?}", t.elapsed() / 10);
        let t = Instant::now();
        for _ in 0..10 { o.store.promote(id, &held, 100).await.unwrap(); }
        println!("{kind:?} promote {:?}", t.elapsed() / 10);
        let lanes = |limit: u32, known: &[Vec<i64>]| held.iter().enumerate().map(|(n, l)| LaneRead { lease: *l, after: 0, known: known.get(n).cloned().unwrap_or_default(), limit, bytes: 1 << 30, revisit: None }).collect::<Vec<_>>();
        for (name, limit) in [("0 rows", 0), ("1000 rows", 125), ("4000 rows", 500)] {
            o.store.read(ReadRequest { processor: id, lanes: lanes(limit, &[]) }).await.unwrap();
            let t = Instant::now();
            for _ in 0..10 { o.store.read(ReadRequest { processor: id, lanes: lanes(limit, &[]) }).await.unwrap(); }
            println!("{kind:?} read {name} {:?}", t.elapsed() / 10);
        }
        let r = o.store.read(ReadRequest { processor: id, lanes: lanes(1000, &[]) }).await.unwrap();
        let known: Vec<Vec<i64>> = r.lanes.iter().map(|l| l.rows.iter().map(|r| r.message.seq).collect()).collect();
        let t = Instant::now();
        for _ in 0..10 { o.store.read(ReadRequest { processor: id, lanes: lanes(125, &known) }).await.unwrap(); }
        println!("{kind:?} read 1000 rows past 8000 known {:?}", t.elapsed() / 10);
        let mut total = Duration::ZERO;
        for _ in 0..5 {
            let r = o.store.read(ReadRequest { processor: id, lanes: lanes(125, &[]) }).await.unwrap();
            let lanes = r.lanes.iter().map(|l| LaneSettle { lease: held[usize::from(l.shard.number())], generation: l.generation, changes: l.rows.iter().map(|r| Change { seq: r.message.seq, id: r.message.id(), fate: Fate::Delivered }).collect() }).collect();
            let t = Instant::now();
            o.store.settle(SettleRequest { processor: id, lanes }).await.unwrap();
            total += t.elapsed();
        }
        println!("{kind:?} settle 1000 delivered {:?}", total / 5);
        let r = o.store.read(ReadRequest { processor: id, lanes: lanes(125, &[]) }).await.unwrap();
        let ls: Vec<LaneSettle> = r.lanes.iter().map(|l| LaneSettle { lease: held[usize::from(l.shard.number())], generation: l.generation, changes: l.rows.iter().map(|r| Change { seq: r.message.seq, id: r.message.id(), fate: Fate::Retry { attempts: 1, delay: Duration::ZERO, error: "x".repeat(100) } }).collect() }).collect();
        let t = Instant::now();
        o.store.settle(SettleRequest { processor: id, lanes: ls.clone() }).await.unwrap();
        println!("{kind:?} settle 1000 retry {:?}", t.elapsed());
        let ls = ls.into_iter().map(|mut l| { for c in &mut l.changes { c.fate = Fate::Dead { attempts: 2, error: "x".repeat(100), park: false }; } l }).collect();
        let t = Instant::now();
        o.store.settle(SettleRequest { processor: id, lanes: ls }).await.unwrap();
        println!("{kind:?} settle 1000 dead {:?}", t.elapsed());
        let t = Instant::now();
        o.admin().stats().await.unwrap();
        println!("{kind:?} stats {:?}", t.elapsed());
        let t = Instant::now();
        o.admin().pending(0, 100).await.unwrap();
        println!("{kind:?} pending {:?}", t.elapsed());
    }
}
