//! Makes, drops and shows the tables of an outbox.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use outbox_migration::sea_orm::{ConnectOptions, Database};
use outbox_migration::{Options, OutboxMigrator, Payload, Status};

const HELP: &str = "\
Makes, drops and shows the tables of an outbox.

Usage: outbox-migrate [OPTIONS] <up|down|status>

  up      make the tables, unless they are there
  down    drop the tables, unless they hold events
  status  show how far they are; fails unless they are there and fit

The environment variable DATABASE_URL names the database.

Options:
  --schema NAME          schema (MariaDB: database) of the tables [default: the connection's own]
  --prefix NAME          beginning of the tables' names [default: outbox]
  --shards NUMBER        number of shards, 1 to 1024 [default: 64]
  --payload text|binary  what the payload column holds [default: text]
  --force                let down drop tables that hold events
  -h, --help             show this
  -V, --version          show the version
";

enum Command {
    Up,
    Down,
    Status,
}

enum Request {
    Say(String),
    Do(Command, Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match parse(lexopt::Parser::from_env()) {
        Ok(Request::Say(text)) => Ok((text, true)),
        Ok(Request::Do(command, options)) => perform(&command, options).await,
        Err(error) => {
            say(&mut std::io::stderr(), &format!("outbox-migrate: {}\n\n{HELP}", chain(&*error)));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok((text, good)) => {
            say(&mut std::io::stdout(), &text);
            if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say(&mut std::io::stderr(), &format!("outbox-migrate: {}", chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: lexopt::Parser) -> Result<Request, Box<dyn Error>> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};

    let mut command = None;
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        options = match argument {
            Short('h') | Long("help") => return Ok(Request::Say(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Request::Say(format!("outbox-migrate {}", env!("CARGO_PKG_VERSION"))));
            }
            Long("schema") => options.schema(arguments.value()?.string()?)?,
            Long("prefix") => options.prefix(arguments.value()?.string()?)?,
            Long("shards") => options.shards(arguments.value()?.parse()?)?,
            Long("payload") => {
                let name = arguments.value()?.string()?;
                options.payload(
                    Payload::from_name(&name)
                        .ok_or_else(|| format!("the payload column holds text or binary, not {name:?}"))?,
                )
            }
            Long("force") => options.drop_undelivered(true),
            Value(name) if command.is_none() => {
                command = Some(match name.to_str() {
                    Some("up") => Command::Up,
                    Some("down") => Command::Down,
                    Some("status") => Command::Status,
                    _ => return Err(format!("there is no command {name:?}").into()),
                });
                options
            }
            _ => return Err(argument.unexpected().into()),
        };
    }
    Ok(Request::Do(command.ok_or("a command is missing")?, options))
}

/// What to say, and whether all is well.
async fn perform(command: &Command, options: Options) -> Result<(String, bool), Box<dyn Error>> {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        return Err("the environment variable DATABASE_URL is not set, or not text".into());
    };
    let mut connect = ConnectOptions::new(&url);
    connect.max_connections(1).acquire_timeout(Duration::from_secs(10)).sqlx_logging(false);
    // SeaORM shows a URL that it cannot read, with the password.
    let db = Database::connect(connect).await.map_err(|error| chain(&error).replace(&url, "DATABASE_URL"))?;
    let migrator = OutboxMigrator::new(options);
    let said = match command {
        Command::Up if migrator.up(&db).await? => ("made the outbox's tables".to_owned(), true),
        Command::Up => ("the outbox's tables are there already".to_owned(), true),
        Command::Down if migrator.down(&db).await? => ("dropped the outbox's tables".to_owned(), true),
        Command::Down => ("there are no outbox tables".to_owned(), true),
        Command::Status => match migrator.status(&db).await? {
            Status::Applied(info) => (
                format!(
                    "applied: schema version {}, {} shards, hash {}, payload {}",
                    info.schema_version, info.shard_count, info.hash, info.payload
                ),
                true,
            ),
            Status::Incomplete => ("incomplete: run outbox-migrate up with the same options again".to_owned(), false),
            _ => ("missing: run outbox-migrate up".to_owned(), false),
        },
    };
    db.close().await?;
    Ok(said)
}

/// The error and, where its own words leave them out, its sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = error.source();
    }
    text
}

/// A reader that went away is no reason to panic.
fn say(to: &mut dyn Write, text: &str) {
    drop(writeln!(to, "{}", text.trim_end()));
}
