use std::pin::pin;
use std::time::Duration;

use outbox_core::Wake;
use outbox_migration::TableNames;
use sea_orm::DatabaseConnection;
use sea_orm::sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use sea_orm::sqlx::{AssertSqlSafe, Error, Executor};

/// How long a connection may be silent before it is found out whether it still hears anything.
const SILENCE: Duration = Duration::from_secs(60);
/// How long that may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Between one connection and the next.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where nothing was heard at all, as behind a proxy that pools transactions: such a place does not change.
const LONG_PAUSE: Duration = Duration::from_secs(300);

/// Hears of commits in other processes, on a connection of its own.
#[derive(Debug)]
pub(crate) struct Listener<'a> {
    db: &'a DatabaseConnection,
    channel: String,
}

impl<'a> Listener<'a> {
    pub(crate) fn new(db: &'a DatabaseConnection, names: &TableNames) -> Self {
        Self { db, channel: super::channel(names) }
    }

    /// Wakes `wake` at every notification, and whenever some may have been missed. Returns where there are none.
    pub(crate) async fn listen(&self, wake: &Wake) {
        let Some(pool) = super::pool(self.db) else { return };
        let mut told = false;
        loop {
            let pause = match self.listen_once(pool, wake).await {
                Ok(true) => PAUSE,
                Ok(false) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            "notifications do not arrive, as behind a proxy that pools transactions: turn `notify` off \
                             there, because it disturbs other connections of the proxy"
                        );
                    }
                    LONG_PAUSE
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot listen for notifications now; polling goes on");
                    PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Listens until the connection fails, or says nothing when it should. False when it never said anything.
    async fn listen_once(&self, pool: &PgPool, wake: &Wake) -> Result<bool, Error> {
        // Not of the program's pool, which may have but one connection: one to listen, and one for moments.
        let options = PgPoolOptions::new().max_connections(2).max_lifetime(None).idle_timeout(None);
        let own = options.acquire_timeout(ANSWER).connect_lazy_with((*pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(&self.channel).await?;
        // For what was committed before.
        wake.wake();
        self.call(&own);
        let (mut heard, mut called) = (false, true);
        loop {
            // Kept over the time limit: what it has received of a message must not be lost.
            let mut next = pin!(listener.try_recv());
            let notification = loop {
                match tokio::time::timeout(if called { ANSWER } else { SILENCE }, next.as_mut()).await {
                    Ok(received) => break received?,
                    Err(_) if called => return Ok(heard),
                    Err(_) => {
                        self.call(&own);
                        called = true;
                    }
                }
            };
            // None: the connection was lost, perhaps before there was anything to hear.
            let Some(notification) = notification else { return Ok(true) };
            (heard, called) = (true, false);
            if notification.payload().is_empty() {
                wake.wake();
            }
        }
    }

    /// Has something sent on another connection, as others would, that is to be heard and wakes nobody.
    fn call(&self, own: &PgPool) {
        let (own, statement) = (own.clone(), format!("NOTIFY \"{}\", 'anybody?'", self.channel));
        drop(tokio::spawn(async move {
            let mut connection = own.acquire().await?;
            connection.execute(AssertSqlSafe(statement)).await?;
            connection.close().await
        }));
    }
}
