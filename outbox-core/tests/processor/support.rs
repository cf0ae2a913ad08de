//! Events, what was received, and stores that do not do what they should.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::store::{
    Lease, LeaseReply, LeaseRequest, ReadReply, ReadRequest, SettleReply, SettleRequest, Store, StoreError,
};
use outbox_core::testing::{Fault, FaultyPublisher, MemoryStore};
use outbox_core::{Encoded, Envelope, EventOptions, Headers, Limits, MemoryPublisher, Message, OutboxEvent, Wake};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

struct Numbered {
    key: String,
    number: u32,
}

impl OutboxEvent for Numbered {
    fn aggregate_type(&self) -> Cow<'_, str> {
        "thing".into()
    }
    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }
    fn event_type(&self) -> Cow<'_, str> {
        if self.key.starts_with("poison") { "thing.poisoned".into() } else { "thing.numbered".into() }
    }
    fn topic(&self) -> Cow<'_, str> {
        "things".into()
    }
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }
    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
        Encoded::json(&self.number)
    }
}

pub(crate) fn event(key: impl Into<String>, number: u32) -> Envelope {
    let event = Numbered { key: key.into(), number };
    Envelope::encode(&event, EventOptions::new(), Headers::new(), &Limits::default()).unwrap()
}

pub(crate) fn numbers(messages: &[Arc<Message>], key: &str) -> Vec<u32> {
    let of_key = messages.iter().filter(|message| message.envelope.key.as_deref() == Some(key));
    of_key.map(|message| serde_json::from_slice(message.envelope.payload.as_ref().unwrap()).unwrap()).collect()
}

pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("it did not happen in time");
}

/// Rejects poison until it is mended, and passes everything else on.
pub(crate) fn rejecting(received: &MemoryPublisher) -> (FaultyPublisher<MemoryPublisher>, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&mended);
    let poison =
        move |message: &Message| message.envelope.event_type == "thing.poisoned" && !flag.load(Ordering::SeqCst);
    (FaultyPublisher::new(received.clone()).when(poison, Fault::Reject), mended)
}

/// The calls that a processor makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Lease,
    Read,
    Settle,
    Promote,
}

/// What happens before and after calls.
#[async_trait]
pub(crate) trait Meddle: fmt::Debug + Send + Sync + 'static {
    async fn before(&self, _: Call) -> Result<(), StoreError> {
        Ok(())
    }
    async fn after(&self, _: Call) {}
    async fn listen(&self, _: &Wake) {}
}

/// A store with somebody between it and the processor.
#[derive(Debug)]
pub(crate) struct Meddled<M>(pub(crate) MemoryStore, pub(crate) M);

impl<M: Meddle> Meddled<M> {
    async fn around<T>(
        &self,
        call: Call,
        carried_out: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.1.before(call).await?;
        let answer = carried_out.await;
        self.1.after(call).await;
        answer
    }
}

#[async_trait]
impl<M: Meddle> Store for Meddled<M> {
    async fn open(&self) -> Result<(), StoreError> {
        self.around(Call::Open, self.0.open()).await
    }
    async fn lease(&self, request: LeaseRequest) -> Result<LeaseReply, StoreError> {
        self.around(Call::Lease, self.0.lease(request)).await
    }
    async fn read(&self, request: ReadRequest) -> Result<ReadReply, StoreError> {
        self.around(Call::Read, self.0.read(request)).await
    }
    async fn settle(&self, request: SettleRequest) -> Result<SettleReply, StoreError> {
        self.around(Call::Settle, self.0.settle(request)).await
    }
    async fn promote(&self, id: uuid::Uuid, leases: &[Lease], limit: u32) -> Result<Option<Duration>, StoreError> {
        self.around(Call::Promote, self.0.promote(id, leases, limit)).await
    }
    async fn listen(&self, wake: &Wake) {
        self.1.listen(wake).await;
    }
}
