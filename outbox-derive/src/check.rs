//! Every rule that an input can break, and what is decided for one that breaks none.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{LitInt, LitStr, Path, Type};

use crate::ast::{Container, Field, Variant, plain};
use crate::ctxt::Ctxt;
use crate::key::{Key, nearest};
use crate::name::{self, Case};
use crate::text;

/// What is generated. Values that could not be decided are empty; the context then holds the reason.
pub(crate) struct Plan<'a> {
    pub(crate) container: &'a Container<'a>,
    pub(crate) aggregate: String,
    pub(crate) events: Vec<Event<'a>>,
}

/// One event type: a struct, or a variant of an enum.
pub(crate) struct Event<'a> {
    pub(crate) variant: &'a Variant<'a>,
    pub(crate) event_type: String,
    pub(crate) version: u32,
    pub(crate) topic: String,
    pub(crate) unordered: bool,
}

/// Where generated code finds the core crate; `None` when nothing generated could compile.
pub(crate) fn core_path(ctxt: &mut Ctxt, container: &Container<'_>, default: TokenStream) -> Option<TokenStream> {
    let Some(literal) = &container.krate else {
        return Some(default);
    };
    match literal.parse_with(Path::parse_mod_style) {
        Ok(path) => Some(path.into_token_stream()),
        Err(_) => {
            ctxt.error(literal, "`crate` needs the path of the core crate: write `crate = \"outbox_core\"`");
            None
        }
    }
}

pub(crate) fn check<'a>(ctxt: &mut Ctxt, container: &'a Container<'a>) -> Plan<'a> {
    let aggregate = aggregate(ctxt, container);
    let case = rename_all(ctxt, container);
    let default_version = container.version.as_ref().map_or(1, |number| version(ctxt, number));
    let default_topic = container.topic.as_ref().map(|literal| checked(ctxt, literal, text::topic));
    topics_exist(ctxt, container);
    let nowhere = named_field_is_nowhere(ctxt, container);
    let mut events: Vec<Event<'a>> = Vec::new();
    for variant in &container.variants {
        fields(ctxt, container, variant);
        if !nowhere {
            ordered_by_something(ctxt, container, variant);
        }
        let topic = variant.topic.as_ref().map(|literal| checked(ctxt, literal, text::topic));
        let event = Event {
            variant,
            event_type: event_type(ctxt, container, &aggregate, variant, case),
            version: variant.version.as_ref().map_or(default_version, |number| version(ctxt, number)),
            topic: topic.or_else(|| default_topic.clone()).unwrap_or_default(),
            unordered: container.unordered.is_some() || variant.unordered.is_some(),
        };
        unique(ctxt, &events, &event);
        events.push(event);
    }
    Plan { container, aggregate, events }
}

fn checked(ctxt: &mut Ctxt, literal: &LitStr, rule: impl FnOnce(&str) -> Result<(), String>) -> String {
    let value = literal.value();
    if let Err(problem) = rule(&value) {
        ctxt.error(literal, problem);
    }
    value
}

fn version(ctxt: &mut Ctxt, number: &LitInt) -> u32 {
    text::version(number).unwrap_or_else(|problem| {
        ctxt.error(number, problem);
        1
    })
}

fn aggregate(ctxt: &mut Ctxt, container: &Container<'_>) -> String {
    match &container.aggregate {
        Some(literal) => checked(ctxt, literal, |value| text::name("the aggregate", value)),
        None => {
            if !container.tried(Key::Aggregate) {
                let hint =
                    "add `#[outbox(aggregate = \"..\")]` with the kind of thing it happens to, such as \"order\"";
                ctxt.error(container.ident, format_args!("`{}` has no aggregate: {hint}", container.ident));
            }
            String::new()
        }
    }
}

fn rename_all(ctxt: &mut Ctxt, container: &Container<'_>) -> Case {
    let Some(literal) = &container.rename_all else {
        return Case::Snake;
    };
    Case::from_name(&literal.value()).unwrap_or_else(|| {
        let known: Vec<String> = Case::NAMES.iter().map(|(name, _)| format!("{name:?}")).collect();
        ctxt.error(literal, format_args!("there is no such case: use one of {}", known.join(", ")));
        Case::Snake
    })
}

fn topics_exist(ctxt: &mut Ctxt, container: &Container<'_>) {
    if container.topic.is_some() || container.tried(Key::Topic) {
        return;
    }
    let missing = |variant: &&Variant<'_>| variant.topic.is_none();
    if container.variants.iter().all(|variant| missing(&variant)) && !container.variants.is_empty() {
        let hint = "add `#[outbox(topic = \"..\")]` with the name of the topic it is published to";
        ctxt.error(container.ident, format_args!("`{}` has no topic: {hint}", container.ident));
        return;
    }
    for variant in container.variants.iter().filter(missing) {
        let hint = "add `#[outbox(topic = \"..\")]` here, or to the enum as the topic of all that have none";
        ctxt.error(variant.ident, format_args!("`{}` has no topic: {hint}", variant.ident));
    }
}

fn event_type(
    ctxt: &mut Ctxt,
    container: &Container<'_>,
    aggregate: &str,
    variant: &Variant<'_>,
    case: Case,
) -> String {
    const WHAT: &str = "the event type";
    if let Some(literal) = &variant.event_type {
        return checked(ctxt, literal, |value| text::name(WHAT, value));
    }
    let ident = syn::ext::IdentExt::unraw(variant.ident).to_string();
    let Some(derived) = name::event_type(aggregate, &ident, case) else {
        let hint = "rename it to say what happened, or add `#[outbox(event_type = \"..\")]`";
        ctxt.error(variant.ident, format_args!("`{ident}` only repeats the aggregate: {hint}"));
        return String::new();
    };
    // An aggregate that was refused already would make every derived name wrong as well.
    if container.aggregate.is_some()
        && text::name("the aggregate", aggregate).is_ok()
        && let Err(problem) = text::name(WHAT, &derived)
    {
        ctxt.error(variant.ident, problem);
    }
    derived
}

fn unique(ctxt: &mut Ctxt, before: &[Event<'_>], event: &Event<'_>) {
    let same = |other: &&Event<'_>| other.event_type == event.event_type && other.version == event.version;
    if event.event_type.is_empty() {
        return;
    }
    if let Some(first) = before.iter().find(same) {
        let Event { event_type, version, variant, .. } = event;
        let message = format!(
            "`{}` has event type {event_type:?} version {version}, as `{}` has: \
             consumers could not tell them apart; change one of them",
            variant.ident, first.variant.ident
        );
        match &variant.event_type {
            Some(literal) => ctxt.error(literal, message),
            None => ctxt.error(variant.ident, message),
        }
    }
}

fn fields(ctxt: &mut Ctxt, container: &Container<'_>, variant: &Variant<'_>) {
    let unordered = container.unordered.is_some() || variant.unordered.is_some();
    let mut headers: Vec<String> = Vec::new();
    let mut versioned = false;
    for field in &variant.fields {
        always_there(ctxt, field);
        if let (Some(word), true) = (&field.partition_key, unordered) {
            ctxt.error(word, "an unordered event has no partition key: remove `partition_key` or `unordered`");
        }
        if let Some(word) = &field.aggregate_version {
            if versioned {
                ctxt.error(
                    word,
                    "an event has one aggregate version: remove `aggregate_version` from all but one field",
                );
            } else {
                fits_i64(ctxt, field);
            }
            versioned = true;
        }
        if let Some(literal) = &field.header {
            let name = checked(ctxt, literal, text::header);
            if headers.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                ctxt.error(literal, format_args!("two fields give the header {name:?}: rename one of them"));
            }
            headers.push(name);
        }
    }
}

/// Whether no variant has the field that the container names: one mistake, and not one in every variant.
fn named_field_is_nowhere(ctxt: &mut Ctxt, container: &Container<'_>) -> bool {
    let Some(literal) = &container.aggregate_id else { return false };
    let wanted = literal.value();
    let fields = || container.variants.iter().flat_map(|variant| &variant.fields);
    let names: Vec<String> = fields().map(Field::name).collect();
    if container.variants.is_empty() || names.contains(&wanted) {
        return false;
    }
    let what = if container.variants.iter().all(|variant| variant.is_struct) { "the struct" } else { "any variant" };
    let hint = match nearest(&wanted, &names, |name| name.as_str()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if wanted.contains(',') => "it names one field; to join several, mark each of them".to_owned(),
        None => "name the field that holds the aggregate's id".to_owned(),
    };
    ctxt.error(literal, format_args!("there is no field `{wanted}` in {what}: {hint}"));
    true
}

fn ordered_by_something(ctxt: &mut Ctxt, container: &Container<'_>, variant: &Variant<'_>) {
    let unordered = container.unordered.is_some() || variant.unordered.is_some();
    // Each of these words, rightly placed and spelled, could have been the answer.
    let tried = [Key::AggregateId, Key::PartitionKey, Key::Unordered]
        .iter()
        .any(|key| container.tried.contains(key) || variant.tried.contains(key));
    if !variant.aggregate_ids().is_empty() || unordered || tried {
        return;
    }
    let ident = variant.ident;
    let message = if let Some(named) = &container.aggregate_id {
        format!(
            "`{ident}` has no field `{}`, which is to be the aggregate id: \
             add it, mark another field with `#[outbox(aggregate_id)]`, or give up order with `#[outbox(unordered)]`",
            named.value()
        )
    } else {
        let hint = if variant.fields.is_empty() { "give it a field with" } else { "mark the field that holds it with" };
        format!(
            "`{ident}` has no aggregate id, and events of one aggregate keep their order by it: \
             {hint} `#[outbox(aggregate_id)]`, or give up order with `#[outbox(unordered)]`"
        )
    };
    ctxt.error(ident, message);
}

fn always_there(ctxt: &mut Ctxt, field: &Field<'_>) {
    for (word, what) in [(&field.aggregate_id, "an aggregate id"), (&field.partition_key, "a partition key")] {
        if word.is_some() && field.option().is_some() {
            ctxt.error(
                field.ty,
                format_args!("{what} cannot be missing: make the field required, or mark another one"),
            );
        }
    }
}

/// The compiler would refuse these too, with a message about traits.
fn fits_i64(ctxt: &mut Ctxt, field: &Field<'_>) {
    let ty = plain(field.value_type());
    let Type::Path(path) = ty else {
        return;
    };
    if ["u64", "usize", "isize", "u128", "i128"].iter().any(|wide| path.path.is_ident(wide)) {
        let ty = quote!(#ty).to_string();
        let message = format!("a `{ty}` does not always fit the `i64` that holds the version: use `i64` or `u32`");
        ctxt.error(field.ty, message);
    }
}
