//! Positions on the earth as scores of a sorted set, as Redis computes them bit by bit: a score is
//! a 52-bit geohash, so what is near lies in few ranges of scores.
//!
//! - here: positions, their hashes and distances. `search.rs`: what lies in a circle or a box.
//!
//! ```text
//! cell of depth 26   the world cut in half 26 times by latitude and 26 times by longitude
//! hash               latitude in bits 0, 2, 4 …, longitude in bits 1, 3, 5 …
//! ```

mod search;

pub use search::{Found, Shape, Within, search};

/// Latitudes beyond, where Mercator's map ends, are refused.
const LATITUDE_MAX: f64 = 85.051_128_78;
const LONGITUDE_MAX: f64 = 180.0;
/// Halvings of each axis in a score.
const DEPTH_MAX: u32 = 26;
const EARTH_RADIUS_METERS: f64 = 6_372_797.560_856;
/// Characters of a geohash as other programs write it.
const TEXT_CHARACTERS: u32 = 11;
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A point, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    pub longitude: f64,
    pub latitude: f64,
}

impl Position {
    /// Whether it is on the map.
    pub fn is_valid(self) -> bool {
        let Self { longitude, latitude } = self;
        (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&longitude) && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&latitude)
    }

    /// The score that stands for it.
    pub fn score(self) -> f64 {
        Cell::at(self, DEPTH_MAX, LATITUDE_MAX).hash() as f64
    }

    /// The middle of the cell that a score stands for.
    pub fn of_score(score: f64) -> Self {
        let area = Cell::of_hash(hash_of(score), DEPTH_MAX).area();
        Self {
            longitude: f64::midpoint_of(area.west, area.east).clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: f64::midpoint_of(area.south, area.north).clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }

    /// The geohash of the middle of a score's cell, as other programs write it: they let latitudes
    /// reach the poles.
    pub fn text_of_score(score: f64) -> String {
        let hash = Cell::at(Self::of_score(score), DEPTH_MAX, 90.0).hash();
        let character = |nth: u32| {
            // 52 bits are ten characters and a bit; the eleventh is always the same.
            let bits = 5 * (nth + 1);
            let index = if bits > 2 * DEPTH_MAX { 0 } else { hash >> (2 * DEPTH_MAX - bits) & 31 };
            char::from(ALPHABET[index as usize & 31])
        };
        (0..TEXT_CHARACTERS).map(character).collect()
    }

    /// Metres along the surface, by the haversine formula.
    pub fn distance_to(self, other: Self) -> f64 {
        let half_longitude = ((other.longitude.to_radians_as_c() - self.longitude.to_radians_as_c()) / 2.0).sin();
        if half_longitude == 0.0 {
            return self.latitude_distance_to(other);
        }
        let (from, to) = (self.latitude.to_radians_as_c(), other.latitude.to_radians_as_c());
        let half_latitude = ((to - from) / 2.0).sin();
        let square = half_latitude * half_latitude + from.cos() * to.cos() * half_longitude * half_longitude;
        2.0 * EARTH_RADIUS_METERS * square.sqrt().asin()
    }

    /// Metres between two parallels.
    fn latitude_distance_to(self, other: Self) -> f64 {
        EARTH_RADIUS_METERS * (other.latitude.to_radians_as_c() - self.latitude.to_radians_as_c()).abs()
    }
}

/// The hash that a score stands for. Scores that are none (they were not set by GEOADD) become one as
/// C's conversion on x86 makes them, because their positions can be asked for.
fn hash_of(score: f64) -> u64 {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    let truncated = |value: f64| {
        let fits = (-TWO_TO_63..TWO_TO_63).contains(&value);
        (if fits { value as i64 } else { i64::MIN }).cast_unsigned()
    };
    if score < TWO_TO_63 { truncated(score) } else { truncated(score - TWO_TO_63) ^ (1 << 63) }
}

/// Arithmetic in the order of operations that Redis' C has, because it shows in the last bit.
trait AsC {
    fn to_radians_as_c(self) -> f64;
    fn to_degrees_as_c(self) -> f64;
    fn midpoint_of(one: Self, other: Self) -> Self;
}

impl AsC for f64 {
    fn to_radians_as_c(self) -> f64 {
        self * (std::f64::consts::PI / 180.0)
    }

    fn to_degrees_as_c(self) -> f64 {
        self / (std::f64::consts::PI / 180.0)
    }

    fn midpoint_of(one: Self, other: Self) -> Self {
        (one + other) / 2.0
    }
}

/// A cell of the map, cut `depth` times by each axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    /// From the west and from the south, in cells.
    column: u32,
    row: u32,
    depth: u32,
}

/// What a cell covers, in degrees.
#[derive(Debug, Clone, Copy)]
struct Area {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

impl Cell {
    /// The cell of a position, on a map that reaches from `-north` to `north`.
    fn at(position: Position, depth: u32, north: f64) -> Self {
        let cells = f64::from(1_u32 << depth);
        let row = (position.latitude + north) / (north + north) * cells;
        let column = (position.longitude + LONGITUDE_MAX) / (LONGITUDE_MAX + LONGITUDE_MAX) * cells;
        Self { column: column as u32, row: row as u32, depth }
    }

    fn of_hash(hash: u64, depth: u32) -> Self {
        Self { column: every_other_bit(hash >> 1), row: every_other_bit(hash), depth }
    }

    fn hash(self) -> u64 {
        spread_bits(self.row) | spread_bits(self.column) << 1
    }

    fn area(self) -> Area {
        let cells = f64::from(1_u32 << self.depth);
        let latitude = |row: f64| -LATITUDE_MAX + row / cells * (LATITUDE_MAX + LATITUDE_MAX);
        let longitude = |column: f64| -LONGITUDE_MAX + column / cells * (LONGITUDE_MAX + LONGITUDE_MAX);
        Area {
            west: longitude(f64::from(self.column)),
            east: longitude(f64::from(self.column) + 1.0),
            south: latitude(f64::from(self.row)),
            north: latitude(f64::from(self.row) + 1.0),
        }
    }

    /// The cell so many columns to the east and rows to the north; around the map's edges. The very
    /// edge in the east and in the north is a cell of its own, which stays itself when not moved.
    fn moved(self, east: i32, north: i32) -> Self {
        let around = |place: u32, by: i32| match by {
            0 => place,
            by => place.wrapping_add_signed(by) & ((1 << self.depth) - 1),
        };
        Self { column: around(self.column, east), row: around(self.row, north), depth: self.depth }
    }

    /// The scores in it: from the first up to, not including, the second.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (DEPTH_MAX - self.depth);
        let hash = self.hash();
        ((hash << shift) as f64, ((hash + 1) << shift) as f64)
    }
}

/// Puts a zero in front of each bit.
fn spread_bits(bits: u32) -> u64 {
    let mut spread = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff_u64),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        spread = (spread | spread << shift) & mask;
    }
    spread
}

/// Bits 0, 2, 4 … side by side.
fn every_other_bit(bits: u64) -> u32 {
    let mut packed = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333_u64),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        packed = (packed | packed >> shift) & mask;
    }
    packed as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PALERMO: Position = Position { longitude: 13.361_389, latitude: 38.115_556 };
    const CATANIA: Position = Position { longitude: 15.087_269, latitude: 37.502_669 };

    #[test]
    fn scores_and_texts_are_redis_own() {
        assert_eq!(PALERMO.score(), 3_479_099_956_230_698.0);
        assert_eq!(CATANIA.score(), 3_479_447_370_796_909.0);
        assert_eq!(Position::text_of_score(PALERMO.score()), "sqc8b49rny0");
        assert_eq!(Position::text_of_score(CATANIA.score()), "sqdtr74hyu0");
    }

    #[test]
    fn distances_are_redis_own() {
        let [one, other] = [PALERMO, CATANIA].map(|position| Position::of_score(position.score()));
        assert_eq!(format!("{:.4}", one.distance_to(other)), "166274.1516");
        assert_eq!(one.distance_to(one), 0.0);
    }

    #[test]
    fn the_eastern_edge_is_found_where_it_was_put() {
        let edge = Position { longitude: 180.0, latitude: 85.0 };
        assert_eq!(Position::of_score(edge.score()).longitude, 180.0);
        let cell = Cell::at(edge, DEPTH_MAX, LATITUDE_MAX);
        assert_eq!(cell.moved(0, 0), cell);
        assert_eq!(cell.scores().0, edge.score());
    }

    #[test]
    fn scores_that_are_no_hashes_have_the_positions_redis_gives_them() {
        let corner = Position { longitude: LONGITUDE_MAX, latitude: LATITUDE_MAX };
        assert_eq!(Position::of_score(-3.0), corner);
        assert_eq!((hash_of(f64::INFINITY), hash_of(f64::NEG_INFINITY)), (0, 1 << 63));
    }

    proptest! {
        #[test]
        fn a_cell_has_its_position(longitude in -180.0..180.0_f64, latitude in -85.0..85.0_f64, depth in 1..=DEPTH_MAX) {
            let position = Position { longitude, latitude };
            let cell = Cell::at(position, depth, LATITUDE_MAX);
            let area = cell.area();
            let slack = 1e-9;
            prop_assert!(area.west <= longitude + slack && longitude <= area.east + slack);
            prop_assert!(area.south <= latitude + slack && latitude <= area.north + slack);
            prop_assert_eq!(Cell::of_hash(cell.hash(), depth), cell);
            let (first, end) = cell.scores();
            prop_assert!(first <= position.score() && position.score() < end);
            prop_assert_eq!(cell.moved(1, -1).moved(-1, 1), cell);
        }

        #[test]
        fn any_score_is_a_position(score: f64) {
            let _ = Position::of_score(score);
            let _ = Position::text_of_score(score);
        }
    }
}
