//! What a process holds, as the kernel tells it, and the fake provider as a process of its own.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A process that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

/// What it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    pub threads: u64,
    pub descriptors: usize,
    /// TCP connections that are not over: those that it took, and those that it made.
    pub taken: usize,
    pub made: usize,
    /// Resident memory, in KiB.
    pub memory: u64,
}

impl Process {
    pub fn holdings(self) -> Holdings {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let (taken, made) = self.connections();
        Holdings {
            threads: number("Threads:"),
            descriptors: self.links().len(),
            taken,
            made,
            memory: number("VmRSS:"),
        }
    }

    /// Where its descriptors lead.
    fn links(self) -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap();
        // One that was closed in the meantime is none.
        let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.map(|link| link.display().to_string()).collect()
    }

    fn connections(self) -> (usize, usize) {
        let links = self.links();
        let inodes: HashSet<&str> =
            links.iter().filter_map(|link| link.strip_prefix("socket:[")?.strip_suffix(']')).collect();
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.0)).unwrap();
        let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ours = rows.filter(|row| inodes.contains(row[9]));
        const LISTENING: &str = "0A";
        let (listening, connections): (Vec<_>, Vec<_>) = ours.partition(|row| row[3] == LISTENING);
        let ports: HashSet<&str> = listening.iter().map(|row| row[1]).collect();
        let taken = connections.iter().filter(|row| ports.contains(row[1])).count();
        (taken, connections.len() - taken)
    }
}

/// Has this process and those that it starts open so many files; false if it may not.
pub fn may_open(files: usize) -> bool {
    let id = std::process::id().to_string();
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft = line.split_whitespace().nth(3).unwrap();
    if soft == "unlimited" || soft.parse::<usize>().unwrap() >= files {
        return true;
    }
    let raised = Command::new("prlimit").args(["--pid", &id, &format!("--nofile={files}:")]).status();
    raised.is_ok_and(|status| status.success())
}

/// The fake provider in a process of its own; it ends with this value.
pub struct Mock {
    pub address: SocketAddr,
    child: Child,
}

impl Mock {
    pub fn start() -> Mock {
        Mock::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Ends it, and starts it again where it was: connections to it are over.
    pub fn again(self) -> Mock {
        let address = self.address;
        drop(self);
        Mock::start_at(address)
    }

    fn start_at(address: SocketAddr) -> Mock {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(["mock", "--listen", &address.to_string()]).env_clear();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().split("http://").nth(1).and_then(|rest| rest.strip_suffix("/v1"));
        let address = address.unwrap_or_else(|| panic!("the mock says: {line}")).parse().unwrap();
        Mock { address, child }
    }

    /// Where it holds what.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        // It runs until now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
