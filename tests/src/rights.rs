//! The table of rights in `docs/operations.md`, as statements. Also included by tests that may not depend on this
//! package.

/// Where the rights are written down, for people and for the tests.
const DOCUMENT: &str = include_str!("../../docs/operations.md");

/// Whose rights: the columns of the document's table.
const COLUMNS: [&str; 3] = ["a program that stages", "a processor", "an operator"];

/// What the document says about the roles of some columns: on what (`outbox_event`, or `SEQUENCE ..`), and which rights.
pub(crate) fn rights(columns: &[usize], is_postgres: bool) -> Vec<(String, String)> {
    let (here, elsewhere) = if is_postgres { ("(PostgreSQL", "(MariaDB") } else { ("(MariaDB", "(PostgreSQL") };
    let (_, section) = DOCUMENT.split_once("\n## Rights\n").expect("the document has a section about rights");
    let mut lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let head = lines.next().expect("the table's head");
    assert!(COLUMNS.iter().all(|column| head.contains(column)), "{head}");
    let mut rights = Vec::new();
    for row in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        if cells[0].contains(elsewhere) && !cells[0].contains(here) {
            continue;
        }
        for granted in columns.iter().map(|column| cells[1 + column]).filter(|granted| !granted.is_empty()) {
            for name in cells[0].split('`').skip(1).step_by(2).filter(|name| name.starts_with("outbox_")) {
                let is_sequence = cells[0].starts_with("the sequence of");
                let on = if is_sequence { format!("SEQUENCE {name}_seq_seq") } else { name.to_owned() };
                rights.push((on, granted.to_owned()));
            }
        }
    }
    assert!(rights.len() >= 3, "the document's table of rights: {rights:?}");
    rights
}
