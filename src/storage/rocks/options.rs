//! How RocksDB is set up, each choice with its reason, and what of it can change while the
//! database is open ([`Tuning`]). All sizes follow from the engine's share of the memory
//! budget; nothing here depends on what is stored, only on how each family is read.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BlockBasedTablePinningTier, Cache, ColumnFamilyDescriptor,
    DBCompressionType, DBRecoveryMode, LogLevel, Options, WriteBufferManager, statistics::StatsLevel,
};

use super::ffi::{self, Database, Outcome};
use super::open::{OpenOptions, Recovery};
use crate::storage::Family;
use crate::storage::budget::EngineBudget;

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;

/// Bits a key in the filters: about one false positive in a hundred.
const FILTER_BITS: f64 = 10.0;

/// The bytes by which keys of a family belong together: the object id. Every key of such a
/// family is at least as long, without which RocksDB's automatic prefix mode would miss keys.
pub(super) const fn prefix_bytes(family: Family) -> Option<usize> {
    match family {
        Family::Data | Family::Scores => Some(8),
        Family::Keys | Family::Objects | Family::Expiry | Family::System => None,
    }
}

/// Memtables a family may have: one filling, the others waiting for their flush.
const MEMTABLES: u64 = 3;

/// One memtable of a family, as a share of all: busy families get more. Three of the largest
/// are the budget, so a family under load is flushed in pieces while it fills the next, and
/// the write-buffer manager only steps in when several are busy at once. Smaller ones would
/// bound memory better and cost more: each flush makes a file that reads must look into and
/// compactions must merge.
fn memtable_bytes(family: Family, budget: &EngineBudget) -> u64 {
    let all = budget.write_buffer_bytes;
    match family {
        Family::Keys | Family::Data => (all / 3).clamp(MB, 256 * MB),
        Family::Scores | Family::Expiry => (all / 6).clamp(512 * KB, 128 * MB),
        Family::Objects => (all / 12).clamp(256 * KB, 64 * MB),
        Family::System => 256 * KB,
    }
}

/// The write-ahead log may hold this much before families with old data in it are flushed:
/// it bounds disk space and the time of a restart after a crash.
fn wal_bytes(budget: &EngineBudget) -> u64 {
    (budget.write_buffer_bytes * 4).clamp(64 * MB, 1024 * MB)
}

/// Open table files: each reader holds some tens of kilobytes outside the block cache.
fn open_files(budget: &EngineBudget, descriptors: u64) -> i32 {
    let by_memory = (budget.block_cache_bytes / (64 * KB)).max(256);
    let files = by_memory.min(descriptors / 2).clamp(64, 1 << 20);
    i32::try_from(files).unwrap_or(i32::MAX)
}

/// What of the set-up lives on, is asked for figures, or changes with the budget.
pub(super) struct Tuning {
    block_cache: Cache,
    memtables: WriteBufferManager,
    /// The options of the open database, which own its statistics.
    pub(super) options: Options,
}

impl Tuning {
    fn new(budget: &EngineBudget) -> Self {
        // One cache for all: data, index and filter blocks compete by use. HyperClockCache has
        // no lock on the path of a hit.
        let block_cache = Cache::new_hyper_clock_cache(size(budget.block_cache_bytes), 0);
        // Without stalling: a full disk would park writers for good, where RocksDB's own limit
        // on memtables a family gives them the error. See `memtable_bytes`.
        let memtables = WriteBufferManager::new_write_buffer_manager(size(budget.write_buffer_bytes), false);
        Self { block_cache, memtables, options: Options::default() }
    }

    /// Bytes in use by the block cache.
    pub(super) fn block_cache_bytes(&self) -> u64 {
        self.block_cache.get_usage() as u64
    }

    /// Bytes of all memtables, arenas included.
    pub(super) fn memtable_bytes(&self) -> u64 {
        self.memtables.get_usage() as u64
    }

    /// Splits a new budget among the parts of an open database.
    pub(super) fn apply(&self, budget: &EngineBudget, database: &Database) -> Outcome<()> {
        self.block_cache.clone().set_capacity(size(budget.block_cache_bytes));
        self.memtables.set_buffer_size(size(budget.write_buffer_bytes));
        for family in Family::ALL {
            let Some(handle) = database.db().cf_handle(family.name()) else {
                continue;
            };
            let bytes = memtable_bytes(family, budget).to_string();
            let changed = database.db().set_options_cf(handle, &[("write_buffer_size", &bytes)]);
            changed.map_err(rocksdb::Error::into_string)?;
        }
        database.set_options(&[("max_total_wal_size", &wal_bytes(budget).to_string())])
    }
}

/// Byte counts as RocksDB takes them.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The set-up of the database, and of each family.
pub(super) fn prepare(open: &OpenOptions) -> (Tuning, Vec<ColumnFamilyDescriptor>) {
    let mut tuning = Tuning::new(&open.budget);
    tuning.options = database_options(open, &tuning);
    let descriptor = |family: Family| {
        ColumnFamilyDescriptor::new(family.name(), family_options(family, &open.budget, &tuning.block_cache))
    };
    let families = Family::ALL.into_iter().map(descriptor).collect();
    (tuning, families)
}

fn database_options(open: &OpenOptions, tuning: &Tuning) -> Options {
    let mut options = Options::default();
    options.create_if_missing(open.create_if_missing);
    options.create_missing_column_families(open.create_if_missing);
    set_integrity(&mut options, open.recovery);
    set_writing(&mut options, open, tuning);
    set_background(&mut options, open);
    set_reporting(&mut options);
    options.set_max_open_files(open_files(&open.budget, open.descriptors));
    options
}

/// Checks that are cheap and on, and what a torn log means.
fn set_integrity(options: &mut Options, recovery: Recovery) {
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(match recovery {
        // A killed process or a power cut may tear the last record, which nobody was told is
        // safe. Anything damaged before it is reported and refused, where RocksDB's default
        // (point in time) would drop all that follows without a word.
        Recovery::TornTail => DBRecoveryMode::TolerateCorruptedTailRecords,
        Recovery::PointInTime => DBRecoveryMode::PointInTime,
    });
    // The manifest knows which logs were synced, so that a missing one is noticed.
    options.set_track_and_verify_wals_in_manifest(true);
    // A log left by a crash is complete without a flush on shutdown: stopping is quick.
    ffi::set_avoid_flush_during_shutdown(options, true);
}

fn set_writing(options: &mut Options, open: &OpenOptions, tuning: &Tuning) {
    // Each commit reaches the kernel before it returns: a killed process loses nothing.
    options.set_manual_wal_flush(false);
    options.set_write_buffer_manager(&tuning.memtables);
    options.set_max_total_wal_size(wal_bytes(&open.budget));
    // Written pages trickle to the disk, so that an fsync finds little left to do.
    options.set_wal_bytes_per_sync(MB);
    options.set_bytes_per_sync(MB);
    // Not `unordered_write`, which takes the meaning out of snapshots; nor `pipelined_write`,
    // with which two writers at once were slower.
}

fn set_background(options: &mut Options, open: &OpenOptions) {
    options.set_max_background_jobs(open.background_threads.max(2));
    if open.background_threads >= 8 {
        options.set_max_subcompactions(2);
    }
    // No rate limit, and no lower priority for compactions: what they fall behind comes back
    // as stalls. `bytes_per_sync` keeps their writes from piling up before an fsync.
    // Reads ahead into a buffer of its own, one for each file of a running compaction.
    let readahead = if open.budget.block_cache_bytes < 128 * MB { 256 * KB } else { 2 * MB };
    options.set_compaction_readahead_size(size(readahead));
    // Statistics are read from properties; nothing needs periodic dumps.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
}

fn set_reporting(options: &mut Options) {
    options.enable_statistics();
    // Counters only: histograms and timers cost a clock reading on each operation.
    options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    options.set_log_level(LogLevel::Info);
    options.set_max_log_file_size(size(16 * MB));
    options.set_keep_log_file_num(4);
}

fn family_options(family: Family, budget: &EngineBudget, block_cache: &Cache) -> Options {
    let mut options = with_prefix(prefix_bytes(family));
    options.set_block_based_table_factory(&table_options(family, block_cache));
    set_memtable(&mut options, family, budget);
    set_levels(&mut options, family, budget);
    options
}

/// Options that know how long a family's prefix is. Set by text, because the extractor that
/// RocksDB's C interface makes hides that all its prefixes are of one length, without which
/// automatic prefix mode never uses a filter.
fn with_prefix(bytes: Option<usize>) -> Options {
    let mut options = Options::default();
    match bytes {
        None => options,
        Some(bytes) => options
            .get_options_from_string(format!("prefix_extractor=fixed:{bytes}"))
            .expect("an option that RocksDB knows"),
    }
}

fn set_memtable(options: &mut Options, family: Family, budget: &EngineBudget) {
    options.set_write_buffer_size(size(memtable_bytes(family, budget)));
    options.set_max_write_buffer_number(MEMTABLES as i32);
    // Without a filter of the memtable: measured, it costs a put 0.3 to 0.5 µs of 3, and a key
    // that was just written is in the record cache anyway.
}

fn set_levels(options: &mut Options, family: Family, budget: &EngineBudget) {
    // Level sizes grow from the last level upwards, which keeps space amplification near 1.1
    // at any size.
    options.set_level_compaction_dynamic_level_bytes(true);
    let memtable = memtable_bytes(family, budget);
    options.set_max_bytes_for_level_base((memtable * 4).clamp(16 * MB, 512 * MB));
    options.set_target_file_size_base(memtable.clamp(8 * MB, 64 * MB));
    // Fast where data is rewritten often, dense where most of it comes to rest.
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    if family != Family::System {
        // A file with many tombstones close together is compacted before a scan trips over it.
        options.add_compact_on_deletion_collector_factory(8192, 4096, 0.5);
    }
}

fn table_options(family: Family, block_cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(block_cache);
    // Index and filter blocks count against the budget and leave memory when unused.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    // New files are in the way of every read: their index and filters stay.
    table.set_unpartitioned_pinning_tier(BlockBasedTablePinningTier::FlushAndSimilar);
    // A few kilobytes a file, in the way of every read of it; `open_files` bounds them.
    table.set_top_level_index_pinning_tier(BlockBasedTablePinningTier::All);
    table.set_optimize_filters_for_memory(true);
    match family {
        Family::Keys | Family::Objects => {
            // Point reads above all: small blocks. A hash index inside them gained nothing
            // that could be measured.
            table.set_block_size(size(4 * KB));
            table.set_bloom_filter(FILTER_BITS, false);
        }
        // A filter of whole keys and of object ids: a scan skips files without its object.
        Family::Data | Family::Scores => {
            table.set_block_size(size(8 * KB));
            table.set_bloom_filter(FILTER_BITS, false);
        }
        Family::Expiry => table.set_block_size(size(8 * KB)), // Only scanned.
        Family::System => {}
    }
    if matches!(family, Family::Keys | Family::Data | Family::Scores) {
        // Data far beyond memory: pieces of index and filter are cached, not all or nothing,
        // which would be megabytes a file. It costs a cached read some 0.5 µs of 3.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(write_buffer_bytes: u64) -> EngineBudget {
        EngineBudget { block_cache_bytes: 4 * write_buffer_bytes, write_buffer_bytes }
    }

    #[test]
    fn one_busy_family_keeps_to_the_share_and_all_at_once_stay_bounded() {
        for all in [16 * MB, 64 * MB, 512 * MB, 1024 * MB] {
            let worst = Family::ALL.map(|family| MEMTABLES * memtable_bytes(family, &budget(all)));
            assert!(worst.iter().all(|family| *family <= all), "{worst:?} of {all}");
            assert!(worst.iter().sum::<u64>() <= all * 7 / 2, "{worst:?} of {all}");
        }
    }

    #[test]
    fn open_files_follow_memory_and_the_limit_on_descriptors() {
        assert_eq!(open_files(&budget(8 * MB), 1_000_000), 512);
        assert_eq!(open_files(&budget(1024 * MB), 1024), 512);
        assert_eq!(open_files(&budget(0), 10), 64);
    }
}
