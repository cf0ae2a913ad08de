use std::fmt;

use quote::ToTokens;

/// Collects every mistake, so that one compile shows them all.
///
/// Whoever makes one must ask it with [`finish`](Self::finish): a forgotten question would accept bad input.
#[must_use = "mistakes are lost unless `finish` is called"]
pub(crate) struct Ctxt {
    mistakes: Vec<syn::Error>,
    asked: bool,
}

impl Ctxt {
    pub(crate) fn new() -> Self {
        Self { mistakes: Vec::new(), asked: false }
    }

    /// Notes a mistake and underlines `at`.
    pub(crate) fn error(&mut self, at: impl ToTokens, message: impl fmt::Display) {
        self.push(syn::Error::new_spanned(at, message));
    }

    pub(crate) fn push(&mut self, mistake: syn::Error) {
        self.mistakes.push(mistake);
    }

    /// All of them as one error, or the permission to go on.
    pub(crate) fn finish(mut self) -> syn::Result<()> {
        self.asked = true;
        let mut mistakes = std::mem::take(&mut self.mistakes).into_iter();
        let Some(mut all) = mistakes.next() else {
            return Ok(());
        };
        all.extend(mistakes);
        Err(all)
    }
}

impl Drop for Ctxt {
    fn drop(&mut self) {
        // A panic during a panic would abort the compiler and hide the first one.
        if !std::thread::panicking() {
            assert!(self.asked, "`Ctxt::finish` was not called");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_come_back_in_order() {
        let mut ctxt = Ctxt::new();
        ctxt.error(quote::quote!(a), "first");
        ctxt.error(quote::quote!(b), "second");
        let all: Vec<String> = ctxt.finish().unwrap_err().into_iter().map(|error| error.to_string()).collect();
        assert_eq!(all, ["first", "second"]);
    }

    #[test]
    fn without_mistakes_there_is_no_error() {
        assert!(Ctxt::new().finish().is_ok());
    }

    #[test]
    #[should_panic(expected = "was not called")]
    fn a_context_that_nobody_asked_is_a_bug() {
        drop(Ctxt::new());
    }
}
