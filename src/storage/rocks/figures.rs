//! What RocksDB says about itself, gathered for INFO, metrics and background decisions. Every
//! figure is one that RocksDB keeps anyway; asking costs microseconds, but for the levels,
//! which are counted file by file.

use rocksdb::statistics::Ticker;

use super::ffi::Database;
use super::options::Tuning;
use crate::storage::{EngineFigures, Family};

/// The tickers worth showing, with the names they are shown by.
const TICKERS: [(&str, Ticker); 25] = [
    ("block_cache_data_hits", Ticker::BlockCacheDataHit),
    ("block_cache_data_misses", Ticker::BlockCacheDataMiss),
    ("block_cache_index_hits", Ticker::BlockCacheIndexHit),
    ("block_cache_index_misses", Ticker::BlockCacheIndexMiss),
    ("block_cache_filter_hits", Ticker::BlockCacheFilterHit),
    ("block_cache_filter_misses", Ticker::BlockCacheFilterMiss),
    ("filter_useful", Ticker::BloomFilterUseful),
    ("seeks_filtered_last_level", Ticker::LastLevelSeekFiltered),
    ("seeks_filtered_above", Ticker::NonLastLevelSeekFiltered),
    ("memtable_hits", Ticker::MemtableHit),
    ("memtable_misses", Ticker::MemtableMiss),
    ("level0_hits", Ticker::GetHitL0),
    ("level1_hits", Ticker::GetHitL1),
    ("level2_and_up_hits", Ticker::GetHitL2AndUp),
    ("keys_read", Ticker::NumberKeysRead),
    ("keys_written", Ticker::NumberKeysWritten),
    ("bytes_read", Ticker::BytesRead),
    ("bytes_written", Ticker::BytesWritten),
    ("seeks", Ticker::NumberDbSeek),
    ("wal_syncs", Ticker::WalFileSynced),
    ("wal_bytes", Ticker::WalFileBytes),
    ("flushed_bytes", Ticker::FlushWriteBytes),
    ("compaction_read_bytes", Ticker::CompactReadBytes),
    ("compaction_written_bytes", Ticker::CompactWriteBytes),
    ("stall_microseconds", Ticker::StallMicros),
];

/// All figures at once.
pub(super) fn of(database: &Database, tuning: &Tuning) -> EngineFigures {
    EngineFigures {
        live_bytes: sum(database, "rocksdb.live-sst-files-size"),
        wal_bytes: 0,
        dirty_bytes: 0,
        memtable_bytes: tuning.memtable_bytes(),
        block_cache_bytes: tuning.block_cache_bytes(),
        block_cache_capacity_bytes: one(database, "rocksdb.block-cache-capacity"),
        table_reader_bytes: sum(database, "rocksdb.estimate-table-readers-mem"),
        pending_compaction_bytes: sum(database, "rocksdb.estimate-pending-compaction-bytes"),
        running_compactions: one(database, "rocksdb.num-running-compactions"),
        running_flushes: one(database, "rocksdb.num-running-flushes"),
        writes_stopped: one(database, "rocksdb.is-write-stopped") != 0,
        delayed_write_rate: one(database, "rocksdb.actual-delayed-write-rate"),
        background_errors: one(database, "rocksdb.background-errors"),
        family_levels: Family::ALL.map(|family| database.levels(family)),
        estimated_keys: Family::ALL.map(|family| number(database, family, "rocksdb.estimate-num-keys")),
        tickers: TICKERS.iter().map(|(name, ticker)| (*name, tuning.options.get_ticker_count(*ticker))).collect(),
    }
}

/// A text property; one that belongs to a family is given for each, under its name.
pub(super) fn report(database: &Database, property: &str) -> Option<String> {
    let per_family = |property: &str| {
        let parts = Family::ALL.into_iter().filter_map(|family| {
            let text = text(database, family, property)?;
            Some(format!("# {}\n{}\n", family.name(), text.trim_end()))
        });
        Some(parts.collect::<String>()).filter(|all| !all.is_empty())
    };
    match property {
        "rocksdb.stats" => Some(text(database, Family::Keys, "rocksdb.dbstats")? + &per_family("rocksdb.cfstats")?),
        "rocksdb.dbstats" | "rocksdb.options-statistics" => text(database, Family::Keys, property),
        _ => per_family(property),
    }
}

fn text(database: &Database, family: Family, property: &str) -> Option<String> {
    let handle = database.db().cf_handle(family.name())?;
    database.db().property_value_cf(handle, property).ok().flatten()
}

/// A number; 0 where RocksDB has none.
fn number(database: &Database, family: Family, property: &str) -> u64 {
    let Some(handle) = database.db().cf_handle(family.name()) else {
        return 0;
    };
    database.db().property_int_value_cf(handle, property).ok().flatten().unwrap_or(0)
}

/// A number of the whole database.
fn one(database: &Database, property: &str) -> u64 {
    number(database, Family::Keys, property)
}

/// A number that each family has its own of, added up.
fn sum(database: &Database, property: &str) -> u64 {
    Family::ALL.iter().map(|family| number(database, *family, property)).sum()
}
