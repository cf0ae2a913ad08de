//! Brokers of a test's own: with other listeners than the shared one, or to take away.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::unique;

/// A broker that only this test, or a few, know of. It ends with its owner, or at the latest with the run of the
/// tests.
pub(crate) struct OwnBroker {
    folder: PathBuf,
    addresses: BTreeMap<String, String>,
}

impl OwnBroker {
    /// Starts one with options of `cargo xtask services up` and settings of the broker.
    pub(crate) fn start(options: &[String], settings: &str) -> Self {
        let mut this = Self { folder: own_folder(), addresses: BTreeMap::new() };
        let file = this.folder.join("settings");
        std::fs::write(&file, settings).unwrap();
        let up = ["up", "kafka", "--kafka-config", file.to_str().unwrap()].map(str::to_owned);
        services(&this.folder, up.iter().chain(options));
        let variables = services(&this.folder, ["env".to_owned()].iter());
        let split =
            |line: &str| line.strip_prefix("export ")?.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        this.addresses = variables.lines().filter_map(split).collect();
        this
    }

    /// The listener for everybody.
    pub(crate) fn plain(&self) -> &str {
        &self.addresses["OUTBOX_TEST_KAFKA_BROKERS"]
    }

    /// The listener with this protocol.
    pub(crate) fn listener(&self, protocol: &str) -> &str {
        &self.addresses[&format!("OUTBOX_TEST_KAFKA_BROKERS_{protocol}")]
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        // What fails here is done again at the end of the run.
        if let Some(mut down) = command(&self.folder, ["down".to_owned()].iter()) {
            drop(down.stdout(Stdio::null()).stderr(Stdio::null()).status());
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Goes with the run of the tests at the latest.
fn own_folder() -> PathBuf {
    let run = env::var_os("OUTBOX_TEST_RUN").expect("a test with a broker of its own: run `cargo xtask test`");
    let folder = Path::new(&run).join(unique("own"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn services<'a>(folder: &Path, words: impl Iterator<Item = &'a String>) -> String {
    let mut command = command(folder, words).expect("the tests were started by `cargo xtask test`");
    let output = command.output().expect("xtask runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn command<'a>(folder: &Path, words: impl Iterator<Item = &'a String>) -> Option<Command> {
    let mut command = Command::new(env::var_os("OUTBOX_XTASK")?);
    command.arg("services").args(words).arg("--dir").arg(folder).stdin(Stdio::null());
    Some(command)
}

/// The broker of all tests about logins and encryption.
pub(crate) struct Guarded {
    pub(crate) broker: OwnBroker,
    /// Signs the broker's certificate, which is for 127.0.0.1 and for no name.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "for the tests with TLS"))]
    pub(crate) authority: PathBuf,
}

/// May write to topics whose names begin with `for-alice`, and see those that begin with `shown`.
pub(crate) const ALICE: (&str, &str) = ("alice", "canary-of-alice");
/// May do nothing.
pub(crate) const MALLORY: (&str, &str) = ("mallory", "canary-of-mallory");

pub(crate) async fn guarded() -> &'static Guarded {
    static GUARDED: OnceLock<Guarded> = OnceLock::new();
    tokio::task::spawn_blocking(|| GUARDED.get_or_init(start_guarded)).await.unwrap()
}

fn start_guarded() -> Guarded {
    let folder = own_folder();
    let (store, authority) = (folder.join("broker.p12"), folder.join("authority.pem"));
    let of_store = ["-keystore", store.to_str().unwrap(), "-storepass", "storepass", "-alias", "broker"];
    let key = "-genkeypair -keyalg EC -groupname secp256r1 -dname CN=broker -validity 2 -ext san=ip:127.0.0.1";
    keytool(&key.split(' ').chain(of_store).collect::<Vec<_>>());
    let export = ["-exportcert", "-rfc", "-file", authority.to_str().unwrap()];
    keytool(&export.into_iter().chain(of_store).collect::<Vec<_>>());
    let settings = format!(
        "\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PKCS12
ssl.keystore.location={}
ssl.keystore.password=storepass
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
         required user_{}=\"{}\" user_{}=\"{}\";
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
",
        store.display(),
        ALICE.0,
        ALICE.1,
        MALLORY.0,
        MALLORY.1,
    );
    let scram = format!("{}={}", ALICE.0, ALICE.1);
    let options = ["--kafka-listener", "SSL", "--kafka-listener", "SASL_PLAINTEXT", "--kafka-listener", "SASL_SSL"];
    let options: Vec<_> = options.into_iter().chain(["--kafka-scram", &scram]).map(str::to_owned).collect();
    let broker = OwnBroker::start(&options, &settings);
    crate::rights::grant(broker.plain(), ALICE.0, "for-alice", crate::rights::Right::Write);
    crate::rights::grant(broker.plain(), ALICE.0, "shown", crate::rights::Right::Describe);
    Guarded { broker, authority }
}

fn keytool(arguments: &[&str]) {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/keytool"));
    let program = home.filter(|program| program.exists()).unwrap_or_else(|| "keytool".into());
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("Java's keytool");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
