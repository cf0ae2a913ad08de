//! The derive macro's attributes: an implementation or errors, in tokens that Rust can read.

use quote::quote;

use crate::derive::derive;
use crate::pieces::Pieces;

pub(crate) const SEEDS: &[&[u8]] = &[
    b"aggregate = \"order\", topic = \"orders\"\nversion = 2\naggregate_id",
    b"aggregate = \"order\", topic = \"orders\", unordered, rename_all = \"snake_case\"\nevent_type = \"a.b\"\nheader = \"x\"",
    b"aggregate(\"x\"), topic = 1, aggregate_id = \"id\"\nversion = 99999999999999\naggregate_version",
    b"crate = \"a::b\", partition_key\npartition_key\npartition_key, header(\"y\")",
    b"\"\"\nversion = -1\nheader = \"content-type\"",
    b"aggregate = \"\\u{1F980}\", topic = \"..\"\n#\n,,",
];

/// Nesting costs the parser stack, as it does the compiler's own.
const MOST_BYTES: usize = 512;

pub(crate) fn run(data: &[u8]) {
    let data = &data[..data.len().min(MOST_BYTES)];
    let mut pieces = Pieces::of(data);
    let (container, variant, field) = (pieces.text(), pieces.text(), pieces.text());
    expands(&format!(
        "#[outbox({container})] enum E<T> {{ #[outbox({variant})] A {{ #[outbox({field})] id: u8, other: T }}, B(#[outbox({field})] Option<String>), C }}"
    ));
    expands(&format!(
        "#[outbox({container})] struct S {{ #[outbox({field})] id: u8, #[outbox({variant})] order_id: Vec<u8> }}"
    ));
    expands(&String::from_utf8_lossy(data));
}

fn expands(text: &str) {
    let Ok(input) = syn::parse_str::<syn::DeriveInput>(text) else { return };
    let output = derive(&input, quote!(::outbox_core));
    let read = syn::parse2::<syn::File>(output.clone());
    assert!(read.is_ok(), "{text}\n{output}");
}
