//! Settings from environment variables.

use std::ffi::OsString;
use std::time::Duration;

use crate::config_error::ConfigError;

pub(crate) const PREFIX: &str = "OUTBOX_KAFKA_";

/// What a variable is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The publisher's own timeout; librdkafka's of the same name must not be used.
    DeliveryTimeout(String, Duration),
    /// One of librdkafka's settings.
    Setting { variable: String, setting: String, value: String },
}

/// Those of `variables` that are ours, by name.
pub(crate) fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vec<Variable>, ConfigError> {
    let mut ours = Vec::new();
    for (name, value) in variables {
        let Some(setting) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let invalid =
            |reason: &str| ConfigError::Invalid { setting: format!("{PREFIX}{setting}"), reason: reason.to_owned() };
        let value = value.into_string().map_err(|_os| invalid("it is not Unicode"))?;
        let variable = format!("{PREFIX}{setting}");
        ours.push(if setting == "DELIVERY_TIMEOUT_MS" {
            let timeout = value.trim().parse().map_err(|_parse| invalid("it is not a whole number of milliseconds"))?;
            Variable::DeliveryTimeout(variable, Duration::from_millis(timeout))
        } else {
            Variable::Setting { variable, setting: setting.to_ascii_lowercase().replace('_', "."), value }
        });
    }
    ours.sort_by_key(|variable| match variable {
        Variable::DeliveryTimeout(name, _) | Variable::Setting { variable: name, .. } => name.clone(),
    });
    Ok(ours)
}
