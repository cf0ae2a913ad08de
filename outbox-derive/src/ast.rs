//! The input as the macro sees it: a container of variants of fields, with what was written on each.
//!
//! A struct is a container of one variant, so that nothing after this file tells the two apart.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Fields, GenericArgument, Generics, LitInt, LitStr, Member, PathArguments, Type};

use crate::attr::Attrs;
use crate::ctxt::Ctxt;
use crate::key::{Key, Place};

pub(crate) struct Container<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    pub(crate) aggregate: Option<LitStr>,
    /// The name of the field that is the aggregate id in every variant that marks none of its own.
    pub(crate) aggregate_id: Option<LitStr>,
    pub(crate) krate: Option<LitStr>,
    pub(crate) rename_all: Option<LitStr>,
    pub(crate) topic: Option<LitStr>,
    pub(crate) unordered: Option<Ident>,
    pub(crate) version: Option<LitInt>,
    pub(crate) variants: Vec<Variant<'a>>,
    /// Attributes of this place that were noted as wrong; those of variants are theirs.
    pub(crate) tried: Vec<Key>,
}

pub(crate) struct Variant<'a> {
    /// The variant's own name, or that of the struct.
    pub(crate) ident: &'a Ident,
    pub(crate) is_struct: bool,
    pub(crate) event_type: Option<LitStr>,
    pub(crate) topic: Option<LitStr>,
    pub(crate) unordered: Option<Ident>,
    pub(crate) version: Option<LitInt>,
    pub(crate) fields: Vec<Field<'a>>,
    /// Attributes that were noted as wrong, here or on a field.
    pub(crate) tried: Vec<Key>,
}

pub(crate) struct Field<'a> {
    pub(crate) member: Member,
    pub(crate) ty: &'a Type,
    pub(crate) aggregate_id: Option<Ident>,
    pub(crate) aggregate_version: Option<Ident>,
    pub(crate) header: Option<LitStr>,
    pub(crate) partition_key: Option<Ident>,
}

impl<'a> Container<'a> {
    pub(crate) fn read(ctxt: &mut Ctxt, input: &'a DeriveInput) -> Self {
        let place = if matches!(input.data, Data::Enum(_)) { Place::Enum } else { Place::Struct };
        let attrs = Attrs::read(ctxt, &input.attrs, place);
        let mut variants = match &input.data {
            Data::Struct(data) => {
                let event_type = attrs.text(Key::EventType);
                let (fields, tried) = read_fields(ctxt, &data.fields);
                let (topic, unordered, version) = (None, None, None);
                let ident = &input.ident;
                vec![Variant { ident, is_struct: true, event_type, topic, unordered, version, fields, tried }]
            }
            Data::Enum(data) => {
                if data.variants.is_empty() {
                    ctxt.error(&input.ident, "an enum without variants has no events: add one variant for each");
                }
                data.variants.iter().map(|variant| Variant::read(ctxt, variant)).collect()
            }
            Data::Union(data) => {
                ctxt.error(data.union_token, "a union cannot be serialized: make it a struct or an enum");
                Vec::new()
            }
        };
        let aggregate_id = attrs.text(Key::AggregateId);
        if let Some(named) = &aggregate_id {
            variants.iter_mut().for_each(|variant| variant.mark_aggregate_id(named));
        }
        Self {
            ident: &input.ident,
            generics: &input.generics,
            aggregate: attrs.text(Key::Aggregate),
            aggregate_id,
            krate: attrs.text(Key::Crate),
            rename_all: attrs.text(Key::RenameAll),
            topic: attrs.text(Key::Topic),
            unordered: attrs.flag(Key::Unordered),
            version: attrs.number(Key::Version),
            variants,
            tried: attrs.tried,
        }
    }

    /// Whether somebody wrote `key` anywhere, only not in a way that could be accepted.
    pub(crate) fn tried(&self, key: Key) -> bool {
        self.tried.contains(&key) || self.variants.iter().any(|variant| variant.tried.contains(&key))
    }
}

impl<'a> Variant<'a> {
    fn read(ctxt: &mut Ctxt, variant: &'a syn::Variant) -> Self {
        let attrs = Attrs::read(ctxt, &variant.attrs, Place::Variant);
        let (fields, mut tried) = read_fields(ctxt, &variant.fields);
        tried.extend(&attrs.tried);
        Self {
            ident: &variant.ident,
            is_struct: false,
            event_type: attrs.text(Key::EventType),
            topic: attrs.text(Key::Topic),
            unordered: attrs.flag(Key::Unordered),
            version: attrs.number(Key::Version),
            fields,
            tried,
        }
    }

    /// As if the field called `named` were marked itself, unless another one is.
    fn mark_aggregate_id(&mut self, named: &LitStr) {
        if self.aggregate_ids().is_empty()
            && let Some(field) = self.fields.iter_mut().find(|field| field.name() == named.value())
        {
            field.aggregate_id = Some(Ident::new(Key::AggregateId.name(), named.span()));
        }
    }

    pub(crate) fn aggregate_ids(&self) -> Vec<&Field<'a>> {
        self.fields.iter().filter(|field| field.aggregate_id.is_some()).collect()
    }

    pub(crate) fn partition_keys(&self) -> Vec<&Field<'a>> {
        self.fields.iter().filter(|field| field.partition_key.is_some()).collect()
    }

    pub(crate) fn aggregate_version(&self) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.aggregate_version.is_some())
    }
}

fn read_fields<'a>(ctxt: &mut Ctxt, fields: &'a Fields) -> (Vec<Field<'a>>, Vec<Key>) {
    let mut tried = Vec::new();
    let read = |(member, field): (Member, &'a syn::Field)| {
        let attrs = Attrs::read(ctxt, &field.attrs, Place::Field);
        tried.extend(&attrs.tried);
        Field {
            member,
            ty: &field.ty,
            aggregate_id: attrs.flag(Key::AggregateId),
            aggregate_version: attrs.flag(Key::AggregateVersion),
            header: attrs.text(Key::Header),
            partition_key: attrs.flag(Key::PartitionKey),
        }
    };
    let fields = fields.members().zip(fields).map(read).collect();
    (fields, tried)
}

impl<'a> Field<'a> {
    /// Its name, or its number in a tuple.
    pub(crate) fn name(&self) -> String {
        match &self.member {
            Member::Named(ident) => ident.unraw().to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        }
    }

    /// The `T` of a field whose type is spelled `Option<T>`, with or without its standard path.
    ///
    /// A macro sees spelling, not types: an alias of `Option` is any other type to it.
    pub(crate) fn option(&self) -> Option<&'a Type> {
        let Type::Path(path) = plain(self.ty) else {
            return None;
        };
        let segments = &path.path.segments;
        let spelled: Vec<String> = segments.iter().map(|segment| segment.ident.to_string()).collect();
        let spelled: Vec<&str> = spelled.iter().map(String::as_str).collect();
        if path.qself.is_some() || !matches!(spelled[..], ["Option"] | ["std" | "core", "option", "Option"]) {
            return None;
        }
        match &segments.last()?.arguments {
            PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1 => match &arguments.args[0] {
                GenericArgument::Type(inner) => Some(inner),
                _ => None,
            },
            _ => None,
        }
    }

    /// The type without the `Option` around it.
    pub(crate) fn value_type(&self) -> &'a Type {
        self.option().unwrap_or(self.ty)
    }
}

/// Without the invisible groups that `macro_rules` leaves around a `$t:ty`.
pub(crate) fn plain(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => plain(&group.elem),
        Type::Paren(paren) => plain(&paren.elem),
        other => other,
    }
}
