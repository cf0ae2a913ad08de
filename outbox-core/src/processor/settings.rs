//! What settings are called, and how they are read from the environment.

use crate::env::{Env, EnvError};

use super::config::{Config, ConfigError};

/// A setting, by its builder method and by its variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) field: &'static str,
    pub(super) variable: &'static str,
}

const fn setting(field: &'static str, variable: &'static str) -> Setting {
    Setting { field, variable }
}

pub(super) const NAME: Setting = setting("name", "OUTBOX_PROCESSOR_NAME");
pub(super) const ENABLED: Setting = setting("enabled", "OUTBOX_PROCESSOR_ENABLED");
pub(super) const BATCH_SIZE: Setting = setting("batch_size", "OUTBOX_BATCH_SIZE");
pub(super) const WINDOW: Setting = setting("window", "OUTBOX_WINDOW");
pub(super) const WINDOW_BYTES: Setting = setting("window_bytes", "OUTBOX_WINDOW_BYTES");
pub(super) const CONCURRENCY: Setting = setting("concurrency", "OUTBOX_CONCURRENCY");
pub(super) const MAX_HELD: Setting = setting("max_held", "OUTBOX_MAX_HELD");
pub(super) const LEASE: Setting = setting("lease", "OUTBOX_LEASE_MS");
pub(super) const POLL_BUSY: Setting = setting("poll_intervals", "OUTBOX_POLL_BUSY_MS");
pub(super) const POLL_CALM: Setting = setting("poll_intervals", "OUTBOX_POLL_CALM_MS");
pub(super) const POLL_IDLE: Setting = setting("poll_intervals", "OUTBOX_POLL_IDLE_MS");
pub(super) const SETTLE_DELAY: Setting = setting("settle_delay", "OUTBOX_SETTLE_DELAY_MS");
pub(super) const PAUSE_FIRST: Setting = setting("topic_pause", "OUTBOX_TOPIC_PAUSE_FIRST_MS");
pub(super) const PAUSE_LONGEST: Setting = setting("topic_pause", "OUTBOX_TOPIC_PAUSE_LONGEST_MS");
pub(super) const SHUTDOWN_DEADLINE: Setting = setting("shutdown_deadline", "OUTBOX_SHUTDOWN_DEADLINE_MS");

impl Config {
    /// Takes settings from the variables that `env` knows.
    pub(super) fn read(&mut self, env: &Env<impl Fn(&str) -> Option<String>>) -> Result<(), ConfigError> {
        let mut read = Vec::new();
        let mut take = |setting: Setting, value: Result<Option<()>, EnvError>| match value {
            Ok(Some(())) => {
                read.push(setting);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(EnvError { variable, problem }) => {
                Err(ConfigError { field: setting.field, variable: Some(variable), problem })
            }
        };
        macro_rules! each {
            ($($read:ident: $($setting:ident into $place:expr),*;)*) => {$($(
                take($setting, env.$read($setting.variable).map(|value| value.map(|value| $place = value)))?;
            )*)*};
        }
        each! {
            number: BATCH_SIZE into self.batch_size, WINDOW into self.window, WINDOW_BYTES into self.window_bytes,
                CONCURRENCY into self.concurrency, MAX_HELD into self.most_held;
            millis: LEASE into self.lease, POLL_BUSY into self.poll[0], POLL_CALM into self.poll[1],
                POLL_IDLE into self.poll[2], SETTLE_DELAY into self.settle_delay,
                PAUSE_FIRST into self.topic_pause.0, PAUSE_LONGEST into self.topic_pause.1,
                SHUTDOWN_DEADLINE into self.shutdown_deadline;
            flag: ENABLED into self.enabled;
        }
        if let Some(name) = env.text(NAME.variable) {
            self.name = Some(name);
            read.push(NAME);
        }
        self.retry.read(env).map_err(|EnvError { variable, problem }| ConfigError {
            field: "retry",
            variable: Some(variable),
            problem,
        })?;
        self.read.extend(read);
        Ok(())
    }

    /// These have been set by the program since.
    pub(super) fn forget(&mut self, settings: &[Setting]) {
        self.read.retain(|read| !settings.contains(read));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    fn env(set: &'static [(&'static str, &'static str)]) -> Env<impl Fn(&str) -> Option<String>> {
        Env::new(move |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn error(set: &'static [(&'static str, &'static str)]) -> String {
        let mut config = Config::default();
        config.read(&env(set)).and_then(|()| config.check()).unwrap_err().to_string()
    }

    #[test]
    fn the_documentation_names_every_variable() {
        let asked = RefCell::new(Vec::new());
        let nothing_is_set = Env::new(|name| {
            asked.borrow_mut().push(name.to_owned());
            None
        });
        Config::default().read(&nothing_is_set).unwrap();
        assert_eq!(asked.borrow().len(), 20, "{asked:?}");
        let page = include_str!("../../../docs/configuration.md");
        for variable in asked.into_inner() {
            assert!(page.contains(&format!("`{variable}`")), "{variable}");
        }
    }

    #[test]
    fn every_variable_sets_what_it_names_and_nothing_else() {
        type Get = fn(&Config) -> String;
        let variables: [(&'static str, &'static str, &str, Get); 15] = [
            ("OUTBOX_PROCESSOR_NAME", "p", "Some(\"p\")", |c| format!("{:?}", c.name)),
            ("OUTBOX_PROCESSOR_ENABLED", "false", "false", |c| c.enabled.to_string()),
            ("OUTBOX_BATCH_SIZE", "17", "17", |c| c.batch_size.to_string()),
            ("OUTBOX_WINDOW", "18", "18", |c| c.window.to_string()),
            ("OUTBOX_WINDOW_BYTES", "1000000", "1000000", |c| c.window_bytes.to_string()),
            ("OUTBOX_CONCURRENCY", "3", "3", |c| c.concurrency.to_string()),
            ("OUTBOX_MAX_HELD", "4", "4", |c| c.most_held.to_string()),
            ("OUTBOX_LEASE_MS", "4000", "4s", |c| format!("{:?}", c.lease)),
            ("OUTBOX_POLL_BUSY_MS", "5", "5ms", |c| format!("{:?}", c.poll[0])),
            ("OUTBOX_POLL_CALM_MS", "500", "500ms", |c| format!("{:?}", c.poll[1])),
            ("OUTBOX_POLL_IDLE_MS", "6000", "6s", |c| format!("{:?}", c.poll[2])),
            ("OUTBOX_SETTLE_DELAY_MS", "7", "7ms", |c| format!("{:?}", c.settle_delay)),
            ("OUTBOX_TOPIC_PAUSE_FIRST_MS", "8", "8ms", |c| format!("{:?}", c.topic_pause.0)),
            ("OUTBOX_TOPIC_PAUSE_LONGEST_MS", "9000", "9s", |c| format!("{:?}", c.topic_pause.1)),
            ("OUTBOX_SHUTDOWN_DEADLINE_MS", "10", "10ms", |c| format!("{:?}", c.shutdown_deadline)),
        ];
        for (set, value, expected, _) in variables {
            let mut config = Config::default();
            config.read(&Env::new(move |name| (name == set).then(|| value.to_owned()))).unwrap();
            config.check().unwrap();
            for (name, _, _, get) in variables {
                let wanted = if name == set { expected.to_owned() } else { get(&Config::default()) };
                assert_eq!(get(&config), wanted, "{name} after {set}");
            }
        }
    }

    #[test]
    fn a_value_that_cannot_be_is_reported_by_its_variable() {
        assert_eq!(error(&[("OUTBOX_WINDOW", "many")]), "OUTBOX_WINDOW: \"many\" is not a whole number");
        assert_eq!(error(&[("OUTBOX_WINDOW", "0")]), "OUTBOX_WINDOW: 0 is not between 1 and 1000000");
        assert_eq!(error(&[("OUTBOX_LEASE_MS", "10")]), "OUTBOX_LEASE_MS: 10ms is not between 1s and 3600s");
        assert_eq!(error(&[("OUTBOX_POLL_CALM_MS", "10")]), "OUTBOX_POLL_CALM_MS: 10ms is not between 100ms and 3600s");
        assert_eq!(
            error(&[("OUTBOX_PROCESSOR_ENABLED", "on")]),
            "OUTBOX_PROCESSOR_ENABLED: \"on\" is not one of true, false, 1, 0"
        );
        assert_eq!(
            error(&[("OUTBOX_RETRY_MAX_ATTEMPTS", "0")]),
            "OUTBOX_RETRY_MAX_ATTEMPTS: 0 is not between 1 and 4294967295"
        );
    }

    #[test]
    fn of_two_in_the_wrong_order_the_one_that_was_set_is_named() {
        for variable in ["OUTBOX_POLL_BUSY_MS", "OUTBOX_POLL_CALM_MS", "OUTBOX_TOPIC_PAUSE_FIRST_MS"] {
            let mut config = Config::default();
            let env = Env::new(|name| (name == variable).then(|| "17296".to_owned()));
            let error = config.read(&env).and_then(|()| config.check()).unwrap_err();
            assert_eq!(error.variable, Some(variable), "{error}");
        }
    }

    #[test]
    fn what_the_program_sets_later_is_its_own_mistake() {
        let mut config = Config::default();
        config.read(&env(&[("OUTBOX_LEASE_MS", "4000")])).unwrap();
        config.lease = Duration::ZERO;
        config.forget(&[LEASE]);
        let error = config.check().unwrap_err();
        assert_eq!((error.field, error.variable), ("lease", None));
        assert_eq!(error.to_string(), "processor setting lease: 0ns is not between 1s and 3600s");
    }
}
