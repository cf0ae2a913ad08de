use thiserror::Error;

/// Why a publisher could not be built. Never shows the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The setting would break a promise of the outbox, or lets others pose as a broker.
    #[error("{setting} must be {required}: {reason}")]
    Conflict {
        /// The setting or variable, by the name it was given under.
        setting: String,
        /// What it must be.
        required: &'static str,
        /// What would break otherwise.
        reason: &'static str,
    },
    /// librdkafka has no such setting.
    #[error("{setting} is not a setting of librdkafka")]
    Unknown {
        /// The name as given.
        setting: String,
    },
    /// The value cannot be used, or librdkafka was built without what the setting needs.
    #[error("{setting} has a value that cannot be used: {reason}")]
    Invalid {
        /// The setting or variable, by the name it was given under.
        setting: String,
        /// Why, mostly in librdkafka's words.
        reason: String,
    },
    /// The settings do not go together, or name a file that cannot be read.
    #[error("the producer cannot be created: {reason}")]
    Producer {
        /// librdkafka's explanation.
        reason: String,
    },
}
