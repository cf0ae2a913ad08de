//! Settings as they were given.

use std::collections::BTreeMap;
use std::fmt;

use crate::redact::{REDACTED, Secrets, is_secret};
use crate::rules::canonical;

pub(crate) const BROKERS: &str = "bootstrap.servers";

/// Settings by one name each, with the name under which they were given: errors speak of that.
#[derive(Clone, Default)]
pub(crate) struct Given(BTreeMap<String, (String, String)>);

impl Given {
    pub(crate) fn set(&mut self, setting: impl Into<String>, value: impl Into<String>) {
        let setting = setting.into();
        self.set_as(setting.clone(), &setting, value.into());
    }

    /// Sets `setting`, which a person calls `name`.
    pub(crate) fn set_as(&mut self, name: String, setting: &str, value: String) {
        self.0.insert(canonical(setting).to_owned(), (name, value));
    }

    pub(crate) fn get(&self, setting: &str) -> Option<Setting<'_>> {
        let (setting, (name, value)) = self.0.get_key_value(setting)?;
        Some(Setting { setting, name, value })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Setting<'_>> {
        self.0.iter().map(|(setting, (name, value))| Setting { setting, name, value })
    }

    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::of(self.iter().map(|given| (given.setting, given.value)))
    }

    pub(crate) fn debug(&self, f: &mut fmt::Formatter<'_>, title: &str) -> fmt::Result {
        debug(f, title, self.iter().map(|given| (given.setting, given.value)))
    }
}

/// One setting that was given.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) setting: &'a str,
    /// A setting's other name, or a variable.
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
}

/// Shows settings, but of secrets only that they are there.
pub(crate) fn debug<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    settings: impl Iterator<Item = (&'a str, &'a str)>,
) -> fmt::Result {
    let mut shown = f.debug_struct(title);
    for (setting, value) in settings {
        shown.field(setting, if is_secret(setting) { &REDACTED } else { &value });
    }
    shown.finish()
}
