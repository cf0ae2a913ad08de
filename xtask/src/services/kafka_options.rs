//! What a broker has beyond a plain listener, for tests of connections that are encrypted or need a login.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KafkaOptions {
    pub(crate) listeners: Vec<Listener>,
    /// Settings that are added to ours; the last value of a setting counts.
    pub(crate) config: Option<PathBuf>,
    pub(crate) scram: Vec<ScramUser>,
}

/// A further listener, by its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Listener {
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

/// Somebody who logs in by SASL/SCRAM: the only credentials that must be there before the broker starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScramUser {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl fmt::Display for Listener {
    /// Kafka's name of the protocol, and with its default map also the listener's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        })
    }
}

impl FromStr for Listener {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "SSL" => Self::Ssl,
            "SASL_PLAINTEXT" => Self::SaslPlaintext,
            "SASL_SSL" => Self::SaslSsl,
            _ => bail!("there is no listener {name:?}; there are SSL, SASL_PLAINTEXT and SASL_SSL"),
        })
    }
}

impl FromStr for ScramUser {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, password) = text.split_once('=').context("a user of SASL/SCRAM is <name>=<password>")?;
        Ok(Self { name: name.to_owned(), password: password.to_owned() })
    }
}
