//! Settings from environment variables.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// A variable whose value cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{variable}: {problem}")]
pub struct EnvError {
    /// Its name.
    pub variable: &'static str,
    /// What is wrong with its value, and what is allowed.
    pub problem: String,
}

/// Where variables are looked up. One that is empty is not set: compose files and charts pass on what is missing so.
#[derive(Debug, Clone)]
pub struct Env<F>(F);

impl Env<fn(&str) -> Option<String>> {
    /// Those of this process. What is not Unicode is kept as far as it can be, and no setting accepts it.
    #[must_use]
    pub fn of_process() -> Self {
        Self(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }
}

impl<F: Fn(&str) -> Option<String>> Env<F> {
    /// Looked up by `find`.
    pub fn new(find: F) -> Self {
        Self(find)
    }

    /// A variable's value, without blanks around it.
    pub fn text(&self, variable: &'static str) -> Option<String> {
        (self.0)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A variable's value, read as `what`.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parsed<T: FromStr>(&self, variable: &'static str, what: &str) -> Result<Option<T>, EnvError> {
        let Some(text) = self.text(variable) else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(EnvError { variable, problem: format!("{text:?} is not {what}") }),
        }
    }

    /// A number of things.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn number<N: FromStr>(&self, variable: &'static str) -> Result<Option<N>, EnvError> {
        self.parsed(variable, "a whole number")
    }

    /// A time in milliseconds.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn millis(&self, variable: &'static str) -> Result<Option<Duration>, EnvError> {
        let millis = self.parsed(variable, "a whole number of milliseconds")?;
        Ok(millis.map(Duration::from_millis))
    }

    /// One of the words, by what it stands for.
    ///
    /// # Errors
    ///
    /// It is none of them.
    pub fn word<T: Copy>(&self, variable: &'static str, words: &[(&str, T)]) -> Result<Option<T>, EnvError> {
        let Some(text) = self.text(variable) else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                Err(EnvError { variable, problem: format!("{text:?} is not one of {}", words.join(", ")) })
            }
        }
    }

    /// Yes or no.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn flag(&self, variable: &'static str) -> Result<Option<bool>, EnvError> {
        self.word(variable, &[("true", true), ("false", false), ("1", true), ("0", false)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &'static str) -> Env<impl Fn(&str) -> Option<String>> {
        Env::new(move |name| (name == "SET").then(|| value.to_owned()))
    }

    #[test]
    fn values_are_read_and_mistakes_name_the_variable() {
        assert_eq!(of(" 7 ").number::<u8>("SET"), Ok(Some(7)));
        assert_eq!(of("7").millis("SET"), Ok(Some(Duration::from_millis(7))));
        assert_eq!((of("true").flag("SET"), of("0").flag("SET")), (Ok(Some(true)), Ok(Some(false))));
        for unset in [of(""), of("  ")] {
            assert_eq!(unset.number::<u8>("SET"), Ok(None));
        }
        assert_eq!(of("7").number::<u8>("OTHER"), Ok(None));
        let said = |error: EnvError| error.to_string();
        assert_eq!(said(of("many").number::<u8>("SET").unwrap_err()), "SET: \"many\" is not a whole number");
        assert_eq!(said(of("256").number::<u8>("SET").unwrap_err()), "SET: \"256\" is not a whole number");
        assert_eq!(said(of("1s").millis("SET").unwrap_err()), "SET: \"1s\" is not a whole number of milliseconds");
        assert_eq!(said(of("maybe").flag("SET").unwrap_err()), "SET: \"maybe\" is not one of true, false, 1, 0");
    }
}
