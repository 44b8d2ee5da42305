//! What lies in a circle or a box around a position: the cells that cover it, at the depth at
//! which nine of them do, are ranges of scores; what these hold is looked at one by one.

use bytes::Bytes;

use super::{AsC, Cell, DEPTH_MAX, EARTH_RADIUS_METERS, LATITUDE_MAX, Position};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::types::zset::{ScoreBound, ScoreRange, ZSet};

/// Half of the equator on Mercator's map, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;

/// What a search looks for, in metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// A shape around a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Within {
    pub center: Position,
    pub shape: Shape,
}

/// A member inside the shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub member: Bytes,
    pub score: f64,
    pub position: Position,
    /// From the centre, in metres.
    pub distance: f64,
}

/// The bounds of a shape, in degrees.
struct Bounds {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Within {
    /// The distance of a position that is inside.
    fn distance(&self, position: Position) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                let distance = self.center.distance_to(position);
                (distance <= radius).then_some(distance)
            }
            Shape::Box { width, height } => {
                let beside = Position { longitude: self.center.longitude, ..position };
                let is_in = position.latitude_distance_to(self.center) <= height / 2.0
                    && position.distance_to(beside) <= width / 2.0;
                is_in.then(|| self.center.distance_to(position))
            }
        }
    }

    /// Half the height and half the width.
    fn reach(&self) -> (f64, f64) {
        match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (height / 2.0, width / 2.0),
        }
    }

    fn bounds(&self) -> Bounds {
        let Position { longitude, latitude } = self.center;
        let (height, width) = self.reach();
        let tall = (height / EARTH_RADIUS_METERS).to_degrees_as_c();
        // The parallel that is nearer to its pole is the shorter one.
        let parallel = if latitude < 0.0 { latitude - tall } else { latitude + tall };
        let wide = (width / EARTH_RADIUS_METERS / parallel.to_radians_as_c().cos()).to_degrees_as_c();
        Bounds { west: longitude - wide, south: latitude - tall, east: longitude + wide, north: latitude + tall }
    }

    /// How deep the map may be cut so that a cell and its neighbours cover the shape nearly always.
    fn depth(&self) -> u32 {
        let mut radius = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt(),
        };
        if radius == 0.0 {
            return DEPTH_MAX;
        }
        let mut depth = -1_i32;
        // Halving stops mattering long before the shortest radius that a double knows.
        while radius < MERCATOR_MAX && depth < 64 {
            radius *= 2.0;
            depth += 1;
        }
        let latitude = self.center.latitude.abs();
        depth -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        depth.clamp(1, DEPTH_MAX as i32).cast_unsigned()
    }

    /// The cells that cover the shape, in the order in which Redis looks into them.
    fn cells(&self) -> Vec<Cell> {
        const AROUND: [(i32, i32); 9] = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let bounds = self.bounds();
        let mut depth = self.depth();
        let middle = Cell::at(self.center, depth, LATITUDE_MAX);
        let covers = middle.moved(0, 1).area().north >= bounds.north
            && middle.moved(0, -1).area().south <= bounds.south
            && middle.moved(1, 0).area().east >= bounds.east
            && middle.moved(-1, 0).area().west <= bounds.west;
        depth -= u32::from(depth > 1 && !covers);
        let middle = Cell::at(self.center, depth, LATITUDE_MAX);
        let area = middle.area();
        let is_needed = |east: i32, north: i32| {
            depth < 2
                || !((north < 0 && area.south < bounds.south)
                    || (north > 0 && area.north > bounds.north)
                    || (east < 0 && area.west < bounds.west)
                    || (east > 0 && area.east > bounds.east))
        };
        let mut cells = Vec::with_capacity(AROUND.len());
        for (east, north) in AROUND {
            let cell = middle.moved(east, north);
            // Where the map has few cells, several neighbours are the same one.
            if is_needed(east, north) && !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells
    }
}

/// The members inside a shape, up to `most`. Before it looks at members, `weigh` hears how many
/// they are.
///
/// # Errors
/// As [`Tx::part`], and what `weigh` answers.
pub fn search(
    tx: &mut Tx,
    set: &ZSet,
    within: &Within,
    most: usize,
    weigh: impl Fn(&Tx, u64) -> Result<()>,
) -> Result<Vec<Found>> {
    let mut spans = Vec::new();
    for cell in within.cells() {
        let (first, end) = cell.scores();
        let min = ScoreBound { score: first, exclusive: false };
        let max = ScoreBound { score: end, exclusive: true };
        spans.push(set.score_span(tx, &ScoreRange { min, max })?);
    }
    weigh(tx, spans.iter().fold(0, |sum, span| sum.saturating_add(span.end - span.start)))?;
    let mut found = Vec::new();
    for span in spans {
        let mut walk = set.walk(tx, span.start, Direction::Forward)?;
        for _ in span {
            if found.len() >= most {
                return Ok(found);
            }
            let Some((member, score)) = walk.next(tx)? else { break };
            let position = Position::of_score(score);
            if let Some(distance) = within.distance(position) {
                found.push(Found { member, score, position, distance });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::trial::Trial;
    use crate::types::zset::Limits;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { listpack_entries: 128, listpack_value_bytes: 64 };

    fn position() -> impl Strategy<Value = Position> {
        let any = (-180.0..180.0_f64, -85.0..85.0_f64);
        let near = (2.0..3.0_f64, 48.0..49.0_f64);
        prop_oneof![any, near].prop_map(|(longitude, latitude)| Position { longitude, latitude })
    }

    proptest! {
        #[test]
        fn a_search_finds_what_looking_at_all_finds(
            positions in proptest::collection::vec(position(), 1..200),
            center in position(),
            reach in prop_oneof![1.0..1e4_f64, 1e4..5e5_f64],
            is_box: bool,
        ) {
            let shape = if is_box { Shape::Box { width: reach, height: reach / 2.0 } } else { Shape::Circle { radius: reach } };
            let within = Within { center, shape };
            // Away from the date line and the poles, where Redis' cells do not reach around.
            prop_assume!(center.longitude.abs() < 150.0 && center.latitude.abs() < 70.0);
            let mut elements: Vec<(Bytes, f64)> = positions
                .iter()
                .enumerate()
                .map(|(nth, position)| (Bytes::from(format!("{nth:04}")), position.score()))
                .collect();
            elements.sort_by(|(one, low), (other, high)| low.total_cmp(high).then_with(|| one.cmp(other)));
            let trial = Trial::new();
            let found = trial.run(|tx| {
                let set = ZSet::of(tx, &elements, LIMITS)?;
                search(tx, &set, &within, usize::MAX, |_, _| Ok(()))
            });
            let mut found: Vec<Bytes> = found.unwrap().into_iter().map(|found| found.member).collect();
            found.sort();
            let mut expected: Vec<Bytes> = elements
                .iter()
                .filter(|(_, score)| within.distance(Position::of_score(*score)).is_some())
                .map(|(member, _)| member.clone())
                .collect();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
