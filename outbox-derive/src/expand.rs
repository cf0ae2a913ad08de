//! The implementation of an input that broke no rule.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::LitStr;
use syn::spanned::Spanned;

use crate::ast::Field;
use crate::check::{Event, Plan};

pub(crate) fn expand(plan: &Plan<'_>, core: &TokenStream) -> TokenStream {
    let container = plan.container;
    let ident = container.ident;
    let (impl_generics, type_generics, _) = container.generics.split_for_impl();
    let bounds = bounds(plan, core);
    let str = quote!(::core::primitive::str);
    let cow = quote!(::std::borrow::Cow<'_, #str>);
    let option = quote!(::core::option::Option);
    let aggregate = &plan.aggregate;
    let aggregate_id = for_each(plan, |event| joined(&event.variant.aggregate_ids(), core));
    let aggregate_version = for_each(plan, |event| aggregate_version(event, core));
    let event_type = for_each(plan, |event| (Vec::new(), borrowed(&event.event_type)));
    let event_version = for_each(plan, |event| (Vec::new(), event.version.to_token_stream()));
    let topic = for_each(plan, |event| (Vec::new(), borrowed(&event.topic)));
    let partition_key = for_each(plan, |event| partition_key(event, core));
    let map = Ident::new("__headers", Span::mixed_site());
    let headers = for_each(plan, |event| headers(event, core, &map));
    // Spanned at the type, so that a missing `Serialize` is reported there.
    let json = spanned_at(ident.span(), quote!(#core::Encoded::json(self)));
    quote! {
        const _: () = {
            #[automatically_derived]
            #[allow(deprecated, unused_qualifications)]
            impl #impl_generics #core::event::OutboxEvent for #ident #type_generics #bounds {
                fn aggregate_type(&self) -> #cow {
                    ::std::borrow::Cow::Borrowed(#aggregate)
                }

                fn aggregate_id(&self) -> #option<#cow> {
                    #aggregate_id
                }

                fn aggregate_version(&self) -> #option<::core::primitive::i64> {
                    #aggregate_version
                }

                fn event_type(&self) -> #cow {
                    #event_type
                }

                fn event_version(&self) -> ::core::primitive::u32 {
                    #event_version
                }

                fn topic(&self) -> #cow {
                    #topic
                }

                fn partition_key(&self) -> #option<#cow> {
                    #partition_key
                }

                fn headers(
                    &self,
                    #map: &mut #core::Headers,
                ) -> ::core::result::Result<(), #core::event::HeaderError> {
                    #headers
                    ::core::result::Result::Ok(())
                }

                fn encode(
                    &self,
                ) -> ::core::result::Result<
                    #core::Encoded,
                    ::std::boxed::Box<dyn ::std::error::Error + ::core::marker::Send + ::core::marker::Sync>,
                > {
                    #json
                }
            }
        };
    }
}

/// What one variant contributes to a method: the fields it needs, and an expression of their names.
type Arm<'a> = (Vec<&'a Field<'a>>, TokenStream);

fn for_each<'a>(plan: &'a Plan<'a>, arm: impl Fn(&'a Event<'a>) -> Arm<'a>) -> TokenStream {
    let arms = plan.events.iter().map(|event| {
        let (fields, value) = arm(event);
        let ident = event.variant.ident;
        let path = if event.variant.is_struct { quote!(Self) } else { quote!(Self::#ident) };
        let members = fields.iter().map(|field| &field.member);
        let names = fields.iter().map(|field| name(field));
        // Braces match tuples and units as well.
        quote!(#path { #(#members: #names,)* .. } => #value)
    });
    quote!(match self { #(#arms,)* })
}

fn borrowed(text: &str) -> TokenStream {
    quote!(::std::borrow::Cow::Borrowed(#text))
}

/// The texts of the fields with ':' between them, or `None` for no field.
fn joined<'a>(fields: &[&'a Field<'a>], core: &TokenStream) -> Arm<'a> {
    let text = match fields {
        [] => return (Vec::new(), quote!(::core::option::Option::None)),
        [field] => text(field, core),
        several => {
            let format = vec!["{}"; several.len()].join(":");
            let texts = several.iter().map(|field| text(field, core));
            quote!(::std::format!(#format, #(#texts),*))
        }
    };
    (fields.to_vec(), quote!(::core::option::Option::Some(::std::borrow::Cow::Owned(#text))))
}

/// The text of a field; that it has none is reported at its type.
fn text(field: &Field<'_>, core: &TokenStream) -> TokenStream {
    let name = name(field);
    spanned_at(field.ty.span(), quote!(#core::__private::text(#name)))
}

fn partition_key<'a>(event: &'a Event<'a>, core: &TokenStream) -> Arm<'a> {
    let keys = event.variant.partition_keys();
    if event.unordered {
        joined(&[], core)
    } else if keys.is_empty() {
        joined(&event.variant.aggregate_ids(), core)
    } else {
        joined(&keys, core)
    }
}

fn aggregate_version<'a>(event: &'a Event<'a>, core: &TokenStream) -> Arm<'a> {
    let Some(field) = event.variant.aggregate_version() else {
        return (Vec::new(), quote!(::core::option::Option::None));
    };
    let name = name(field);
    let span = at(field.ty.span());
    let owned = quote_spanned!(span=> ::core::clone::Clone::clone(#name));
    let into = spanned_at(field.ty.span(), quote!(#core::__private::AggregateVersion::into_version));
    let value = if field.option().is_some() {
        quote!(::core::option::Option::map(#owned, #into))
    } else {
        quote!(::core::option::Option::Some(#into(#owned)))
    };
    (vec![field], value)
}

fn headers<'a>(event: &'a Event<'a>, core: &TokenStream, map: &Ident) -> Arm<'a> {
    let fields: Vec<_> = event.variant.fields.iter().filter(|field| field.header.is_some()).collect();
    let set = fields.iter().map(|field| {
        let (name, text) = (name(field), text(field, core));
        let header = field.header.as_ref().map(LitStr::value);
        let set = spanned_at(field.ty.span(), quote!(#core::Headers::set(#map, #header, #text)?;));
        if field.option().is_some() { quote!(if let ::core::option::Option::Some(#name) = #name { #set }) } else { set }
    });
    let body = quote!({ #(#set)* });
    (fields, body)
}

/// The local name of a field: its own could be that of a constant, which would make the pattern mean something else.
fn name(field: &Field<'_>) -> Ident {
    let span = Span::mixed_site().located_at(field.ty.span());
    match &field.member {
        syn::Member::Named(ident) => format_ident!("__field_{}", ident, span = span),
        syn::Member::Unnamed(index) => format_ident!("__field_{}", index, span = span),
    }
}

/// Underlines `span` when any of `tokens` is wrong; what they mean stays as it is.
fn spanned_at(span: Span, tokens: TokenStream) -> TokenStream {
    let moved = tokens.into_iter().map(|token| {
        let mut token = match token {
            TokenTree::Group(group) => Group::new(group.delimiter(), spanned_at(span, group.stream())).into(),
            other => other,
        };
        token.set_span(token.span().located_at(span));
        token
    });
    moved.collect()
}

/// Resolves names as the rest of the macro does, and underlines what is at `span`.
fn at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// The user's own bounds, and what the methods need of types that depend on parameters.
fn bounds(plan: &Plan<'_>, core: &TokenStream) -> TokenStream {
    let generics = plan.container.generics;
    let own = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let parameters: Vec<&Ident> = generics.type_params().map(|parameter| &parameter.ident).collect();
    if parameters.is_empty() {
        return quote!(where #(#own,)*);
    }
    let mut needed = vec![quote!(Self: #core::__private::Serialize)];
    for field in plan.events.iter().flat_map(|event| &event.variant.fields) {
        let ty = field.value_type();
        if !mentions(ty.to_token_stream(), &parameters) {
            continue;
        }
        if field.aggregate_id.is_some() || field.partition_key.is_some() || field.header.is_some() {
            needed.push(quote!(#ty: ::core::fmt::Display));
        }
        if field.aggregate_version.is_some() {
            needed.push(quote!(#ty: ::core::clone::Clone + #core::__private::AggregateVersion));
        }
    }
    quote!(where #(#own,)* #(#needed,)*)
}

fn mentions(tokens: TokenStream, parameters: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => parameters.contains(&&ident),
        TokenTree::Group(group) => mentions(group.stream(), parameters),
        _ => false,
    })
}
