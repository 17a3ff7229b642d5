//! The process's own memory and processor time, read when somebody asks.

use opentelemetry::metrics::Meter;

use super::semconv;

/// Ticks of processor time per second; the kernel's interface has had this value on every architecture.
const TICKS: f64 = 100.0;

/// Has the process's metrics observed. Where the system does not tell, there are none.
pub(super) fn observe(meter: &Meter) {
    let memory = semconv::MEMORY;
    meter
        .i64_observable_up_down_counter(memory.name)
        .with_unit(memory.unit)
        .with_description(memory.help)
        .with_callback(|observer| {
            if let Some(bytes) = read("/proc/self/status").and_then(|text| resident(&text)) {
                observer.observe(bytes, &[]);
            }
        })
        .build();
    let time = semconv::CPU_TIME;
    meter
        .f64_observable_counter(time.name)
        .with_unit(time.unit)
        .with_description(time.help)
        .with_callback(|observer| {
            if let Some(seconds) = read("/proc/self/stat").and_then(|text| processor_time(&text)) {
                observer.observe(seconds, &[]);
            }
        })
        .build();
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok() // Another system than Linux: it does not tell.
}

/// Bytes of resident memory.
fn resident(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?; // Another format: not known.
    Some(kilobytes << 10)
}

/// Seconds of processor time, in user mode and in the kernel.
fn processor_time(stat: &str) -> Option<f64> {
    // The name of the process stands in parentheses, and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?; // Another format: not known.
    let system: u64 = fields.next()?.parse().ok()?; // The same.
    Some((user + system) as f64 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    8164 kB\nThreads:\t3\n"), Some(8164 << 10));
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    fn processor_time_is_user_and_kernel() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 500 0 0 0 250 50 0 0 20 0 3 0 9 1 1";
        assert_eq!(processor_time(stat), Some(3.0));
    }
}
