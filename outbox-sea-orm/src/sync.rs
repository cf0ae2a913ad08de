use std::sync::{Mutex, MutexGuard, PoisonError};

/// What our mutexes guard is valid after every statement, so a panic elsewhere is no reason to stop.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
