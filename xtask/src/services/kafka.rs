//! Apache Kafka: one KRaft node that is broker and controller.

use std::fmt::Write;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::account::Account;
use super::install;
use super::kafka_options::{KafkaOptions, Listener, ScramUser};
use super::launch::{Place, Recipe, word};
use super::process::run_to_end;

const VERSION: &str = "4.1.0";
const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

#[derive(Debug)]
pub(crate) struct Kafka {
    java: PathBuf,
    libs: PathBuf,
    options: KafkaOptions,
}

impl Kafka {
    pub(crate) fn find(cache: &Path, options: &KafkaOptions) -> anyhow::Result<Self> {
        let java = install::find_or_install("Java", &["default-jre-headless"], || {
            let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin"));
            install::find("java", home.as_slice())
        })?;
        let libs = cache.join(format!("kafka-libs-{VERSION}"));
        if !libs.exists() {
            download(&libs)?;
        }
        Ok(Self { java, libs, options: options.clone() })
    }

    fn java(&self) -> anyhow::Result<Vec<String>> {
        let mut command = vec![word(&self.java)?];
        command.extend(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-cp"].map(str::to_owned));
        command.push(word(self.libs.join("*"))?);
        Ok(command)
    }
}

impl Recipe for Kafka {
    fn account(&self) -> anyhow::Result<Option<Account>> {
        Ok(None)
    }

    fn ports(&self) -> usize {
        2
    }

    fn listeners(&self) -> &[Listener] {
        &self.options.listeners
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<Vec<String>> {
        let properties = place.folder.join("server.properties");
        fs::write(&properties, self.settings(place)?)
            .with_context(|| format!("cannot write {}", properties.display()))?;

        let java = self.java()?;
        let mut format = Command::new(&self.java);
        format
            .args(&java[1..])
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", &cluster_id(), "--config"])
            .arg(&properties)
            .current_dir(&place.folder);
        for ScramUser { name, password } in &self.options.scram {
            format.arg("--add-scram").arg(format!("SCRAM-SHA-512=[name={name},password={password}]"));
        }
        run_to_end(format, place.account, &place.log()).context("cannot format Kafka's storage")?;

        Ok([java, vec!["kafka.Kafka".to_owned(), word(properties)?]].concat())
    }

    fn address(&self, port: u16) -> String {
        format!("127.0.0.1:{port}")
    }
}

impl Kafka {
    fn settings(&self, place: &Place) -> anyhow::Result<String> {
        let [port, controller, further @ ..] = &place.ports[..] else { bail!("Kafka takes two ports") };
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{port}");
        for (listener, port) in self.options.listeners.iter().zip(further) {
            write!(listeners, ",{listener}://127.0.0.1:{port}")?;
        }
        let mut settings = settings(&listeners, *controller, &place.data());
        if let Some(file) = &self.options.config {
            settings += &fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        }
        Ok(settings)
    }
}

/// Any 16 bytes in base64 name a cluster. Two brokers that a test lets stand for each other must be told apart.
fn cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = || RandomState::new().hash_one(std::process::id());
    let mut bits = (u128::from(random()) << 64) | u128::from(random());
    // 22 digits of 6 bits; the last ones take what is left of the 128.
    let mut digits: String = (0..21)
        .map(|_| {
            let digit = DIGITS[(bits & 63) as usize];
            bits >>= 6;
            char::from(digit)
        })
        .collect();
    // The last digit has two bits, in front of four that must be 0. Kafka refuses a name that looks like an option.
    digits.push(char::from(DIGITS[((bits & 3) << 4) as usize]));
    if digits.starts_with('-') { digits.replacen('-', "x", 1) } else { digits }
}

fn settings(listeners: &str, controller: u16, data: &Path) -> String {
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs={data}
# A misspelled topic must fail, as it does in production.
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Tests make hundreds of small topics.
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
controlled.shutdown.enable=false
",
        // A properties file takes a backslash as the start of an escape.
        data = data.display().to_string().replace('\\', "\\\\"),
    )
}

/// Has Maven fetch Kafka's jars and everything they need.
fn download(libs: &Path) -> anyhow::Result<()> {
    let mvn = install::find_or_install("Maven", &["maven"], || install::find("mvn", &[]))?;
    let parent = libs.parent().context("the cache has a parent")?;
    fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix("kafka-download-").tempdir_in(parent)?;
    fs::write(work.path().join("pom.xml"), pom())?;
    println!("fetching Kafka {VERSION}");
    let output = Command::new(mvn)
        .args(["--quiet", "--batch-mode", COPY_DEPENDENCIES, "-DincludeScope=runtime", "-DoutputDirectory=libs"])
        .current_dir(work.path())
        .stdin(Stdio::null())
        .output()
        .context("cannot run mvn")?;
    if !output.status.success() {
        bail!("mvn cannot fetch Kafka {VERSION}\n{}", String::from_utf8_lossy(&output.stdout).trim());
    }
    // In one step, so that an interrupted download is never taken for a complete one. Another call may have been
    // faster, which is as good.
    match fs::rename(work.path().join("libs"), libs) {
        Err(_) if libs.exists() => Ok(()),
        renamed => renamed.context("cannot keep Kafka's jars"),
    }
}

fn pom() -> String {
    // The bindings of SLF4J are the reader's choice; without one Kafka logs nothing, not even why it does not start.
    format!(
        "\
<project xmlns=\"http://maven.apache.org/POM/4.0.0\">
  <modelVersion>4.0.0</modelVersion>
  <groupId>outbox</groupId>
  <artifactId>kafka-libs</artifactId>
  <version>{VERSION}</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"
    )
}
