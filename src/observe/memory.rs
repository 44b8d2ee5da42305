//! Memory and processor time of this process, as the allocator and the kernel tell.

use std::sync::atomic::{AtomicU64, Ordering};

static PEAK: AtomicU64 = AtomicU64::new(0);

/// Bytes that the program, RocksDB included, has allocated. 0 if the allocator does not tell.
pub fn allocated_bytes() -> u64 {
    // The allocator's figures are as of its last epoch.
    let _ = tikv_jemalloc_ctl::epoch::advance();
    let bytes = tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0) as u64;
    PEAK.fetch_max(bytes, Ordering::Relaxed);
    bytes
}

/// The most that [`allocated_bytes`] ever told.
pub fn peak_bytes() -> u64 {
    PEAK.load(Ordering::Relaxed)
}

/// Bytes of this process in memory (RSS). 0 if the kernel does not tell.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Bytes of memory in this machine; 0 if the kernel does not tell.
pub fn machine_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Processor time used so far, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuSeconds {
    pub user: f64,
    pub system: f64,
}

/// Processor time of all threads, in the kernel's ticks of 1/100 s.
pub fn cpu_seconds() -> CpuSeconds {
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields behind the name, which is in parentheses and may hold anything.
    let mut fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / TICKS_PER_SECOND;
    CpuSeconds { user: next(), system: next() }
}
