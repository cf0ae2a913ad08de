use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the kernel counts in, on Linux, whatever the machine.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory that it ever had, in KiB.
    pub(crate) peak_kib: u64,
}

/// A process's own usage; `None` when it is gone.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let [user, system, ..] = times(pid)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak_kib = peak.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(Usage { cpu: TICK * (user + system), peak_kib })
}

/// CPU time of a process and its children, those that have ended included: a server with a process per connection.
pub(crate) fn family_cpu(pid: u32) -> Option<Duration> {
    let mut ticks: u32 = times(pid)?.iter().sum();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for child in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if parent(child) == Some(pid)
            && let Some([user, system, ..]) = times(child)
        {
            ticks += user + system;
        }
    }
    Some(TICK * ticks)
}

/// User, system, and both again of the children that have been waited for.
fn times(pid: u32) -> Option<[u32; 4]> {
    let fields = fields(pid)?;
    let at = |n: usize| fields.get(n)?.parse().ok();
    Some([at(11)?, at(12)?, at(13)?, at(14)?])
}

fn parent(pid: u32) -> Option<u32> {
    fields(pid)?.get(1)?.parse().ok()
}

/// What comes after the name, which may hold anything.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_process_sees_what_it_uses() {
        let pid = std::process::id();
        let started = Instant::now();
        while usage(pid).unwrap().cpu < 5 * TICK && started.elapsed() < Duration::from_secs(60) {
            black_box((0..100_000).sum::<u64>());
        }
        let used = usage(pid).unwrap();
        assert!(used.cpu >= 5 * TICK && used.peak_kib > 100, "{used:?}");
        assert!(family_cpu(pid).unwrap() >= used.cpu);
    }
}
