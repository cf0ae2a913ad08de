//! The syntax of `#[outbox(..)]`: what is written, and whether it may be written there.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Lit, LitInt, LitStr, Meta, Token};

use crate::ctxt::Ctxt;
use crate::key::{Form, Key, Place};

/// All `#[outbox(..)]` of one place.
pub(crate) struct Attrs {
    items: Vec<Item>,
    /// What was meant by words that could not be accepted: it is wrong, and should not be called missing as well.
    pub(crate) tried: Vec<Key>,
}

/// One `key` or `key = value`.
struct Item {
    key: Key,
    word: Ident,
    value: Option<Lit>,
}

impl Attrs {
    /// Reads everything that can be understood and notes what cannot.
    pub(crate) fn read(ctxt: &mut Ctxt, attrs: &[Attribute], place: Place) -> Self {
        let mut read = Self { items: Vec::new(), tried: Vec::new() };
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("outbox")) {
            let Meta::List(list) = &attr.meta else {
                ctxt.error(&attr.meta, "expected a list: `#[outbox(..)]`");
                read.tried.extend(Key::ALL);
                continue;
            };
            let parser = |input: ParseStream<'_>| {
                read.list(ctxt, input, place);
                Ok(())
            };
            if let Err(mistake) = parser.parse2(list.tokens.clone()) {
                ctxt.push(mistake);
            }
        }
        read
    }

    fn list(&mut self, ctxt: &mut Ctxt, input: ParseStream<'_>, place: Place) {
        while !input.is_empty() {
            match input.call(Ident::parse_any) {
                Ok(word) => self.item(ctxt, input, word, place),
                Err(_) => {
                    let known = Key::known_on(place);
                    ctxt.push(input.error(format_args!("expected the name of an attribute: {known}")));
                    self.tried.extend(Key::ALL);
                    rest_of_item(input);
                }
            }
            if input.is_empty() || input.parse::<Token![,]>().is_ok() {
                continue;
            }
            ctxt.push(input.error("expected `,` between two attributes"));
            // After a forgotten comma comes the next item; anything else must not hide the one behind it.
            if !input.peek(Ident::peek_any) {
                rest_of_item(input);
                let _comma = input.parse::<Token![,]>();
            }
        }
    }

    fn item(&mut self, ctxt: &mut Ctxt, input: ParseStream<'_>, word: Ident, place: Place) {
        let value = read_value(input);
        let name = word.to_string();
        let Some(key) = Key::from_name(&name) else {
            ctxt.error(&word, unknown(&name, place));
            self.tried.extend(Key::meant_by(&name));
            return;
        };
        let value = if !key.goes_on(place) {
            Err((word.to_token_stream(), format!("does not belong on {place}: it goes on {}", key.homes())))
        } else if self.get(key).is_some() {
            Err((word.to_token_stream(), "is set twice: remove one of them".to_owned()))
        } else {
            fitting(key.form(place), value)
                .map_err(|(at, problem)| (at, format!("{problem}: write `{}`", key.example(place))))
        };
        match value {
            Ok(value) => self.items.push(Item { key, word, value }),
            Err((at, problem)) => {
                let at = if at.is_empty() { word.into_token_stream() } else { at };
                ctxt.error(at, format_args!("`{name}` {problem}"));
                self.tried.push(key);
            }
        }
    }

    fn get(&self, key: Key) -> Option<&Item> {
        self.items.iter().find(|item| item.key == key)
    }

    /// The word itself, to point at.
    pub(crate) fn flag(&self, key: Key) -> Option<Ident> {
        self.get(key).map(|item| item.word.clone())
    }

    pub(crate) fn text(&self, key: Key) -> Option<LitStr> {
        match &self.get(key)?.value {
            Some(Lit::Str(text)) => Some(text.clone()),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: Key) -> Option<LitInt> {
        match &self.get(key)?.value {
            Some(Lit::Int(number)) => Some(number.clone()),
            _ => None,
        }
    }
}

enum Value {
    None,
    Lit(Lit),
    Other(TokenStream),
}

/// The value in the form that is expected, or what should be underlined and why.
fn fitting(form: Form, value: Value) -> Result<Option<Lit>, (TokenStream, &'static str)> {
    match (form, value) {
        (Form::Flag, Value::None) => Ok(None),
        (Form::Text, Value::Lit(lit @ Lit::Str(_))) | (Form::Number, Value::Lit(lit @ Lit::Int(_))) => Ok(Some(lit)),
        (form, value) => {
            let at = match value {
                Value::None => TokenStream::new(),
                Value::Lit(lit) => lit.into_token_stream(),
                Value::Other(tokens) => tokens,
            };
            let problem = match form {
                Form::Flag => "takes no value",
                Form::Text => "needs a string",
                Form::Number => "needs a number",
            };
            Err((at, problem))
        }
    }
}

fn read_value(input: ParseStream<'_>) -> Value {
    if input.is_empty() || input.peek(Token![,]) || input.peek(Ident::peek_any) {
        return Value::None;
    }
    if input.parse::<Token![=]>().is_ok()
        && let Ok(lit) = input.parse::<Lit>()
    {
        return Value::Lit(lit);
    }
    Value::Other(rest_of_item(input))
}

/// Takes everything up to the next comma.
fn rest_of_item(input: ParseStream<'_>) -> TokenStream {
    let mut rest = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        rest.extend(input.parse::<TokenTree>());
    }
    rest
}

fn unknown(name: &str, place: Place) -> String {
    match Key::meant_by(name) {
        Some(key) if key.goes_on(place) => {
            format!("there is no attribute `{name}`: did you mean `{}`?", key.name())
        }
        Some(key) => {
            let homes = key.homes();
            format!("there is no attribute `{name}`: did you mean `{}`, which goes on {homes}?", key.name())
        }
        None => format!("there is no attribute `{name}`: {place} takes {}", Key::known_on(place)),
    }
}
