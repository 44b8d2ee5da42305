//! How `maxmemory`, the budget of the whole process, is split among its parts. Pure
//! arithmetic: whoever owns a part applies its share.
//!
//! First comes what cannot be configured away: the program itself, its threads' stacks and
//! RocksDB's fixed costs ([`BASE_BYTES`]). Of the rest, a share is left free for clients'
//! buffers and what the allocator loses. Two parts have a share of the whole that can be
//! set: the record cache, which serves hot keys without RocksDB, and memtables, which may
//! come to a multiple of theirs while flushes are late. What remains is the block cache,
//! which makes everything else's index, filters and data cheap to reach.

const MB: u64 = 1 << 20;

/// The program, stacks, RocksDB's own structures.
pub const BASE_BYTES: u64 = 16 * MB;

/// The least budget that is split as asked for; below it everything is at its minimum.
pub const LEAST_BYTES: u64 = 32 * MB;

/// Less than this neither memtables nor the block cache can work with.
const LEAST_PART_BYTES: u64 = 4 * MB;

/// The engine's share, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineBudget {
    /// Data, index and filter blocks.
    pub block_cache_bytes: u64,
    /// All memtables together.
    pub write_buffer_bytes: u64,
}

/// The proportions of a split, in per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Left to clients' buffers and the allocator, of what the base leaves.
    pub reserve_percent: u64,
    /// Memtables, of the whole.
    pub write_buffer_percent: u64,
    /// The record cache, of the whole; it gives way when the shares come to too much.
    pub record_cache_percent: u64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { reserve_percent: 15, write_buffer_percent: 20, record_cache_percent: 30 }
    }
}

/// A split budget, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What was split.
    pub total_bytes: u64,
    pub record_cache_bytes: u64,
    pub engine: EngineBudget,
    /// For the program, clients and the allocator: in nobody's hands.
    pub free_bytes: u64,
}

impl Budget {
    /// Splits `total_bytes`, or [`LEAST_BYTES`] if that is more.
    pub fn split(total_bytes: u64, shares: Shares) -> Self {
        let total_bytes = total_bytes.max(LEAST_BYTES);
        let percent = |of: u64, percent: u64| of / 100 * percent.min(100);
        // Beyond a gigabyte of memtables restarts get slow and nothing gets faster.
        let write_buffer_bytes = percent(total_bytes, shares.write_buffer_percent).clamp(LEAST_PART_BYTES, 1024 * MB);
        let usable = total_bytes - BASE_BYTES;
        let reserve = percent(usable, shares.reserve_percent);
        let caches = usable.saturating_sub(reserve + write_buffer_bytes).max(LEAST_PART_BYTES);
        let record_cache_bytes = percent(total_bytes, shares.record_cache_percent).min(caches - LEAST_PART_BYTES);
        let block_cache_bytes = caches - record_cache_bytes;
        let engine = EngineBudget { block_cache_bytes, write_buffer_bytes };
        let given = record_cache_bytes + block_cache_bytes + write_buffer_bytes;
        Self { total_bytes, record_cache_bytes, engine, free_bytes: total_bytes.saturating_sub(given) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GB: u64 = 1024 * MB;

    #[test]
    fn small_and_large_machines_get_sensible_parts() {
        let small = Budget::split(64 * MB, Shares::default());
        assert!((12 * MB..13 * MB).contains(&small.engine.write_buffer_bytes), "{small:?}");
        assert!((8 * MB..12 * MB).contains(&small.engine.block_cache_bytes), "{small:?}");
        assert!((18 * MB..20 * MB).contains(&small.record_cache_bytes), "{small:?}");
        assert!(small.free_bytes >= 22 * MB, "{small:?}");
        let large = Budget::split(64 * GB, Shares::default());
        assert_eq!(large.engine.write_buffer_bytes, GB);
        assert!(large.engine.block_cache_bytes > 24 * GB, "{large:?}");
    }

    #[test]
    fn nothing_at_all_is_the_least() {
        assert_eq!(Budget::split(0, Shares::default()), Budget::split(LEAST_BYTES, Shares::default()));
    }

    proptest! {
        /// Whatever is swept, the parts never exceed the whole, and each can do its work.
        #[test]
        fn parts_make_up_the_whole(
            total in LEAST_BYTES..1024 * GB,
            reserve_percent in 0u64..90,
            write_buffer_percent in 0u64..60,
            record_cache_percent in 0u64..=100,
        ) {
            let shares = Shares { reserve_percent, write_buffer_percent, record_cache_percent };
            let budget = Budget::split(total, shares);
            let given = budget.record_cache_bytes + budget.engine.block_cache_bytes
                + budget.engine.write_buffer_bytes;
            prop_assert!(budget.engine.block_cache_bytes >= LEAST_PART_BYTES);
            prop_assert!(budget.engine.write_buffer_bytes >= LEAST_PART_BYTES);
            if reserve_percent + write_buffer_percent < 70 {
                prop_assert_eq!(given + budget.free_bytes, total);
                prop_assert!(budget.free_bytes >= BASE_BYTES / 2);
            }
        }

        /// More memory never makes a part smaller.
        #[test]
        fn parts_grow_with_the_whole(total in LEAST_BYTES..512 * GB, more in 0..512 * GB) {
            let (less, more) = (Budget::split(total, Shares::default()), Budget::split(total + more, Shares::default()));
            prop_assert!(less.record_cache_bytes <= more.record_cache_bytes);
            prop_assert!(less.engine.block_cache_bytes <= more.engine.block_cache_bytes);
            prop_assert!(less.engine.write_buffer_bytes <= more.engine.write_buffer_bytes);
        }
    }
}
