//! Secrets stay out of everything that a person or a log may see.

use std::sync::Arc;

/// What stands in the place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// Whether a setting's value must never be shown, judged by its name. Rather too often than too rarely.
pub(crate) fn is_secret(setting: &str) -> bool {
    const TELLTALES: [&str; 9] =
        ["password", "secret", "key", "token", "pem", "jaas", "credential", "oauthbearer.config", "username"];
    let setting = setting.to_ascii_lowercase();
    TELLTALES.iter().any(|telltale| setting.contains(telltale))
}

/// The secret values themselves, to take them out of texts that come from elsewhere.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<[String]>);

impl Secrets {
    pub(crate) fn of<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        // Very short values would turn texts into riddles and protect nothing.
        let worth_hiding = |(name, value): &(&str, &str)| is_secret(name) && value.trim().len() >= 4;
        let mut values: Vec<String> = settings.filter(worth_hiding).map(|(_, value)| value.trim().to_owned()).collect();
        // Longest first, so that a secret that contains another one goes as a whole.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values.into())
    }

    /// `text` without any of the secrets.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }
}
