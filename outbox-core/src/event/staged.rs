use std::borrow::Borrow;

use super::Envelope;

/// What has staged events: a transaction, or its envelopes in any container. Tests ask it what was staged.
pub trait HasStaged {
    /// The events, in the order of staging.
    fn staged_envelopes(&self) -> Vec<Envelope>;
}

impl<E: Borrow<Envelope>> HasStaged for [E] {
    fn staged_envelopes(&self) -> Vec<Envelope> {
        self.iter().map(|envelope| envelope.borrow().clone()).collect()
    }
}

impl<E: Borrow<Envelope>, const N: usize> HasStaged for [E; N] {
    fn staged_envelopes(&self) -> Vec<Envelope> {
        self[..].staged_envelopes()
    }
}

impl<E: Borrow<Envelope>> HasStaged for Vec<E> {
    fn staged_envelopes(&self) -> Vec<Envelope> {
        self[..].staged_envelopes()
    }
}

impl<S: HasStaged + ?Sized> HasStaged for &S {
    fn staged_envelopes(&self) -> Vec<Envelope> {
        (**self).staged_envelopes()
    }
}
