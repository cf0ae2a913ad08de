//! What is generated for an input with mistakes.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

/// An implementation that only exists: without it, every use of the event would be an error of its own and hide
/// the mistake that is to be mended.
pub(crate) fn fallback(input: &DeriveInput, core: &TokenStream) -> TokenStream {
    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let cow = quote!(::std::borrow::Cow<'_, ::core::primitive::str>);
    let option = quote!(::core::option::Option<#cow>);
    quote! {
        const _: () = {
            #[automatically_derived]
            #[allow(unused_qualifications)]
            impl #impl_generics #core::event::OutboxEvent for #ident #type_generics #where_clause {
                fn aggregate_type(&self) -> #cow {
                    ::core::unreachable!()
                }

                fn aggregate_id(&self) -> #option {
                    ::core::unreachable!()
                }

                fn event_type(&self) -> #cow {
                    ::core::unreachable!()
                }

                fn topic(&self) -> #cow {
                    ::core::unreachable!()
                }

                fn partition_key(&self) -> #option {
                    ::core::unreachable!()
                }

                fn encode(
                    &self,
                ) -> ::core::result::Result<
                    #core::Encoded,
                    ::std::boxed::Box<dyn ::std::error::Error + ::core::marker::Send + ::core::marker::Sync>,
                > {
                    ::core::unreachable!()
                }
            }
        };
    }
}
