use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::message::Message;
use crate::publisher::{Delivery, Outcome, PublishError, Publisher, Receipt};

/// Records every call, and lets the test decide when and how each message ends. Clones share all of it.
///
/// For tests of what hands messages over: which batches come, what overlaps, what happens while nothing is reported.
/// Use [`MemoryPublisher`](crate::MemoryPublisher) where only the messages matter.
///
/// ```
/// use outbox_core::testing::{Outcomes, RecordingPublisher, message};
/// use outbox_core::{Outcome, Publisher};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (publisher, outcomes) = (RecordingPublisher::holding(), Outcomes::new());
/// publisher.publish(outcomes.deliveries([message("orders", Some("7"), 1, "{}")])).await;
/// assert_eq!(outcomes.now(), [None]);
/// publisher.release(1, || Outcome::Delivered);
/// assert_eq!(outcomes.all().await.len(), 1);
/// # }
/// ```
#[derive(Clone)]
pub struct RecordingPublisher(Arc<watch::Sender<State>>);

/// A call of a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// With these messages.
    Publish(Vec<Arc<Message>>),
    /// With this deadline.
    Flush(Duration),
    /// Of its health.
    Check,
}

#[derive(Default)]
struct State {
    holding: bool,
    calls: Vec<Call>,
    held: VecDeque<Receipt>,
}

impl RecordingPublisher {
    /// Delivers everything at once, until [`hold`](Self::hold).
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Reports nothing by itself, until [`let_go`](Self::let_go).
    #[must_use]
    pub fn holding() -> Self {
        let publisher = Self::new();
        publisher.hold();
        publisher
    }

    /// From now on messages are recorded, and have no outcome before the test gives them one.
    pub fn hold(&self) {
        self.0.send_modify(|state| state.holding = true);
    }

    /// Delivers what is held, and from now on everything at once.
    pub fn let_go(&self) {
        self.0.send_modify(|state| state.holding = false);
        self.release(usize::MAX, || Outcome::Delivered);
    }

    /// Ends the `count` messages that are held longest, or all if there are fewer, each with what `outcome` returns.
    ///
    /// It is up to the test to keep the order per key: nothing of a key is delivered after something that is not.
    pub fn release(&self, count: usize, outcome: impl Fn() -> Outcome) {
        let mut released = VecDeque::new();
        self.0.send_modify(|state| {
            let rest = state.held.split_off(count.min(state.held.len()));
            released = std::mem::replace(&mut state.held, rest);
        });
        // Outside of the lock, because whoever takes a report may look at the calls.
        released.into_iter().for_each(|receipt| receipt.report(outcome()));
    }

    /// All calls, first one first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.0.borrow().calls.clone()
    }

    /// How many messages have no outcome yet.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.borrow().held.len()
    }

    /// The calls, as soon as `condition` holds for them. Waits for ever; put a timeout around it where it may not come.
    pub async fn wait_for(&self, condition: impl Fn(&[Call]) -> bool + Send) -> Vec<Call> {
        let mut state = self.0.subscribe();
        // The sender is in `self`, so this cannot fail.
        drop(state.wait_for(|state| condition(&state.calls)).await);
        self.calls()
    }
}

#[async_trait]
impl Publisher for RecordingPublisher {
    async fn publish(&self, batch: Vec<Delivery>) {
        let (messages, mut receipts): (Vec<_>, Vec<_>) = batch.into_iter().map(Delivery::into_parts).unzip();
        self.0.send_modify(|state| {
            state.calls.push(Call::Publish(messages));
            if state.holding {
                state.held.extend(receipts.drain(..));
            }
        });
        receipts.into_iter().for_each(Receipt::delivered);
    }

    /// Waits for the test to end what is held, and withholds it after the deadline.
    async fn flush(&self, deadline: Duration) {
        self.0.send_modify(|state| state.calls.push(Call::Flush(deadline)));
        let mut state = self.0.subscribe();
        let in_time = tokio::time::timeout(deadline, state.wait_for(|state| state.held.is_empty())).await.is_ok();
        if !in_time {
            self.release(usize::MAX, || Outcome::Withheld);
        }
    }

    async fn check(&self) -> Result<(), PublishError> {
        self.0.send_modify(|state| state.calls.push(Call::Check));
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.held.drain(..).for_each(Receipt::withheld);
    }
}

impl Default for RecordingPublisher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecordingPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.borrow();
        let (calls, held) = (state.calls.len(), state.held.len());
        f.debug_struct("RecordingPublisher").field("calls", &calls).field("held", &held).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Outcomes, Reported, message};

    #[tokio::test]
    async fn calls_are_kept_in_their_order() {
        let publisher = RecordingPublisher::new();
        let (one, two) = (message("a", None, 1, "x"), message("b", None, 2, "y"));
        let waiting = tokio::spawn({
            let publisher = publisher.clone();
            async move { publisher.wait_for(|calls| calls.contains(&Call::Check)).await }
        });
        publisher.publish(Outcomes::new().deliveries([one.clone(), two.clone()])).await;
        publisher.flush(Duration::ZERO).await;
        publisher.check().await.unwrap();
        let batch = Call::Publish(vec![Arc::new(one), Arc::new(two)]);
        assert_eq!(waiting.await.unwrap(), [batch, Call::Flush(Duration::ZERO), Call::Check]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_test_ends_what_is_held_and_a_flush_what_is_left() {
        let (publisher, outcomes) = (RecordingPublisher::holding(), Outcomes::new());
        publisher.publish(outcomes.deliveries((1..=4).map(|seq| message("a", None, seq, "x")))).await;
        publisher.release(1, || Outcome::Delivered);
        publisher.release(1, || Outcome::Failed(PublishError::rejected("no")));
        assert_eq!((publisher.held(), outcomes.now()[2].clone()), (2, None));
        publisher.flush(Duration::from_secs(1)).await;
        let rejected = Reported::Rejected("no".to_owned());
        assert_eq!(outcomes.all().await, [Reported::Delivered, rejected, Reported::Withheld, Reported::Withheld]);
    }

    #[tokio::test]
    async fn letting_go_delivers_what_is_held_and_what_comes() {
        let (publisher, outcomes) = (RecordingPublisher::holding(), Outcomes::new());
        publisher.publish(outcomes.deliveries([message("a", None, 1, "x")])).await;
        publisher.let_go();
        publisher.publish(outcomes.deliveries([message("a", None, 2, "x")])).await;
        assert_eq!(outcomes.all().await, [Reported::Delivered, Reported::Delivered]);
    }
}
