//! What this process has cost so far, from /proc.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The unit of `utime`, `stime` and `steal`: `USER_HZ`, 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// Sums since the start of the process (`steal`: of the machine). Subtract two of them with [`since`](Self::since).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// CPU time in all, to the nanosecond.
    pub total: Duration,
    /// Of it in user mode, to 10 ms.
    pub user: Duration,
    /// Of it in the kernel, to 10 ms.
    pub system: Duration,
    /// Time that living threads were runnable but had no CPU.
    pub run_queue_wait: Duration,
    /// Resident memory now, in bytes.
    pub rss_bytes: u64,
    /// CPUs this process may use.
    pub cores: u32,
    /// Time that a hypervisor took from this machine, all CPUs; `None` where the kernel does not say.
    pub steal: Option<Duration>,
}

impl Usage {
    /// What was spent between `earlier` and this; memory and cores as they are in this.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            // Goes down when a thread ends, and its wait is forgotten.
            run_queue_wait: self.run_queue_wait.saturating_sub(earlier.run_queue_wait),
            rss_bytes: self.rss_bytes,
            cores: self.cores,
            steal: self.steal.zip(earlier.steal).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// Asks now. Costs tens of microseconds: once a second, not once a request. What /proc does not say is zero.
pub fn usage() -> Usage {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let total = Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0));
    let (user, system, rss_pages) =
        fs::read_to_string("/proc/self/stat").ok().and_then(|s| parse_stat(&s)).unwrap_or_default();
    Usage {
        total,
        user,
        system,
        run_queue_wait: run_queue_wait(),
        rss_bytes: rss_pages * rustix::param::page_size() as u64,
        cores: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        steal: fs::read_to_string("/proc/stat").ok().and_then(|s| parse_steal(&s)),
    }
}

/// User time, system time, resident pages: fields 14, 15 and 24 of proc(5), counted after the name, which may hold anything.
fn parse_stat(text: &str) -> Option<(Duration, Duration, u64)> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|f| f.parse::<u64>().ok());
    Some((ticks(field(14)?), ticks(field(15)?), field(24)?))
}

/// The eighth number of the `cpu` line of proc(5).
fn parse_steal(text: &str) -> Option<Duration> {
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    line.split_ascii_whitespace().nth(8)?.parse().ok().map(ticks)
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(TICK.as_millis() as u64))
}

fn run_queue_wait() -> Duration {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    tasks
        .filter_map(|task| {
            // A thread may end between the listing and this.
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            parse_schedstat(&text)
        })
        .sum()
}

/// The second number: nanoseconds spent waiting on a run queue.
fn parse_schedstat(text: &str) -> Option<Duration> {
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// 16 hexadecimal digits, drawn once a process: tells one incarnation from the next.
pub fn incarnation() -> &'static str {
    static INCARNATION: OnceLock<String> = OnceLock::new();
    INCARNATION.get_or_init(|| {
        let mut random = [0; 8];
        let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let drawn = if filled == Ok(8) { u64::from_le_bytes(random) } else { drawn_from_start() };
        format!("{drawn:016x}")
    })
}

/// Where the kernel gives no randomness: pids repeat, but not in the same nanosecond.
fn drawn_from_start() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_nanos() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(std::process::id()).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 3 0 999 1048576 512 18446744073709551615 1 1 0";
        assert_eq!(parse_stat(stat), Some((Duration::from_millis(2500), Duration::from_millis(310), 512)));
        assert_eq!(parse_stat("7 (a) S 1"), None);
        assert_eq!(parse_steal("cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1\n"), Some(Duration::from_millis(800)));
        assert_eq!(parse_steal("cpu  1 2 3\n"), None);
        assert_eq!(parse_schedstat("123 4567 8\n"), Some(Duration::from_nanos(4567)));
        assert_eq!(parse_schedstat("0"), None);
    }

    #[test]
    fn burnt_cpu_shows_up() {
        let before = usage();
        let mut x = 1u64;
        while usage().since(&before).total < Duration::from_millis(30) {
            for _ in 0..100_000 {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
        }
        let spent = usage().since(&before);
        assert!(spent.user + spent.system >= Duration::from_millis(10), "{spent:?}");
        assert!(spent.rss_bytes > 100_000 && spent.cores >= 1);
    }

    #[test]
    fn an_incarnation_is_sixteen_digits_and_stays() {
        let id = incarnation();
        assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(id, incarnation());
        assert_ne!(format!("{:016x}", drawn_from_start()), id);
    }
}
