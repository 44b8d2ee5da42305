//! The Redis version that scripts are told: what clients and frameworks switch features by.

/// Also what INFO and HELLO say.
pub const TEXT: &str = "7.2.4";

/// Major, minor and patch, a byte each.
pub const NUMBER: i64 = 7 << 16 | 2 << 8 | 4;
