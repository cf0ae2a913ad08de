use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::io::AsyncReadExt;

use super::*;

/// Remembers what is done to it, and refuses what cannot be.
#[derive(Default)]
struct Service3 {
    states: Mutex<[Option<bool>; 3]>,
    did: Mutex<BTreeSet<&'static str>>,
    manners: Manners,
}

/// How it ends when it is asked to stop.
#[derive(Default, PartialEq, Eq)]
enum Manners {
    #[default]
    Good,
    /// At once.
    Abrupt,
    /// Badly.
    Rude,
}

impl Service3 {
    fn change(&self, what: &'static str, place: usize, from: Option<bool>, to: Option<bool>) -> Result<(), Failure> {
        self.did.lock().unwrap().insert(what);
        let mut states = self.states.lock().unwrap();
        if states[place] != from {
            return Err(format!("{what} in {:?}", states[place]).into());
        }
        states[place] = to;
        Ok(())
    }
}

#[async_trait]
impl Service for Service3 {
    fn places(&self) -> usize {
        3
    }

    async fn start(&self, place: usize) -> Result<(), Failure> {
        self.change("start", place, None, Some(true))
    }

    async fn kill(&self, place: usize) -> Result<(), Failure> {
        self.change("kill", place, Some(true), None)
    }

    async fn pause(&self, place: usize) -> Result<(), Failure> {
        self.change("pause", place, Some(true), Some(false))
    }

    async fn resume(&self, place: usize) -> Result<(), Failure> {
        self.change("resume", place, Some(false), Some(true))
    }

    async fn stop(&self, place: usize) -> Result<Stopped, Failure> {
        self.change("stop", place, Some(true), None)?;
        match self.manners {
            Manners::Good => Ok(Stopped::Gracefully),
            Manners::Abrupt => Ok(Stopped::Abruptly),
            Manners::Rude => Err("it ended with 1".into()),
        }
    }
}

const TIME: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn everything_happens_one_after_the_other_in_a_place_and_ends_healed() {
    let restarts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&restarts);
    let nemesis = Nemesis::new(Service3::default())
        .fault("restart", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        })
        .fault_of("the broker", [], async || Ok(()));
    nemesis.start().await.unwrap();
    let history = nemesis.torment(1, TIME).await;
    assert_eq!(history.complaints, [] as [String; 0]);
    assert_eq!(*nemesis.service().states.lock().unwrap(), [Some(true); 3]);
    assert_eq!(*nemesis.service().did.lock().unwrap(), BTreeSet::from(["kill", "pause", "resume", "start", "stop"]));
    let named = |name: &str| history.faults.iter().filter(|past| past.fault.contains(name)).count();
    assert_eq!(named("restart"), restarts.load(Ordering::Relaxed));
    assert!(named("the broker") > 0);
    // All three places may lose their leases when what they share is restarted.
    assert_eq!(history.windows(), named("killed") + named("paused") + 3 * named("restart"));
    assert!(history.faults.is_sorted_by_key(|past| past.from));
    nemesis.stop().await.unwrap();
    assert_eq!(*nemesis.service().states.lock().unwrap(), [None; 3]);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_lets_the_same_things_happen() {
    let faults = async |seed| {
        let nemesis = Nemesis::new(Service3::default());
        nemesis.start().await.unwrap();
        let mut faults: Vec<String> =
            nemesis.torment(seed, TIME).await.faults.into_iter().map(|past| past.fault).collect();
        faults.sort_unstable();
        faults
    };
    assert_eq!(faults(1).await, faults(1).await);
    assert_ne!(faults(1).await, faults(2).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_service_must_not_do_is_a_complaint() {
    let nemesis = Nemesis::new(Service3 { manners: Manners::Rude, ..Service3::default() });
    nemesis.start().await.unwrap();
    let history = nemesis.torment(1, TIME).await;
    assert!(!history.complaints.is_empty());
    assert!(history.complaints.iter().all(|complaint| complaint.contains("replaced: it ended with 1")));
    assert_eq!(*nemesis.service().states.lock().unwrap(), [Some(true); 3], "and others took their places");
    let error = nemesis.stop().await.unwrap_err().to_string();
    assert_eq!(error.matches("it ended with 1").count(), 3, "all are asked: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_replacement_costs_nothing_only_where_the_process_stopped_gracefully() {
    for (manners, windows) in [(Manners::Good, 0), (Manners::Abrupt, 1), (Manners::Rude, 1)] {
        let nemesis = Nemesis::new(Service3 { manners, ..Service3::default() });
        nemesis.start().await.unwrap();
        let history = nemesis.torment(1, TIME).await;
        let replaced: Vec<usize> =
            history.faults.iter().filter(|past| past.fault.contains("replaced")).map(|past| past.windows).collect();
        assert!(!replaced.is_empty() && replaced.iter().all(|of| *of == windows), "{replaced:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_had_ended_by_itself_is_a_complaint_and_has_a_successor() {
    let nemesis = Nemesis::new(Service3::default());
    // As if all processes had ended, and that had been found out.
    let history = nemesis.torment(1, TIME).await;
    assert_eq!(history.complaints.len(), 3, "{:?}", history.complaints);
    let replaced_in_vain = history.complaints.iter().filter(|complaint| complaint.contains("replaced")).count();
    let at_a_cost = |past: &&Past| !past.fault.contains("replaced");
    assert_eq!(history.windows(), history.faults.iter().filter(at_a_cost).count() + replaced_in_vain);
    assert_eq!(*nemesis.service().states.lock().unwrap(), [Some(true); 3]);
}

#[tokio::test(start_paused = true)]
async fn whatever_finds_out_that_it_had_ended_starts_a_successor() {
    for place in 0..3 {
        let nemesis = Nemesis::new(Service3::default());
        let failed = match place {
            0 => nemesis.kill(place, Duration::from_secs(1)).await.is_err(),
            1 => nemesis.pause_in(place).await.is_err(),
            _ => nemesis.replace(place).await.is_err(),
        };
        assert!(failed && nemesis.service().states.lock().unwrap()[place] == Some(true), "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn places_that_are_not_there_are_a_complaint() {
    let nemesis = Nemesis::new(Service3::default()).fault_of("restart", [2, 3], async || Ok(()));
    nemesis.start().await.unwrap();
    let complaints = nemesis.torment(1, TIME).await.complaints;
    assert_eq!(complaints, ["restart: there is no place 3; there are 3, counted from 0"]);
}

/// Connects again and again, and says nothing.
async fn clients_of(proxy: &Proxy) {
    loop {
        if let Ok(mut client) = tokio::net::TcpStream::connect(proxy.address()).await {
            drop(client.read(&mut [0]).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Only ways: repeats can come from the one to the database, all is healed at the end, and what happened to nobody is
/// not among what happened.
#[tokio::test]
async fn ways_are_troubled_and_healed() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let way = async |protocol| Proxy::start(address, protocol).await.unwrap();
    let (database, kafka, unused) =
        (way(Protocol::Database).await, way(Protocol::Kafka).await, way(Protocol::Kafka).await);
    tokio::time::pause();
    let nemesis =
        Nemesis::new(Service3::default()).way("the database", &database).way("Kafka", &kafka).way("nobody", &unused);
    nemesis.start().await.unwrap();
    let history = tokio::select! {
        history = nemesis.torment(1, TIME) => history,
        () = clients_of(&database) => unreachable!(),
        () = clients_of(&kafka) => unreachable!(),
        () = accept(&server) => unreachable!(),
    };
    let on_the_way_to = |name: &str| history.faults.iter().filter(|past| past.fault.contains(name)).count();
    assert!(on_the_way_to("the database") > 0 && on_the_way_to("Kafka") > 0);
    for past in history.faults.iter().filter(|past| past.fault.contains("on the way to")) {
        assert_eq!(past.windows > 0, past.fault.contains("the database"), "{past:?}");
    }
    assert_eq!(on_the_way_to("nobody"), 0, "nobody was there");
    let [complaint] = &*history.complaints else { panic!("{:?}", history.complaints) };
    assert!(complaint.contains("on the way to nobody: nobody ever connected"), "{complaint}");
    assert_eq!(on_the_way_to("Trap") + on_the_way_to("CutAfter"), 0, "nobody said anything");
    assert!(database.is_untroubled() && kafka.is_untroubled() && unused.is_untroubled());
}

/// A place may lose its leases if one of its connections was touched, and loses them once.
#[tokio::test]
async fn trouble_costs_those_who_take_the_way() {
    let way = async |protocol| Proxy::start("127.0.0.1:1".parse().unwrap(), protocol).await.unwrap();
    let (database, kafka) = (way(Protocol::Database).await, way(Protocol::Kafka).await);
    let broker = way(Protocol::Broker).await;
    let nemesis = Nemesis::new(Service3::default())
        .way("all", &database)
        .way_of("two", &database, [0, 2, 2])
        .way_of("the writers", &database, [])
        .way("Kafka", &kafka)
        .way("a broker", &broker);
    let windows = |touched| nemesis.ways.iter().map(|way| way.windows(touched)).collect::<Vec<_>>();
    assert_eq!(windows(1), [1, 1, 0, 0, 0]);
    assert_eq!(windows(usize::MAX), [3, 2, 0, 0, 0]);
}

/// Keeps its connections until their other ends are gone.
async fn accept(server: &tokio::net::TcpListener) {
    loop {
        let (mut connection, _) = server.accept().await.unwrap();
        tokio::spawn(async move { drop(connection.read(&mut [0]).await) });
    }
}
