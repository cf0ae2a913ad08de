//! Settings by which an encrypted connection no longer proves who is at its other end.

use crate::config_error::ConfigError;
use crate::given::{Given, Setting};
use crate::rules::is_true;

struct Proof {
    setting: &'static str,
    required: &'static str,
    accepts: fn(&str) -> bool,
    /// For whoever wants another value.
    reason: &'static str,
    /// For the log of whoever has another value.
    without: &'static str,
}

const PROOFS: [Proof; 2] = [
    Proof {
        setting: "enable.ssl.certificate.verification",
        required: "true",
        accepts: |value| is_true(&value.to_ascii_lowercase()),
        reason: "without it anybody on the way to the broker can pose as it, and reads and changes what is sent; \
                 trust a certificate of your own by ssl.ca.location, or say danger_accept_unverified_brokers in the \
                 program",
        without: "the certificates of brokers are not verified: anybody on the way to them can read and change \
                  what is sent",
    },
    Proof {
        setting: "ssl.endpoint.identification.algorithm",
        required: "https",
        accepts: |value| value.eq_ignore_ascii_case("https"),
        reason: "without it whoever has any certificate of the same authority can pose as the broker; \
                 give the broker a certificate with the name it is reached by, or say \
                 danger_accept_unverified_brokers in the program",
        without: "certificates are not compared with the names of brokers: whoever has any of the same authority \
                  can read and change what is sent",
    },
];

/// What is given that gives up a proof. librdkafka reads these values in any case.
fn given_up(given: &Given) -> impl Iterator<Item = (&'static Proof, Setting<'_>)> {
    PROOFS.iter().filter_map(|proof| {
        let given = given.get(proof.setting)?;
        (!(proof.accepts)(given.value.trim())).then_some((proof, given))
    })
}

/// Refuses what gives up a proof: a variable alone, copied from somewhere, must not be enough.
pub(crate) fn check(given: &Given) -> Result<(), ConfigError> {
    match given_up(given).next() {
        Some((proof, Setting { name, .. })) => {
            Err(ConfigError::Conflict { setting: name.to_owned(), required: proof.required, reason: proof.reason })
        }
        None => Ok(()),
    }
}

/// Says what was accepted.
pub(crate) fn warn(given: &Given) {
    for (proof, Setting { name, value, .. }) in given_up(given) {
        tracing::warn!(setting = name, value, "{}", proof.without);
    }
}
