//! The list of brokers, of which librdkafka would overlook mistakes.

use crate::config_error::ConfigError;
use crate::environment::PREFIX;
use crate::given::{BROKERS, Given, Setting};

/// Whether there are brokers, and every one could be an address. librdkafka skips what it does not understand, and
/// without any broker messages would wait for ever.
pub(crate) fn check(given: &Given) -> Result<(), ConfigError> {
    let Some(Setting { name, value, .. }) = given.get(BROKERS) else {
        let reason = format!("it is not set, and neither is {PREFIX}BOOTSTRAP_SERVERS");
        return Err(ConfigError::Invalid { setting: BROKERS.to_owned(), reason });
    };
    match value.split(',').map(str::trim).find(|broker| !is_address(broker)) {
        None => Ok(()),
        Some(broker) if broker.contains('@') => {
            let reason = "a broker is host:port; a user and a password are settings of their own".to_owned();
            Err(ConfigError::Invalid { setting: name.to_owned(), reason })
        }
        Some(broker) => {
            let reason = format!("{broker:?} is not host:port; several are separated by commas");
            Err(ConfigError::Invalid { setting: name.to_owned(), reason })
        }
    }
}

/// `host`, `host:port`, `[::1]:port`, and each of these behind a protocol as in `SSL://host:port`.
fn is_address(broker: &str) -> bool {
    let address = broker.split_once("://").map_or(broker, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    let host_like = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '%');
    !host.is_empty()
        && host.chars().all(host_like)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(brokers: &str) -> Result<(), String> {
        let mut given = Given::default();
        given.set(BROKERS, brokers);
        check(&given).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_taken_in_all_forms_that_librdkafka_knows() {
        for brokers in [
            "localhost",
            "localhost:9092",
            "broker-1.example.com:9092, broker_2:9093",
            "127.0.0.1:1",
            "[::1]:9092",
            "[::1]",
            "SSL://broker:9093,SASL_SSL://broker:9094",
        ] {
            assert_eq!(checked(brokers), Ok(()), "{brokers}");
        }
    }

    #[test]
    fn what_librdkafka_would_overlook_is_an_error() {
        for (brokers, at_fault) in [
            ("", "\"\""),
            ("  ", "\"\""),
            ("broker:9092,", "\"\""),
            ("broker:kafka", "\"broker:kafka\""),
            ("broker:0", "\"broker:0\""),
            ("one:9092,two:99999", "\"two:99999\""),
            (":9092", "\":9092\""),
            ("one:9092 two:9092", "\"one:9092 two:9092\""),
            ("user:canary@host:9092", "settings of their own"),
        ] {
            let error = checked(brokers).unwrap_err();
            assert!(error.starts_with("bootstrap.servers has a value that cannot be used"), "{error}");
            assert!(error.contains(at_fault) && !error.contains("canary"), "{error}");
        }
    }
}
