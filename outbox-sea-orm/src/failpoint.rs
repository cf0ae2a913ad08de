//! Places where tests make a process fail. Nothing is left of them without the feature `failpoints`.

/// Comes to such a place, which may end the function with an error of the database; in the store, while `$doing`.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        {
            crate::failpoint::reach($name).await?;
        }
    };
    ($name:literal, $doing:expr) => {
        #[cfg(feature = "failpoints")]
        {
            crate::failpoint::reach($name).await.map_err(crate::store::during($doing))?;
        }
    };
}

pub(crate) use failpoint;

#[cfg(feature = "failpoints")]
pub(crate) async fn reach(name: &'static str) -> Result<(), sea_orm::DbErr> {
    let injected = outbox_core::failpoints::reach(name).await;
    injected.map_err(|error| sea_orm::DbErr::Conn(sea_orm::RuntimeErr::Internal(error.to_string())))
}
