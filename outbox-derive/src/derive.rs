//! From an input to its implementation, or to all that is wrong with it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::{ast, check, ctxt, expand, fallback};

/// `default_core` is the path of the core crate, unless the input says another.
pub(crate) fn derive(input: &DeriveInput, default_core: TokenStream) -> TokenStream {
    let mut ctxt = ctxt::Ctxt::new();
    let container = ast::Container::read(&mut ctxt, input);
    let core = check::core_path(&mut ctxt, &container, default_core);
    let plan = check::check(&mut ctxt, &container);
    match (ctxt.finish(), core) {
        (Ok(()), Some(core)) => expand::expand(&plan, &core),
        (Ok(()), None) => TokenStream::new(),
        (Err(mistakes), core) => {
            let mistakes = mistakes.into_compile_error();
            let fallback = core.map(|core| fallback::fallback(input, &core));
            quote!(#mistakes #fallback)
        }
    }
}
