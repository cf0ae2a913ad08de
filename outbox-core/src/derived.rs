//! What a derived implementation asks of the types of its fields, with words for when they do not have it.

use std::fmt::Display;

/// Numbers that always fit the `i64` of an aggregate version.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an aggregate version",
    label = "no number that always fits an `i64`",
    note = "an aggregate version is a number: use `i64` or `u32`, or implement `From<{Self}>` for `i64`"
)]
pub trait AggregateVersion {
    /// The number.
    fn into_version(self) -> i64;
}

#[diagnostic::do_not_recommend]
impl<T> AggregateVersion for T
where
    i64: From<T>,
{
    fn into_version(self) -> i64 {
        self.into()
    }
}

/// What an aggregate id, a partition key or a header is made of.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an aggregate id, a partition key or a header",
    label = "has no text",
    note = "implement `std::fmt::Display` for `{Self}`, or use a field that has it: text, a number, a UUID"
)]
pub trait Text {
    /// The text.
    fn text(&self) -> String;
}

#[diagnostic::do_not_recommend]
impl<T: Display + ?Sized> Text for T {
    fn text(&self) -> String {
        self.to_string()
    }
}

/// The text of a field. It is a `String`, of which no bound can be missing a second time.
pub fn text<T: Text + ?Sized>(field: &T) -> String {
    field.text()
}
