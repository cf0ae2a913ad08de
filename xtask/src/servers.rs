//! Running something with all servers at hand: those that the environment names, and for the others our own.

use std::path::PathBuf;

use anyhow::Context;

use crate::cli::service_list;
use crate::interrupt::Interrupt;
use crate::services::{Fleet, KafkaOptions, Service, runs};
use crate::workspace;

/// What the tests read to learn what was left out, by name and separated by commas.
pub(crate) const SKIP: &str = "OUTBOX_TEST_SKIP";

/// Where each server is, and which were left out by request.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Goes with this run, and what was started in its subfolders with it.
    pub(crate) folder: PathBuf,
    pub(crate) addresses: Vec<(Service, String)>,
    pub(crate) skipped: Vec<Service>,
}

/// Calls `work` with servers that answer, those of `own` started for it whatever the environment names, and ends those that it started, whatever comes of it.
pub(crate) fn with_servers<T>(
    skip: Vec<Service>,
    own: &[Service],
    interrupt: &Interrupt,
    work: impl FnOnce(&Servers) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (mut fleet, folder) = runs::begin(&workspace::services_folder()?, interrupt.clone())?;
    let result = servers(&mut fleet, folder.clone(), skip, own).and_then(|servers| work(&servers));
    let ended = runs::end(fleet, &folder).context("cannot end the servers of this run");
    let value = result?;
    ended?;
    Ok(value)
}

fn servers(fleet: &mut Fleet, folder: PathBuf, skip: Vec<Service>, own: &[Service]) -> anyhow::Result<Servers> {
    let mut servers = Servers { folder, addresses: Vec::new(), skipped: skip };
    servers.skipped.extend(service_list(&std::env::var(SKIP).unwrap_or_default()).context(SKIP)?);
    servers.skipped.sort();
    servers.skipped.dedup();
    if !servers.skipped.is_empty() {
        println!("left out by request: {}", servers.skipped_names());
    }
    let mut missing = own.to_vec();
    let usual =
        Service::USUAL.into_iter().filter(|service| !servers.skipped.contains(service) && !own.contains(service));
    for service in usual {
        match std::env::var(service.variable()) {
            Ok(address) if !address.is_empty() => {
                println!("{service:8} is given: {address}");
                servers.addresses.push((service, address));
            }
            _ => missing.push(service),
        }
    }
    fleet.up(&missing, &KafkaOptions::default())?;
    servers.addresses.extend(fleet.records().map(|(service, record)| (service, record.address.clone())));
    Ok(servers)
}

impl Servers {
    pub(crate) fn skipped_names(&self) -> String {
        self.skipped.iter().map(|service| service.name()).collect::<Vec<_>>().join(",")
    }
}
