//! A processor with a thread and a connection pool of its own, so that all of it can end or stand still at once.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use outbox_core::MemoryPublisher;
use outbox_core::processor::Report;
use outbox_core::testing::{Fault, FaultyPublisher};
use outbox_sea_orm::Outbox;
use outbox_tests::TestDatabase;
use tokio::sync::mpsc;

use super::events::{Broker, CONTINUES, PARKS, policy};

pub(super) const LEASE: Duration = Duration::from_secs(1);

pub(super) struct Node {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<Option<Report>>,
}

enum Command {
    Stop,
    Crash,
    Pause(Duration),
}

impl Node {
    pub(super) fn start(
        db: &Arc<TestDatabase>,
        prefix: &str,
        sink: &MemoryPublisher,
        broker: &Broker,
        seed: u64,
    ) -> Self {
        let (commands, mut received) = mpsc::unbounded_channel();
        let (db, prefix, sink, broker) = (Arc::clone(db), prefix.to_owned(), sink.clone(), broker.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let report = runtime.block_on(async {
                let outbox = Outbox::builder(db.another_pool(5).await).table_prefix(prefix).build().unwrap();
                let mishaps =
                    [Fault::LoseReport, Fault::Unreachable, Fault::Withhold, Fault::Delay(Duration::from_millis(20))];
                let publisher = FaultyPublisher::new(sink)
                    .when(move |message| broker.rejects(message), Fault::Reject)
                    .randomly(seed, 0.03, mishaps);
                let ms = Duration::from_millis;
                let processor = outbox
                    .processor(publisher)
                    .lease(LEASE)
                    .poll_intervals(ms(10), ms(20), ms(50))
                    .topic_pause(ms(5), ms(40))
                    .settle_delay(ms(2))
                    .batch_size(20)
                    .retry_topic(CONTINUES, policy(CONTINUES))
                    .retry_topic(PARKS, policy(PARKS))
                    .spawn()
                    .unwrap();
                loop {
                    match received.recv().await {
                        // Nothing of this node moves, nor do its connections: it does not know that time passes.
                        Some(Command::Pause(time)) => thread::sleep(time),
                        Some(Command::Stop) => return Some(processor.shutdown().await.unwrap()),
                        Some(Command::Crash) | None => return None,
                    }
                }
            });
            // What is under way is dropped where it stands.
            runtime.shutdown_background();
            report
        });
        Self { commands, thread }
    }

    /// Ends it without a chance to do anything.
    pub(super) fn crash(self) {
        self.tell(Command::Crash);
    }

    /// It stands still for so long, and then goes on as if nothing had happened.
    pub(super) fn pause(&self, time: Duration) {
        self.tell(Command::Pause(time));
    }

    /// Stops it gracefully.
    pub(super) async fn stop(self) -> Report {
        self.tell(Command::Stop);
        let ended = tokio::task::spawn_blocking(|| self.thread.join()).await.unwrap();
        ended.unwrap().expect("a report: it was not told to crash")
    }

    fn tell(&self, command: Command) {
        self.commands.send(command).unwrap_or_else(|_| panic!("the node ended by itself"));
    }
}
