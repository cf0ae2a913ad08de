//! How an event gets through a generic connection to the transaction that it really is.
//!
//! A hook sees `&impl ConnectionTrait`, and nothing says whether that is an `OutboxTransaction`. So while
//! [`record`](super::record) sends its first statement, it offers the event to whoever executes it, beside the
//! statement. A connection of ours takes the event and executes nothing; any other knows nothing of offers.

use std::sync::{Arc, Mutex};

use outbox_core::{Envelope, EventId};
use sea_orm::DbErr;

use crate::outbox::Shared;
use crate::sync::lock;

tokio::task_local! {
    static OFFER: Offer;
}

/// An event to be taken, and what became of it.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    /// Only a connection of an outbox with these tables may take it.
    to: Option<Arc<Shared>>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    Offered(Box<Envelope>),
    Taken,
    Answered(Result<EventId, DbErr>),
}

impl Offer {
    pub(super) fn new(envelope: Envelope, to: Option<Arc<Shared>>) -> Self {
        Self { to, state: Arc::new(Mutex::new(State::Offered(Box::new(envelope)))) }
    }

    /// What the connection that took the event said, or what came of `statements`, which run with the offer.
    pub(super) async fn or<F>(self, statements: F) -> Result<EventId, DbErr>
    where
        F: Future<Output = Result<EventId, DbErr>>,
    {
        let direct = OFFER.scope(self.clone(), statements).await;
        match self.replace(State::Taken) {
            State::Answered(answer) => answer,
            _ => direct,
        }
    }

    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *lock(&self.state), state)
    }
}

/// An event that was taken; it must be answered.
pub(crate) struct Taken(Offer);

/// Takes the event that is offered to a connection of `outbox` with the statement at hand.
pub(crate) fn take(outbox: &Shared) -> Option<(Envelope, Taken)> {
    let offer = OFFER.try_with(Offer::clone).ok()?;
    if offer.to.as_ref().is_some_and(|to| to.config.names != outbox.config.names) {
        return None;
    }
    match offer.replace(State::Taken) {
        State::Offered(envelope) => Some((*envelope, Taken(offer))),
        other => {
            offer.replace(other);
            None
        }
    }
}

impl Taken {
    /// Hands `answer` to who made the offer. What is returned is for the statement, and nobody sees it.
    pub(crate) fn answer(self, answer: Result<EventId, DbErr>) -> DbErr {
        self.0.replace(State::Answered(answer));
        DbErr::RecordNotInserted
    }
}
