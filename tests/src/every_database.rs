//! One test, every database.

use std::fmt::Debug;

use crate::TestDatabase;

/// Makes one test per database out of a function: `name::postgres`, `name::mariadb`, `name::sqlite`.
///
/// The function takes a fresh [`TestDatabase`] and returns nothing or a `Result`. Attributes (`#[ignore = ".."]`)
/// go to each of the tests. The calling crate depends on tokio.
#[macro_export]
macro_rules! on_every_database {
    ($($(#[$attribute:meta])* async fn $name:ident($db:ident: $type:ty) $(-> $result:ty)? $body:block)+) => {$(
        async fn $name($db: $type) $(-> $result)? $body

        mod $name {
            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                $crate::exercise($crate::postgres().await, super::$name).await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread")]
            async fn mariadb() {
                $crate::exercise($crate::mariadb().await, super::$name).await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                $crate::exercise($crate::sqlite().await, super::$name).await;
            }
        }
    )+};
}

/// Makes one test per server out of a function, `name::postgres` and `name::mariadb`, like [`on_every_database!`]. For
/// what a file in the process does not have: accounts, connections, writers beside each other.
#[macro_export]
macro_rules! on_every_server {
    ($(async fn $name:ident($db:ident: $type:ty) $body:block)+) => {$(
        async fn $name($db: $type) $body

        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                $crate::exercise($crate::postgres().await, super::$name).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn mariadb() {
                $crate::exercise($crate::mariadb().await, super::$name).await;
            }
        }
    )+};
}

/// Runs a test on a database, or not when that was left out by request. For [`on_every_database!`].
pub async fn exercise<F>(db: impl Into<Option<TestDatabase>>, test: impl FnOnce(TestDatabase) -> F)
where
    F: Future<Output: Verdict>,
{
    if let Some(db) = db.into() {
        test(db).await.pass();
    }
}

/// What a test may return.
pub trait Verdict {
    /// Panics unless the test passed.
    fn pass(self);
}

impl Verdict for () {
    fn pass(self) {}
}

impl<E: Debug> Verdict for Result<(), E> {
    fn pass(self) {
        self.expect("the test returned an error");
    }
}
