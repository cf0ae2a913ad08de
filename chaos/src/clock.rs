//! Wall clocks that jump, of single processes.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

const SOURCE: &str = include_str!("../clock/clock.c");
/// The file by which a process's clock is moved.
const VARIABLE: &str = "OUTBOX_CHAOS_CLOCK";

/// A folder with what is loaded into the processes, and a file for each clock. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Clocks {
    folder: tempfile::TempDir,
    library: PathBuf,
}

/// The wall clock of whoever was started with its [`variables`](Self::variables).
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clocks {
    /// Compiles what is loaded into the processes. On Linux alone is there a way to load it.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("outbox-chaos-clock-").tempdir()?;
        // Database servers run under accounts of their own.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let library = folder.path().join("clock.so");
        compile(SOURCE, &library, &["-shared", "-fPIC"])?;
        Ok(Self { folder, library })
    }

    /// A clock that shows the real time.
    pub(crate) fn clock(&self, name: &str) -> anyhow::Result<Clock> {
        let clock = Clock { file: self.folder.path().join(name), library: self.library.clone() };
        File::create_new(&clock.file)?;
        clock.set(0)?;
        Ok(clock)
    }
}

fn compile(source: &str, to: &Path, options: &[&str]) -> anyhow::Result<()> {
    let mut compiler = Command::new("cc");
    compiler.args(options).args(["-O2", "-x", "c", "-", "-o"]).arg(to).stdin(Stdio::piped());
    let mut compiler = compiler.spawn().context("clocks that jump need a C compiler, called cc")?;
    compiler.stdin.take().context("the compiler's input")?.write_all(source.as_bytes())?;
    ensure!(compiler.wait()?.success(), "what moves clocks does not compile");
    Ok(())
}

impl Clock {
    /// What a process that goes by this clock has in its environment.
    pub(crate) fn variables(&self) -> anyhow::Result<[(&'static str, String); 2]> {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
        Ok([("LD_PRELOAD", text(&self.library)?), (VARIABLE, text(&self.file)?)])
    }

    /// From now on it is so many seconds before the real time, or behind it.
    pub(crate) fn set(&self, ahead: i64) -> anyhow::Result<()> {
        // In place: the file is mapped where it is read.
        let file = File::options().write(true).open(&self.file)?;
        file.write_all_at(&ahead.to_ne_bytes(), 0).context("a clock's file")
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::history;

    /// A process prints its time whenever it is asked to.
    #[test]
    fn a_running_process_sees_its_clock_jump() {
        let clocks = Clocks::build().unwrap();
        let (moved, other) = (clocks.clock("moved").unwrap(), clocks.clock("other").unwrap());
        let mut processes = [&moved, &other].map(|clock| {
            Command::new("sh")
                .args(["-c", "while read _; do date +%s; done"])
                .envs(clock.variables().unwrap())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        });
        let mut seen = [Vec::new(), Vec::new()];
        for ahead in [0, 86_400, -86_400] {
            moved.set(ahead).unwrap();
            for (process, seen) in processes.iter_mut().zip(&mut seen) {
                process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
                seen.push(line(process.stdout.as_mut().unwrap()).parse::<i64>().unwrap() - now());
            }
        }
        for mut process in processes {
            drop(process.stdin.take());
            process.wait().unwrap();
        }
        let near = |seen: &[i64], expected: [i64; 3]| seen.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 100);
        assert!(near(&seen[0], [0, 86_400, -86_400]) && near(&seen[1], [0; 3]), "{seen:?}");
    }

    /// Waits until a time of day, as programs have them, end after the 0.2 s that they are told to, whatever the clock
    /// says; what does not end is killed.
    #[test]
    fn a_wait_lasts_as_long_as_it_was_told_to() {
        const WAITS: &str = r#"
            #include <pthread.h>
            #include <semaphore.h>
            #include <threads.h>
            #include <time.h>
            static struct timespec soon(int c11) {
                struct timespec at;
                if (c11) timespec_get(&at, TIME_UTC); else clock_gettime(CLOCK_REALTIME, &at);
                at.tv_nsec += 200000000;
                if (at.tv_nsec >= 1000000000) { at.tv_sec++; at.tv_nsec -= 1000000000; }
                return at;
            }
            static long now(void) {
                struct timespec at;
                clock_gettime(CLOCK_MONOTONIC, &at);
                return at.tv_sec * 1000 + at.tv_nsec / 1000000;
            }
            int main(void) {
                pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
                pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
                sem_t semaphore;
                mtx_t mutex;
                cnd_t signal;
                sem_init(&semaphore, 0, 0);
                mtx_init(&mutex, mtx_plain);
                cnd_init(&signal);
                for (int wait = 0; wait < 3; wait++) {
                    long begun = now();
                    struct timespec until = soon(wait == 2);
                    if (wait == 0) { pthread_mutex_lock(&lock); pthread_cond_timedwait(&condition, &lock, &until); }
                    if (wait == 1) sem_timedwait(&semaphore, &until);
                    if (wait == 2) { mtx_lock(&mutex); cnd_timedwait(&signal, &mutex, &until); }
                    if (now() - begun < 190) return wait + 1;
                }
                return 0;
            }"#;
        let clocks = Clocks::build().unwrap();
        let clock = clocks.clock("clock").unwrap();
        let program = clocks.folder.path().join("waits");
        compile(WAITS, &program, &["-pthread"]).unwrap();
        for ahead in [0, -86_400, 86_400] {
            clock.set(ahead).unwrap();
            // By the real clock, and so not to be fooled.
            let mut waits = Command::new(&program).envs(clock.variables().unwrap()).spawn().unwrap();
            let begun = Instant::now();
            let status = loop {
                match waits.try_wait().unwrap() {
                    Some(status) => break status.code(),
                    None if begun.elapsed() > Duration::from_secs(30) => {
                        waits.kill().unwrap();
                        break waits.wait().unwrap().code();
                    }
                    None => std::thread::sleep(Duration::from_millis(5)),
                }
            };
            assert_eq!(status, Some(0), "{ahead} s ahead");
        }
    }

    fn now() -> i64 {
        history::now() / 1_000
    }

    fn line(from: &mut impl Read) -> String {
        let (mut line, mut byte) = (String::new(), [0]);
        while matches!(from.read(&mut byte), Ok(1)) && byte[0] != b'\n' {
            line.push(char::from(byte[0]));
        }
        line
    }
}
