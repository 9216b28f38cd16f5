//! What this machine can do at most, measured: arithmetic of the instruction set in use, and bandwidth.

use crate::sizes;
use cygnet_kernels::Features;
use cygnet_kernels::peak::Peak;
use serde::Serialize;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Time for each measurement.
const WINDOW: Duration = Duration::from_millis(40);
/// Rounds of a burst of arithmetic: about a tenth of a millisecond, so that some bursts meet no disturbance.
const ROUNDS: usize = 20_000;
/// Bytes read between two looks at the clock.
const READ_BYTES: usize = 4 << 20;
/// Caches of the first and second level where the system does not tell.
const USUAL: (u64, u64) = (32 << 10, 512 << 10);
/// Bounds of what is read as memory: more than most caches hold, less than small machines miss.
const MEMORY_BYTES: (u64, u64) = (64 << 20, 256 << 20);

/// A place that data come from.
#[derive(Serialize, Clone, Debug)]
pub struct Level {
    /// `L1`, `L2`, `L3`, or `memory`.
    pub name: String,
    /// What a thread's share of it holds; memory holds everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds_bytes: Option<u64>,
    /// Read bandwidth of all threads together, 10^9 bytes a second.
    pub gigabytes_per_second: f64,
}

/// The limits of some cores at once.
#[derive(Serialize, Clone, Debug)]
pub struct Machine {
    /// The processor, where the system names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Threads that were measured at once; figures are their sums.
    pub threads: u16,
    /// Instruction set of float arithmetic.
    pub float_isa: String,
    /// Instruction set of 8-bit arithmetic.
    pub integer_isa: String,
    /// 10^9 float operations a second, two a multiply-add.
    pub peak_gflops: f64,
    /// 10^9 8-bit operations a second, two a multiply-add.
    pub peak_gops: f64,
    /// Nearest first; the last is memory.
    pub bandwidth: Vec<Level>,
    /// What measuring took.
    pub measured_ms: f64,
}

impl Machine {
    /// Least time in microseconds to read `bytes` of a set of `reach` bytes that is gone through again and again, and the
    /// level that takes most of it. A level keeps as much of the set as it holds; the rest comes from those behind it.
    pub fn read_time(&self, bytes: u64, reach: u64) -> (f64, &str) {
        let (mut total, mut slowest) = (0.0, ("", 0.0));
        let mut nearer = 0.0;
        for level in &self.bandwidth {
            let holds = level.holds_bytes.unwrap_or(u64::MAX);
            let kept = (holds as f64 / reach.max(1) as f64).min(1.0);
            let part = bytes as f64 * (kept - nearer).max(0.0);
            let time = part / level.gigabytes_per_second / 1e3;
            nearer = kept;
            total += time;
            if time > slowest.1 {
                slowest = (level.name.as_str(), time);
            }
        }
        (total, slowest.0)
    }
}

/// The best rate of `burst`, which says how much it did, in 10^9 a second.
fn best(mut burst: impl FnMut() -> u64) -> f64 {
    let begin = Instant::now();
    let mut best = 0.0f64;
    loop {
        let start = Instant::now();
        let work = burst();
        let nanos = start.elapsed().as_nanos().max(1);
        best = best.max(work as f64 / nanos as f64);
        if begin.elapsed() > WINDOW {
            return best;
        }
    }
}

/// Size of the data cache of level `level`, where the system tells.
fn cache_bytes(level: u32) -> Option<u64> {
    let folder = std::path::Path::new("/sys/devices/system/cpu/cpu0/cache");
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let read = |name: &str| {
            let text = std::fs::read_to_string(entry.path().join(name)).ok()?;
            Some(text.trim().to_owned())
        };
        let found = read("level").and_then(|l| l.parse().ok());
        if found == Some(level) && read("type").as_deref() != Some("Instruction") {
            return sizes::parse(&read("size")?).ok().filter(|&b| b > 0);
        }
    }
    None
}

fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The levels, with the bytes that a thread reads to measure each.
fn levels(threads: u64) -> Vec<(&'static str, Option<u64>, u64)> {
    let l1 = cache_bytes(1).unwrap_or(USUAL.0);
    let l2 = cache_bytes(2).unwrap_or(USUAL.1);
    let mut list = vec![("L1", Some(l1), l1 / 2), ("L2", Some(l2), l2 / 2)];
    let l3 = cache_bytes(3).map(|b| b / threads).filter(|&b| b > l2);
    if let Some(l3) = l3 {
        list.push(("L3", Some(l3), l3 / 2));
    }
    let all = 4 * l3.unwrap_or(l2) * threads;
    list.push((
        "memory",
        None,
        all.clamp(MEMORY_BYTES.0, MEMORY_BYTES.1) / threads,
    ));
    list
}

/// What one thread finds; all threads measure the same at the same time.
fn one(peak: &Peak, levels: &[(&str, Option<u64>, u64)], together: &Barrier) -> Vec<f64> {
    let largest = levels.iter().map(|l| l.2).max().unwrap_or(0) as usize;
    let data = vec![1.0f32; largest / size_of::<f32>()];
    let mut found = Vec::new();
    together.wait();
    found.push(best(|| peak.float(ROUNDS)));
    together.wait();
    found.push(best(|| peak.integer(ROUNDS)));
    for &(_, _, bytes) in levels {
        let part = &data[..bytes as usize / size_of::<f32>()];
        let times = (READ_BYTES / bytes.max(1) as usize).max(1);
        together.wait();
        found.push(best(|| {
            for _ in 0..times {
                black_box(peak.read(black_box(part)));
            }
            bytes * times as u64
        }));
    }
    found
}

/// Measures `threads` threads with these instruction sets.
pub fn measure(features: Features, threads: u16) -> Machine {
    let start = Instant::now();
    let peak = Peak::for_features(features);
    let threads = threads.max(1);
    let levels = levels(u64::from(threads));
    let together = Barrier::new(threads as usize);
    let found: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let run = || one(&peak, &levels, &together);
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut all = vec![run()];
        all.extend(others.into_iter().filter_map(|t| t.join().ok()));
        all
    });
    let sum = |i: usize| found.iter().map(|f| f[i]).sum::<f64>();
    Machine {
        cpu: cpu_name(),
        threads,
        float_isa: peak.float_name().to_owned(),
        integer_isa: peak.integer_name().to_owned(),
        peak_gflops: sum(0),
        peak_gops: sum(1),
        bandwidth: levels
            .iter()
            .enumerate()
            .map(|(i, &(name, holds_bytes, _))| Level {
                name: name.to_owned(),
                holds_bytes,
                gigabytes_per_second: sum(2 + i),
            })
            .collect(),
        measured_ms: start.elapsed().as_secs_f64() * 1e3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_quickly() {
        let machine = measure(Features::ALL, 2);
        assert!(machine.peak_gflops > 0.0 && machine.peak_gops > 0.0);
        assert!(
            machine
                .bandwidth
                .iter()
                .all(|l| l.gigabytes_per_second > 0.0)
        );
        let names: Vec<_> = machine.bandwidth.iter().map(|l| l.name.as_str()).collect();
        assert_eq!((names[0], names[names.len() - 1]), ("L1", "memory"));
    }

    #[test]
    fn what_a_level_does_not_hold_comes_from_the_next() {
        let level = |name: &str, holds_bytes, gigabytes_per_second| Level {
            name: name.to_owned(),
            holds_bytes,
            gigabytes_per_second,
        };
        let machine = Machine {
            cpu: None,
            threads: 1,
            float_isa: String::new(),
            integer_isa: String::new(),
            peak_gflops: 1.0,
            peak_gops: 1.0,
            bandwidth: vec![level("L2", Some(1000), 100.0), level("memory", None, 10.0)],
            measured_ms: 0.0,
        };
        assert_eq!(machine.read_time(1000, 1000), (0.01, "L2"));
        let (time, slowest) = machine.read_time(1000, 4000);
        assert!((time - (0.0025 + 0.075)).abs() < 1e-12 && slowest == "memory");
        assert_eq!(machine.read_time(0, 0), (0.0, ""));
    }
}
