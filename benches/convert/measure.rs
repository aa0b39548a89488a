//! Measures the time of a program, and the memory of its largest process.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One run.
pub(crate) struct Run {
    pub(crate) wall: Duration,
    /// The highest resident size of any of its processes, in bytes; 0 if `/proc` does not show it.
    pub(crate) peak: u64,
    /// How many bytes it wrote to the disk, at once or later; 0 if `/proc` does not show it.
    pub(crate) written: u64,
}

/// Runs a program to its end.
pub(crate) fn measure(command: &mut Command) -> Run {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let (mut peak, mut written) = (0, 0);
    // The high-water mark only rises, so the last reading before the end counts.
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(highest(child.id()));
        written = written.max(given_to_disk(child.id()));
        std::thread::sleep(Duration::from_millis(1));
    };
    let wall = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    Run { wall, peak, written }
}

/// Returns the high-water mark of a process and of its descendants.
fn highest(process: u32) -> u64 {
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
    let status = read("status");
    let own =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    let children = read(&format!("task/{process}/children"));
    let children = children.split_whitespace().filter_map(|child| child.parse().ok()).map(highest);
    children.chain(own.map(|kilobytes: u64| kilobytes * 1024)).max().unwrap_or(0)
}

fn given_to_disk(process: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.trim().parse().ok()).unwrap_or(0)
}
