//! The retry policy from environment variables.

use super::{OnDeath, RetryPolicy, RetryRules, Shape};
use crate::env::{Env, EnvError};

impl RetryRules {
    /// Changes the policy for everything by the variables that `env` knows; those of topics and event types stay.
    pub(crate) fn read(&mut self, env: &Env<impl Fn(&str) -> Option<String>>) -> Result<(), EnvError> {
        self.otherwise.read(env)
    }
}

impl RetryPolicy {
    fn read(&mut self, env: &Env<impl Fn(&str) -> Option<String>>) -> Result<(), EnvError> {
        let (base_ms, factor_by, max_delay_ms) =
            ("OUTBOX_RETRY_BASE_MS", "OUTBOX_RETRY_FACTOR", "OUTBOX_RETRY_MAX_DELAY_MS");
        if let Shape::Exponential { base, factor, max_delay } = &mut self.shape {
            if let Some(delay) = env.millis(base_ms)? {
                *base = delay;
            }
            if let Some(by) = env.parsed::<f64>(factor_by, "a number")? {
                if !by.is_finite() || by < 1.0 {
                    return Err(refused(factor_by, format!("{by} is not a number of at least 1")));
                }
                *factor = by;
            }
            if let Some(delay) = env.millis(max_delay_ms)? {
                *max_delay = delay;
            }
        } else if let Some(variable) = [base_ms, factor_by, max_delay_ms].into_iter().find(|v| env.text(v).is_some()) {
            let problem = "the program has set a retry policy that is not exponential, so it has none of these";
            return Err(refused(variable, problem.to_owned()));
        }
        let variable = "OUTBOX_RETRY_MAX_ATTEMPTS";
        if let Some(attempts) = env.number(variable)? {
            if attempts == 0 {
                return Err(refused(variable, format!("0 is not between 1 and {}", u32::MAX)));
            }
            self.max_attempts = attempts;
        }
        let words = [("continue", OnDeath::Continue), ("park_key", OnDeath::ParkKey)];
        if let Some(then) = env.word("OUTBOX_RETRY_ON_DEATH", &words)? {
            self.on_death = then;
        }
        Ok(())
    }
}

fn refused(variable: &'static str, problem: String) -> EnvError {
    EnvError { variable, problem }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(mut policy: RetryPolicy, set: &[(&str, &str)]) -> Result<String, String> {
        let env = Env::new(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
        policy.read(&env).map_err(|error| error.to_string())?;
        assert_eq!(policy.problem(), None);
        Ok(format!("{policy:?}"))
    }

    #[test]
    fn every_variable_changes_its_part() {
        let set = [
            ("OUTBOX_RETRY_BASE_MS", "20"),
            ("OUTBOX_RETRY_FACTOR", "1.5"),
            ("OUTBOX_RETRY_MAX_DELAY_MS", "30000"),
            ("OUTBOX_RETRY_MAX_ATTEMPTS", "4"),
            ("OUTBOX_RETRY_ON_DEATH", "park_key"),
        ];
        let wanted = RetryPolicy::exponential()
            .base(Duration::from_millis(20))
            .factor(1.5)
            .max_delay(Duration::from_secs(30))
            .max_attempts(4)
            .on_death(OnDeath::ParkKey);
        assert_eq!(read(RetryPolicy::exponential(), &set), Ok(format!("{wanted:?}")));
        let fixed = RetryPolicy::fixed(Duration::from_secs(1));
        assert_eq!(read(fixed.clone(), &set[3..4]), Ok(format!("{:?}", fixed.max_attempts(4))));
        let parking = RetryPolicy::exponential().on_death(OnDeath::ParkKey);
        assert_eq!(read(parking, &[("OUTBOX_RETRY_ON_DEATH", "continue")]), read(RetryPolicy::exponential(), &[]));
    }

    #[test]
    fn what_cannot_be_names_its_variable() {
        for (variable, value) in [
            ("OUTBOX_RETRY_BASE_MS", "1s"),
            ("OUTBOX_RETRY_FACTOR", "0.5"),
            ("OUTBOX_RETRY_FACTOR", "NaN"),
            ("OUTBOX_RETRY_FACTOR", "two"),
            ("OUTBOX_RETRY_MAX_DELAY_MS", "-1"),
            ("OUTBOX_RETRY_MAX_ATTEMPTS", "0"),
            ("OUTBOX_RETRY_ON_DEATH", "park"),
        ] {
            let error = read(RetryPolicy::exponential(), &[(variable, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{variable}: ")), "{error}");
        }
        let error = read(RetryPolicy::never(), &[("OUTBOX_RETRY_FACTOR", "2")]).unwrap_err();
        assert!(error.starts_with("OUTBOX_RETRY_FACTOR: ") && error.contains("not exponential"), "{error}");
    }
}
