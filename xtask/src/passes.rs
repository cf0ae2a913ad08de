//! Further passes of the tests on real servers: as accounts with few rights, or through a pooler.

use std::ffi::OsString;

use crate::services::Service;

/// What the fixtures read: each part of the program then has an account of its own.
pub(crate) const AS_ROLES: &str = "OUTBOX_TEST_AS_ROLES";

/// How a pass differs from the usual one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) as_roles: bool,
    pub(crate) through_pgbouncer: bool,
}

/// A part of a test's name, and why it is left out.
type LeftOut = (&'static str, &'static str);

const AS_ROLES_WITHOUT: &[LeftOut] = &[
    ("sqlite", "has no accounts"),
    ("random::", "makes tables of its own again and again, and their rights would go with them"),
    ("store::backlog::a_backlog_is_never_searched_on_postgres", "counts what one session does"),
    ("store::remade", "drops the tables, and the rights with them"),
    ("support::", "about the fixtures alone"),
    ("a_deadlock_ends_the_transaction", "makes tables as who stages"),
    ("ddl_commits_rows_but_never_events_alone", "makes tables as who stages"),
    ("a_refusal_at_commit_is_a_rollback", "makes tables as who stages"),
    ("hooks::", "makes tables as who stages"),
    ("flush::a_binary_column_takes_any_bytes", "makes tables as who stages"),
    ("flush::tables_can_be_in_another_schema", "makes tables as who stages"),
    ("recording::through_a_transaction_with_its_own_settings_it_has_these", "makes tables as who stages"),
    ("recording::through_an_outbox_it_is_a_commit_of_its_own_that_wakes", "makes tables as who stages"),
    ("failing::a_failed_flush_rolls_everything_back", "changes the outbox's tables as who stages"),
    ("schema::tables_of_another_version_are_refused", "changes the outbox's tables as who stages"),
    ("schema::tables_remade_with_another_shard_count_are_refused", "changes the outbox's tables as who stages"),
    ("schema::they_are_read_once", "changes the outbox's tables as who stages"),
];

const THROUGH_PGBOUNCER_WITHOUT: &[LeftOut] = &[
    ("mariadb", "not PostgreSQL"),
    ("sqlite", "not PostgreSQL"),
    ("choices::a_search_path_is_followed", "the search path of a session is state that the pooler does not keep"),
    ("store::backlog::a_backlog_is_never_searched_on_postgres", "counts what one session does"),
    ("store::backlog::counting_costs_no_more_for_more_on_postgres", "counts what one session does"),
    ("store::backlog::what_was_delivered_is_not_looked_up_on_postgres", "counts what one session does"),
    ("store::quiet::sessions_of_another_level", "the pooler's sessions may be older than the database's setting"),
    ("notify::", "whoever listens needs a session of its own"),
    ("a_notification_before_the_commit_is_enough", "whoever listens needs a session of its own"),
    ("the_notifications_of_commits_are_enough", "whoever listens needs a session of its own"),
    ("cancel::a_dropped_listener", "whoever listens needs a session of its own"),
    ("footprint::", "the server's connections are the pooler's"),
    ("support::a_database_goes_with_its_test", "the pooler takes logins for databases that are not there"),
];

/// What runs as the owner of the tables all the same.
const AS_OWNER: &[LeftOut] = &[
    ("cancel::a_dropped_migration", "makes and drops tables"),
    (
        "cancel::a_dropped_call_of_the_store",
        "processors' and operators' calls on one pool that is looked at afterwards",
    ),
    ("store::inputs::tables_may_be_called_what_sql_means_otherwise", "makes tables again and again"),
];

impl Pass {
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn left_out(&self) -> impl Iterator<Item = &'static LeftOut> {
        let as_roles = if self.as_roles { AS_ROLES_WITHOUT } else { &[] };
        let through = if self.through_pgbouncer { THROUGH_PGBOUNCER_WITHOUT } else { &[] };
        as_roles.iter().chain(through)
    }

    /// What differs less from the usual pass than the pass says.
    pub(crate) fn as_owner(&self) -> &'static [LeftOut] {
        if self.as_roles { AS_OWNER } else { &[] }
    }

    /// The servers without which the pass is none.
    pub(crate) fn own_servers(&self) -> &'static [Service] {
        if self.through_pgbouncer { &[Service::Postgres, Service::PgBouncer] } else { &[] }
    }

    /// What cargo is to be told: of the tests that use databases all but what is left out, unless others are named.
    pub(crate) fn arguments(&self, given: &[OsString]) -> Vec<OsString> {
        let mut parts = given.splitn(2, |argument| argument == "--");
        let (of_cargo, of_tests) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut all = of_cargo.to_vec();
        if !self.is_usual() && of_cargo.is_empty() {
            all.extend(["--test", "it", "--test", "uow"].map(OsString::from));
        }
        let skipped = self.left_out().flat_map(|(name, _)| ["--skip", name]).map(OsString::from);
        let of_tests: Vec<OsString> = of_tests.iter().cloned().chain(skipped).collect();
        if !of_tests.is_empty() {
            all.push("--".into());
            all.extend(of_tests);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pass: &Pass, line: &str) -> String {
        let given: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        pass.arguments(&given).join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn a_pass_is_the_tests_on_databases_without_what_it_cannot_run() {
        let usual = Pass::default();
        assert_eq!(words(&usual, "-p a -- b --nocapture"), "-p a -- b --nocapture");
        assert_eq!(words(&usual, ""), "");
        let pass = Pass { through_pgbouncer: true, ..Pass::default() };
        assert!(words(&pass, "").starts_with("--test it --test uow -- --skip mariadb --skip sqlite"));
        assert!(words(&pass, "--test uow -- basics").starts_with("--test uow -- basics --skip mariadb"));
    }

    /// A name that no test has any more would leave nothing out, and its reason would be wrong.
    #[test]
    fn what_is_left_out_is_there() {
        fn sources(folder: &std::path::Path, all: &mut String) {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    sources(&path, all);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    all.push_str(&std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        let mut all = String::new();
        for folder in ["tests/it", "tests/src", "outbox-sea-orm/tests/uow", "migration/tests/it"] {
            sources(&crate::workspace::root().join(folder), &mut all);
        }
        let both = Pass { as_roles: true, through_pgbouncer: true };
        for (name, reason) in both.left_out().chain(both.as_owner()) {
            let last = name.rsplit("::").find(|part| !part.is_empty()).unwrap_or(name);
            let is_there =
                [" fn ", "mod ", "_on_", "    "].iter().any(|before| all.contains(&format!("{before}{last}")));
            assert!(is_there && !reason.is_empty(), "{name}");
        }
    }
}
