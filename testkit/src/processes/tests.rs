use std::future::Future;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, test_kill_process};

use super::*;

/// Long enough for anything that is going to happen on a machine that does much else.
const LONG: Duration = Duration::from_secs(60);

fn shell(script: impl Into<String>) -> Processes {
    let script = script.into();
    Processes::new(1, move |_| {
        let mut command = Command::new("sh");
        // Nothing of this program's: who holds its output open keeps those waiting who read it.
        command.args(["-c", script.as_str()]).stdout(Stdio::null()).stderr(Stdio::null());
        command
    })
}

/// Ends well on SIGTERM, and says when that has begun to be so.
fn polite(ready: &Path) -> Processes {
    shell(format!("trap 'exit 0' TERM; : > {}; while :; do sleep 0.01; done", ready.display()))
}

/// Starts another process, which does `other`, tells its number, and ends on SIGTERM.
fn with_another(other: &str, told: &Path) -> Processes {
    let told = told.display();
    shell(format!(
        "trap 'exit 0' TERM; ({other}) & echo $! > {told}.part; mv {told}.part {told}; wait; while :; do sleep 0.1; done"
    ))
}

async fn until<Condition: Future<Output = bool>>(condition: impl Fn() -> Condition) {
    let patience = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, patience).await.expect("it comes to be so");
}

/// As Linux has it: running or sleeping, stopped, or nothing.
fn state(process: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    stat.rsplit(')').next()?.trim().chars().next()
}

fn is_alive(process: Pid) -> bool {
    test_kill_process(process).is_ok() && state(process) != Some('Z')
}

/// Started by the process in the only place.
async fn other(told: &Path) -> Pid {
    until(async || told.exists()).await;
    let id = std::fs::read_to_string(told).unwrap();
    let id = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
    assert!(is_alive(id));
    id
}

/// Of the process in the only place.
fn id(processes: &Processes) -> Pid {
    let place = processes.place(0).unwrap();
    place.as_ref().unwrap().id()
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn processes_are_paused_and_go_on_with_what_they_started() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    // One that starts others would wait for them, uninterruptibly, while they stand still.
    let processes = with_another("exec sleep 600", &told);
    processes.start(0).await.unwrap();
    let both = [id(&processes), other(&told).await];
    processes.pause(0).await.unwrap();
    until(async || both.iter().all(|process| state(*process) == Some('T'))).await;
    processes.resume(0).await.unwrap();
    until(async || both.iter().all(|process| state(*process) != Some('T'))).await;
    processes.pause(0).await.unwrap();
    processes.kill(0).await.unwrap();
    assert!(!both.iter().any(|process| is_alive(*process)), "also one that stands still");
}

#[tokio::test]
async fn a_place_has_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let processes = polite(&folder.path().join("ready"));
    assert!(processes.kill(0).await.is_err() && processes.stop(0).await.is_err());
    processes.start(0).await.unwrap();
    assert!(processes.start(0).await.is_err() && processes.start(1).await.is_err());
    processes.kill(0).await.unwrap();
    processes.start(0).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_started_is_named() {
    let processes = Processes::new(1, |_| Command::new("/nowhere/relay"));
    let error = processes.start(0).await.unwrap_err().to_string();
    assert!(error.contains("cannot start /nowhere/relay"), "{error}");
}

#[tokio::test]
async fn who_listens_stops_gracefully() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let processes = polite(&ready);
    processes.start(0).await.unwrap();
    until(async || ready.exists()).await;
    assert_eq!(processes.stop(0).await.unwrap(), Stopped::Gracefully);
    processes.start(0).await.unwrap(); // its place is free
}

/// Nobody is there yet who would listen.
#[tokio::test]
async fn one_that_has_just_begun_may_be_ended_by_the_signal() {
    let processes = shell("exec sleep 600");
    processes.start(0).await.unwrap();
    assert_eq!(processes.stop(0).await.unwrap(), Stopped::Abruptly);
}

#[tokio::test]
async fn who_ends_by_itself_is_reported_once_and_leaves_a_free_place_and_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    for again in [false, true] {
        drop(std::fs::remove_file(&told));
        let script = format!("sleep 600 & echo $! > {0}.part; mv {0}.part {0}; exit 3", told.display());
        let processes = shell(script);
        processes.start(0).await.unwrap();
        let other = other(&told).await;
        // To go on is all that may be asked of it: paused before it ends, it would never end.
        until(async || {
            let asked = if again { processes.start(0).await } else { processes.resume(0).await };
            asked.is_err_and(|error| error.to_string().contains("by itself"))
        })
        .await;
        until(async || !is_alive(other)).await;
        processes.start(0).await.unwrap();
    }
}

#[tokio::test]
async fn who_ends_badly_or_not_at_all_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let short = Duration::from_millis(300);
    for (trap, patience, complaint) in [("exit 3", LONG, "ended with"), ("", short, "a process had not stopped")] {
        drop(std::fs::remove_file(&ready));
        let script = format!("trap '{trap}' TERM; : > {}; while :; do sleep 0.01; done", ready.display());
        let processes = shell(script).patience(patience);
        processes.start(0).await.unwrap();
        until(async || ready.exists()).await;
        let error = processes.stop(0).await.unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
        processes.start(0).await.unwrap(); // its place is free
    }
}

/// A script that runs a service, and what that starts.
#[tokio::test]
async fn what_a_process_started_is_asked_to_stop_too() {
    let folder = tempfile::tempdir().unwrap();
    let (told, done) = (folder.path().join("told"), folder.path().join("done"));
    // Later than the process itself.
    let slow = format!("trap 'sleep 0.3; : > {}; exit 0' TERM; while :; do sleep 0.01; done", done.display());
    let processes = with_another(&slow, &told);
    processes.start(0).await.unwrap();
    let other = other(&told).await;
    assert_eq!(processes.stop(0).await.unwrap(), Stopped::Gracefully);
    assert!(!is_alive(other) && done.exists(), "it is waited for");
}

#[tokio::test]
async fn what_a_process_started_must_stop_in_time_too() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let processes =
        with_another("trap '' TERM; while :; do sleep 0.01; done", &told).patience(Duration::from_millis(300));
    processes.start(0).await.unwrap();
    let other = other(&told).await;
    let error = processes.stop(0).await.unwrap_err().to_string();
    assert!(error.contains("what a process had started had not stopped"), "{error}");
    until(async || !is_alive(other)).await;
}

#[tokio::test]
async fn nothing_outlives_a_kill_or_the_service() {
    let folder = tempfile::tempdir().unwrap();
    for (told, kill) in [("killed", true), ("dropped", false)] {
        let told = folder.path().join(told);
        let processes = with_another("trap '' TERM; while :; do sleep 0.01; done", &told);
        processes.start(0).await.unwrap();
        let both = [id(&processes), other(&told).await];
        if kill {
            processes.kill(0).await.unwrap();
            assert!(!is_alive(both[1]), "it returns when it is gone");
        }
        drop(processes);
        until(async || !both.iter().any(|process| is_alive(*process))).await;
    }
}

#[tokio::test]
async fn nothing_outlives_this_program_however_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let processes = with_another("trap '' TERM HUP INT; while :; do sleep 0.01; done", &told);
    processes.start(0).await.unwrap();
    other(&told).await;
    // Another one takes its place.
    processes.kill(0).await.unwrap();
    std::fs::remove_file(&told).unwrap();
    processes.start(0).await.unwrap();
    let other = other(&told).await;
    processes.watchdog().unwrap().close();
    until(async || !is_alive(other)).await;
    let killed = "had ended by itself with signal: 9";
    until(async || processes.resume(0).await.is_err_and(|error| error.to_string().contains(killed))).await;
}

/// Of one that is dropped, the process gets what it was to get.
#[tokio::test]
async fn a_stop_that_is_dropped_may_be_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, go) = (folder.path().join("ready"), folder.path().join("go"));
    let script = format!(
        "trap 'while [ ! -e {} ]; do sleep 0.01; done; exit 0' TERM; : > {}; while :; do sleep 0.01; done",
        go.display(),
        ready.display()
    );
    let processes = shell(script);
    processes.start(0).await.unwrap();
    until(async || ready.exists()).await;
    assert!(tokio::time::timeout(Duration::ZERO, processes.stop(0)).await.is_err());
    assert!(processes.start(0).await.is_err(), "it is still there");
    std::fs::write(&go, "").unwrap();
    // Either it has ended meanwhile, which was what was wanted, or it is waited for.
    drop(processes.stop(0).await);
    processes.start(0).await.unwrap();
}
