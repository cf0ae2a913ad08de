//! Every public async function of the packages has a case, or a reason why it has none.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::CASES;

/// Whose functions, the module of their cases, and the functions. Where cases have other names: `functions=cases`.
const COVERED: &[(&str, &str, &str)] = &[
    ("$type", "transactions", "begin=begin,savepoint"),
    ("$type", "transactions", "begin_with_options=begin_with_options,savepoint_with_options"),
    ("$type", "transactions", "transaction_async=transaction_async,nested_transaction_async"),
    ("$type", "transactions", "transaction_with_config_async=transaction_with_config_async"),
    ("$type", "transactions", "transaction_with_config_async=nested_transaction_with_config_async"),
    ("TransactionTrait for $type", "transactions", "begin=begin_by_trait,savepoint_by_trait"),
    ("TransactionTrait for $type", "transactions", "begin_with_options=begin_with_options_by_trait"),
    ("TransactionTrait for $type", "transactions", "begin_with_config=begin_with_config,savepoint_with_config"),
    ("TransactionTrait for $type", "transactions", "transaction=transaction,nested_transaction"),
    ("TransactionTrait for $type", "transactions", "transaction_with_config=transaction_with_config"),
    ("TransactionTrait for $type", "transactions", "transaction_with_config=nested_transaction_with_config"),
    ("OutboxTransaction", "transactions", "commit=commit,commit_of_a_savepoint rollback flush"),
    ("TransactionSession for OutboxTransaction", "transactions", "commit=commit_strict"),
    ("TransactionSession for OutboxTransaction", "transactions", "rollback=rollback_of_a_savepoint"),
    ("Outbox", "transactions", "check"),
    ("ConnectionTrait for OutboxTransaction", "statements", "execute_raw execute execute_unprepared"),
    ("ConnectionTrait for OutboxTransaction", "statements", "query_one_raw query_one query_all_raw query_all"),
    ("StreamTrait for OutboxTransaction", "statements", "stream_raw stream"),
    ("ConnectionTrait for Outbox", "statements", "execute_raw=execute_raw_on_the_pool execute=execute_on_the_pool"),
    ("ConnectionTrait for Outbox", "statements", "execute_unprepared=execute_unprepared_on_the_pool"),
    ("ConnectionTrait for Outbox", "statements", "query_one_raw=query_one_raw_on_the_pool"),
    ("ConnectionTrait for Outbox", "statements", "query_one=query_one_on_the_pool"),
    ("ConnectionTrait for Outbox", "statements", "query_all_raw=query_all_raw_on_the_pool"),
    ("ConnectionTrait for Outbox", "statements", "query_all=query_all_on_the_pool"),
    ("StreamTrait for Outbox", "statements", "stream_raw=stream_raw_on_the_pool stream=stream_on_the_pool"),
    ("", "record", "record=in_a_transaction record_with=with_options_on_the_outbox"),
    ("Outbox", "record", "record=on_the_outbox,on_a_plain_pool,on_a_plain_transaction"),
    ("Outbox", "record", "record_with=with_options_in_a_transaction"),
    ("Store for SeaOrmStore", "store", "open lease read promote listen"),
    ("Store for SeaOrmStore", "store", "settle=settle_delivered,settle_dead,settle_retry"),
    ("Admin for SeaOrmStore", "store", "stats pending scheduled dead_letters dead_letter parked_keys"),
    ("Admin for SeaOrmStore", "store", "requeue requeue_key requeue_all delete give_up"),
    ("", "migration", "check"),
    ("OutboxMigrator", "migration", "up=up,up_in_a_transaction,up_in_an_owned_transaction status"),
    ("OutboxMigrator", "migration", "down=down,down_in_a_transaction"),
    ("MigratorTraitSelf for OutboxMigrator", "migration", "up=trait_up down=trait_down"),
    ("MigratorTraitSelf for OutboxMigrator", "migration", "fresh refresh reset install uninstall"),
    ("MigratorTraitSelf for OutboxMigrator", "migration", "get_migration_models=models"),
    ("MigratorTraitSelf for OutboxMigrator", "migration", "get_migration_with_status_read_only=migrations_with_status"),
    ("Migrator", "migration", "up=standard_up down=standard_down"),
    ("MigratorTrait for Migrator", "migration", "up=standard_trait_up down=standard_trait_down"),
    ("MigratorTrait for Migrator", "migration", "fresh=standard_fresh refresh=standard_refresh reset=standard_reset"),
    ("MigratorTrait for Migrator", "migration", "install=standard_install uninstall=standard_uninstall"),
    ("MigratorTrait for Migrator", "migration", "get_migration_models=standard_models"),
    ("MigratorTrait for Migrator", "migration", "get_migration_with_status_read_only=standard_migrations_with_status"),
    ("MigrationTrait for CreateOutbox", "migration", "up=spliced_up down=spliced_down"),
    ("Processor", "processor", "run_once run_until"),
    ("ProcessorHandle", "processor", "shutdown join snapshot"),
    ("Wake", "processor", "woken"),
    ("Publisher for FnPublisher<F>", "publishers", "publish,flush,check=a_dropped_call_of_a_closure_loses_nothing"),
    ("Publisher for Router", "publishers", "publish,flush,check=a_dropped_call_of_a_router_loses_nothing"),
    ("MemoryPublisher", "publishers", "wait_for=a_dropped_call_or_wait_of_memory_loses_nothing"),
    ("Publisher for MemoryPublisher", "publishers", "publish,flush=a_dropped_call_or_wait_of_memory_loses_nothing"),
    ("Publisher for MemoryPublisher", "publishers", "check=a_dropped_call_or_wait_of_memory_loses_nothing"),
    ("Publisher for LogPublisher", "publishers", "publish,flush,check=a_dropped_call_that_sends_nowhere_is_reported"),
    ("Publisher for NoopPublisher", "publishers", "publish,flush,check=a_dropped_call_that_sends_nowhere_is_reported"),
    ("Publisher for KafkaPublisher", "kafka", "publish=a_dropped_publish_reports_and_sends_everything_at_most_once"),
    ("Publisher for KafkaPublisher", "kafka", "flush,check=a_dropped_flush_or_check_harms_nothing"),
    ("KafkaPublisher", "kafka", "health=a_dropped_flush_or_check_harms_nothing"),
];

/// Whose functions, which, and why they have no case.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("", "reach", "a failpoint, which default builds do not have"),
    ("trait Store", "listen", "the default returns at once"),
    ("Publisher for $pointer<P>", "publish flush check", "hands the call on to the publisher that it points to"),
];

/// Whose functions are not looked at.
const FOLDERS_LEFT_OUT: &[(&str, &str)] = &[
    ("outbox-core/src/engine/simulation/", "in tests alone"),
    ("outbox-core/src/testing/", "stands in for a database or a broker in a user's tests, and holds no resources"),
];

/// A public async function: whose, and its name.
type Function = (String, String);

/// Those of a source file: `pub` ones, and those of an `impl` of a trait, whoever's it is.
fn functions(source: &str, all: &mut BTreeSet<Function>) {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<_> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    // The head of the innermost block of functions, and how far it is from the left.
    let mut block: Option<(String, usize)> = None;
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        if text.starts_with("mod tests {") {
            return;
        }
        if block.as_ref().is_some_and(|(_, left)| text == "}" && indent(line) == *left) {
            block = None;
        }
        if let Some(head) = head(text) {
            block = Some((head, indent(line)));
        }
        let Some((before, name)) = text.split_once("fn ") else { continue };
        let signature: String = lines[at..].iter().scan(false, |ended, line| signature(line, ended)).collect();
        let is_async =
            before.contains("async") || signature.contains("-> impl Future") || signature.contains("dyn Future");
        let head = block.as_ref().map_or("", |(head, _)| head);
        let is_seen = before.starts_with("pub async") || before.starts_with("pub fn") || before == "pub ";
        // What a trait only asks for, whoever implements it has.
        let by_trait = head.contains(" for ") || (head.starts_with("trait ") && !signature.ends_with(';'));
        if is_async && (is_seen || by_trait) {
            let name = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            all.insert((head.to_owned(), name));
        }
    }
}

/// The line, as long as a signature goes on.
fn signature<'a>(line: &'a str, ended: &mut bool) -> Option<&'a str> {
    if *ended {
        return None;
    }
    *ended = line.ends_with(['{', ';', '}']);
    Some(line)
}

/// What of a line says whose functions follow.
fn head(text: &str) -> Option<String> {
    if let Some(named) = text.strip_prefix("pub trait ") {
        return Some(format!("trait {}", named.split([':', '<', ' ']).next()?));
    }
    let mut rest = text.strip_prefix("impl")?;
    if rest.starts_with('<') {
        rest = &rest[rest.find("> ").or_else(|| rest.find('>'))? + 1..];
    }
    Some(rest.trim_end_matches('{').trim().to_owned())
}

fn sources(folder: &Path, read: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, read);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            read(&path);
        }
    }
}

#[test]
fn every_public_async_function_is_dropped_or_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut found, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for package in ["outbox-core", "outbox-sea-orm", "migration", "publishers/kafka"] {
        sources(&root.join(package).join("src"), &mut |path| {
            let left_out = |(folder, _): &&(&str, &str)| path.starts_with(root.join(folder));
            match FOLDERS_LEFT_OUT.iter().find(left_out) {
                Some((folder, _)) => drop(folders.insert(*folder)),
                None => functions(&fs::read_to_string(path).unwrap(), &mut found),
            }
        });
    }
    assert_eq!(folders.len(), FOLDERS_LEFT_OUT.len(), "{folders:?}");

    let (mut listed, mut cases) = (BTreeSet::new(), BTreeSet::new());
    for (whose, module, names) in COVERED {
        for group in names.split(' ') {
            let (functions, of_group) = group.split_once('=').unwrap_or((group, group));
            listed.extend(functions.split(',').map(|name| ((*whose).to_owned(), name.to_owned())));
            cases.extend(of_group.split(',').map(|case| format!("{module}::{case}")));
        }
    }
    for (whose, names, reason) in LEFT_OUT {
        assert!(!reason.is_empty());
        for name in names.split(' ') {
            assert!(listed.insert(((*whose).to_owned(), name.to_owned())), "{whose} {name} has a case");
        }
    }
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "neither dropped nor left out with a reason: {missing:#?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "listed, and not there: {gone:#?}");

    let mut there: BTreeSet<_> = CASES.iter().copied().flatten().map(|(name, _)| (*name).to_owned()).collect();
    for (module, source) in [("kafka", include_str!("kafka.rs")), ("publishers", include_str!("publishers.rs"))] {
        let tests = source.split("#[tokio::test").skip(1).filter_map(|test| test.split_once("async fn "));
        there.extend(tests.filter_map(|(_, name)| Some(format!("{module}::{}", name.split_once('(')?.0))));
    }
    assert_eq!(there, cases, "the cases, and those that the functions have");
}
