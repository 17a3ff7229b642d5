//! Commands that tests run to their end, and children that end with the test.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// A child process, which ends with this value.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end. Returns what it wrote, as an error if it failed or took too long.
pub fn run(command: &mut Command, limit: Duration) -> Result<String, String> {
    let (mut reader, writer) = io::pipe().map_err(|error| error.to_string())?;
    let both = writer.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(writer).stderr(both);
    let mut process = Process(command.spawn().map_err(|error| error.to_string())?);
    command.stdout(Stdio::null()).stderr(Stdio::null()); // Drops our ends of the pipe, which then has an end.
    let (sender, output) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes)); // Nobody listens if it took too long.
    });
    let bytes = output
        .recv_timeout(limit)
        .map_err(|_| format!("it took more than {} s", limit.as_secs()))?
        .map_err(|error| error.to_string())?;
    let output = String::from_utf8_lossy(&bytes).into_owned();
    let status = process.0.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(output) } else { Err(format!("{status}\n{output}")) }
}
