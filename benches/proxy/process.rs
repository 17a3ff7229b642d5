//! What a process and its children have used, as `/proc` tells it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::Failure;

/// Linux counts in hundredths of a second towards user space, on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// Tells the bench that it has been through `raise_file_limit`.
const RAISED: &str = "MILLPOND_BENCH_FILE_LIMIT_RAISED";

/// The CPU time of a process and its children so far.
pub struct Cpu {
    /// User and system time from `stat`.
    ticks: u32,
    /// Nanoseconds of each thread from `schedstat`: exact, but a thread takes its count with it when it ends.
    threads: BTreeMap<u32, u64>,
}

impl Cpu {
    pub fn of(process: u32) -> Result<Self, Failure> {
        let mut cpu = Self { ticks: 0, threads: BTreeMap::new() };
        for member in family(process)? {
            let stat = Stat::of(member)?;
            cpu.ticks += stat.user_ticks + stat.system_ticks;
            for thread in numbers_in(&format!("/proc/{member}/task"))? {
                // Not in every kernel; then the ticks have to do.
                let Ok(line) = fs::read_to_string(format!("/proc/{member}/task/{thread}/schedstat")) else {
                    continue;
                };
                cpu.threads.insert(thread, line.split(' ').next().unwrap_or_default().parse()?);
            }
        }
        Ok(cpu)
    }

    pub fn since(&self, before: &Self) -> Duration {
        let is_exact = !before.threads.is_empty()
            && before.threads.keys().all(|thread| self.threads.contains_key(thread));
        if is_exact {
            Duration::from_nanos(self.threads.values().sum::<u64>() - before.threads.values().sum::<u64>())
        } else {
            TICK * self.ticks.saturating_sub(before.ticks)
        }
    }
}

/// The resident memory of a process and its children, what they share counted for each.
///
/// The kernel's running count (`VmRSS`) is off by up to some hundred KiB on several processors, so the exact
/// one is asked for first.
pub fn resident_kib(process: u32) -> Result<u64, Failure> {
    let mut sum = 0;
    for member in family(process)? {
        sum += field(&format!("/proc/{member}/smaps_rollup"), "Rss:")
            .or_else(|_| field(&format!("/proc/{member}/status"), "VmRSS:"))?;
    }
    Ok(sum)
}

/// The process and its children.
pub fn family(process: u32) -> Result<Vec<u32>, Failure> {
    let is_child = |&other: &u32| Stat::of(other).is_ok_and(|stat| stat.parent == process);
    let mut family = vec![process];
    family.extend(numbers_in("/proc")?.into_iter().filter(is_child));
    Ok(family)
}

/// Makes sure that so many files can be open.
///
/// A process cannot raise its limit without unsafe code, but a shell can, so the bench starts again through
/// one; the children inherit it.
pub fn raise_file_limit(files: u64) -> Result<(), Failure> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next());
    // "unlimited" is no number, and no limit.
    if soft.and_then(|soft| soft.parse::<u64>().ok()).is_none_or(|soft| soft >= files) {
        return Ok(());
    }
    if std::env::var_os(RAISED).is_some() {
        return Err(format!(
            "{files} open files are needed, and the limit cannot be raised to that: try fewer streams"
        )
        .into());
    }
    let script = r#"ulimit -n "$(ulimit -H -n)"; exec "$0" "$@""#;
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(RAISED, "1");
    Err(shell.exec().into())
}

struct Stat {
    parent: u32,
    user_ticks: u32,
    system_ticks: u32,
}

impl Stat {
    fn of(process: u32) -> Result<Self, Failure> {
        let line = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name is in brackets and may hold anything, brackets too; the third field of proc_pid_stat(5)
        // follows it.
        let fields: Vec<&str> = line.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).ok_or("a short line in stat");
        Ok(Self {
            parent: field(4)?.parse()?,
            user_ticks: field(14)?.parse()?,
            system_ticks: field(15)?.parse()?,
        })
    }
}

fn numbers_in(folder: &str) -> Result<Vec<u32>, Failure> {
    let names = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

fn field(path: &str, name: &str) -> Result<u64, Failure> {
    let text = fs::read_to_string(path)?;
    let value =
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("no {name} in {path}"))?.parse()?)
}
