//! Geohashes: points of the earth as 52-bit scores, 26 bits each of longitude and latitude,
//! interleaved with the longitude in the higher bit of each pair. Points that are near each other
//! mostly share their upper bits, so an area is a few ranges of scores.

use std::f64::consts::PI;
use std::ops::RangeInclusive;

/// Bits of each coordinate.
const STEPS: u32 = 26;
pub const MAX_LONGITUDE: f64 = 180.0;
/// Where the Web Mercator projection makes the world a square.
pub const MAX_LATITUDE: f64 = 85.05112878;
const EARTH_RADIUS_M: f64 = 6372797.560856;
/// Widening of areas, in degrees, that covers what rounding may have taken.
const SLACK: f64 = 1e-7;
/// Cells in either direction that an area is covered with, at most.
const MAX_SPAN: u64 = 4;

/// A point, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub longitude: f64,
    pub latitude: f64,
}

/// Puts the bits of `n` on the even places.
fn spread(n: u32) -> u64 {
    let mut bits = u64::from(n);
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & 0x5555_5555_5555_5555
}

/// Collects the bits on the even places.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

/// The cell, of `2^steps` between `-max` and `max`, that a coordinate lies in.
fn cell(value: f64, max: f64, steps: u32) -> u32 {
    ((value + max) / (2.0 * max) * (1u64 << steps) as f64) as u32
}

/// The middle of a cell.
fn middle(cell: u32, max: f64) -> f64 {
    let edge = |n: f64| -max + n / (1u64 << STEPS) as f64 * (2.0 * max);
    let middle = (edge(f64::from(cell)) + edge(f64::from(cell) + 1.0)) / 2.0;
    middle.clamp(-max, max)
}

impl Point {
    pub fn is_valid(&self) -> bool {
        self.longitude.abs() <= MAX_LONGITUDE && self.latitude.abs() <= MAX_LATITUDE
    }

    /// The score of a valid point.
    pub fn bits(&self) -> u64 {
        let latitude = cell(self.latitude, MAX_LATITUDE, STEPS);
        let longitude = cell(self.longitude, MAX_LONGITUDE, STEPS);
        spread(latitude) | spread(longitude) << 1
    }

    /// The point that a score stands for. Scores that are none of ours give some point.
    pub fn of_score(score: f64) -> Point {
        let bits = bits_of_score(score);
        Point {
            longitude: middle(gather(bits >> 1), MAX_LONGITUDE),
            latitude: middle(gather(bits), MAX_LATITUDE),
        }
    }

    /// The geohash as others write it: eleven characters, the last of which is always `0`.
    pub fn text(&self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let latitude = cell(self.latitude, 90.0, STEPS);
        let longitude = cell(self.longitude, MAX_LONGITUDE, STEPS);
        let bits = spread(latitude) | spread(longitude) << 1;
        std::array::from_fn(|at| match at {
            10 => b'0',
            _ => ALPHABET[(bits >> (47 - 5 * at) & 31) as usize],
        })
    }

    /// Metres along the surface (haversine).
    pub fn distance_m(&self, other: &Point) -> f64 {
        let half_width = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if half_width == 0.0 {
            return latitude_distance_m(self.latitude, other.latitude);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let half_height = ((to - from) / 2.0).sin();
        let chord = half_height * half_height + from.cos() * to.cos() * half_width * half_width;
        2.0 * EARTH_RADIUS_M * chord.sqrt().asin()
    }
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn latitude_distance_m(a: f64, b: f64) -> f64 {
    EARTH_RADIUS_M * (radians(b) - radians(a)).abs()
}

/// A score as the bits that it was made from, and other scores as x86-64 processors convert them.
fn bits_of_score(score: f64) -> u64 {
    const TOP: f64 = (1u64 << 63) as f64;
    if score < TOP {
        score as i64 as u64
    } else if score < 2.0 * TOP {
        score as u64
    } else {
        0
    }
}

/// The shape of an area around a point, in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// An area around a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    pub center: Point,
    pub shape: Shape,
}

impl Area {
    /// The distance from the center to a point, if that lies inside.
    pub fn distance_m(&self, point: &Point) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                let distance = self.center.distance_m(point);
                (distance <= radius).then_some(distance)
            }
            Shape::Box { width, height } => {
                if latitude_distance_m(point.latitude, self.center.latitude) > height / 2.0 {
                    return None;
                }
                let beside = Point {
                    longitude: self.center.longitude,
                    ..*point
                };
                if point.distance_m(&beside) > width / 2.0 {
                    return None;
                }
                Some(self.center.distance_m(point))
            }
        }
    }

    /// How far the area reaches from its center to the north and to the east, in degrees.
    fn reach(&self) -> (f64, f64) {
        let (north, ratio) = match self.shape {
            Shape::Circle { radius } => {
                let angle = radius / EARTH_RADIUS_M;
                let ratio = if angle < PI / 2.0 {
                    angle.sin() / radians(self.center.latitude).cos()
                } else {
                    1.0
                };
                (angle.to_degrees(), ratio)
            }
            Shape::Box { width, height } => {
                let north = (height / 2.0 / EARTH_RADIUS_M).to_degrees();
                // The box is widest, in degrees, where it is nearest to a pole.
                let highest = (self.center.latitude.abs() + north + SLACK).min(90.0);
                let angle = width / 4.0 / EARTH_RADIUS_M;
                let ratio = if angle < PI / 2.0 {
                    angle.sin() / radians(highest).cos()
                } else {
                    1.0
                };
                (north, ratio)
            }
        };
        let around_pole = self.center.latitude.abs() + north >= 90.0;
        let east = match (self.shape, ratio < 1.0) {
            (Shape::Circle { .. }, true) if !around_pole => ratio.asin().to_degrees(),
            (Shape::Box { .. }, true) => 2.0 * ratio.asin().to_degrees(),
            _ => 180.0,
        };
        (north + SLACK, east + SLACK)
    }

    /// The finest cells of which few cover the area: how often the world is halved, rows from the
    /// south, columns from the west. Columns go on across the antimeridian.
    fn cover(&self) -> (u32, RangeInclusive<u32>, RangeInclusive<i64>) {
        let (north, east) = self.reach();
        let latitude = |degrees: f64| degrees.clamp(-MAX_LATITUDE, MAX_LATITUDE);
        let south = latitude(self.center.latitude - north);
        let north = latitude(self.center.latitude + north);
        let (west, east) = match east < 180.0 {
            true => (self.center.longitude - east, self.center.longitude + east),
            false => (-180.0, 180.0),
        };
        let mut steps = STEPS;
        loop {
            let count = 1u64 << steps;
            let row = |degrees| cell(degrees, MAX_LATITUDE, steps).min(count as u32 - 1);
            let column = |degrees: f64| ((degrees + 180.0) / 360.0 * count as f64).floor() as i64;
            let (rows, columns) = (row(south)..=row(north), column(west)..=column(east));
            let height = u64::from(rows.end() - rows.start());
            let width = columns.end().abs_diff(*columns.start());
            if (height < MAX_SPAN && width < MAX_SPAN) || steps == 1 {
                return (steps, rows, columns);
            }
            steps -= 1;
        }
    }

    /// Ranges of scores, first included and second not, that hold all points of the area (and
    /// others), apart from each other. The range around the center comes first, so that an unsorted
    /// answer begins near it; the others follow in ascending order, then those below.
    pub fn score_ranges(&self) -> Vec<(f64, f64)> {
        let (steps, rows, columns) = self.cover();
        let count = 1i64 << steps;
        let columns: Vec<u32> = columns.map(|at| at.rem_euclid(count) as u32).collect();
        let last = count as u32 - 1;
        let at_edge = *rows.end() == last || columns.contains(&last);
        let mut cells: Vec<u64> = rows
            .flat_map(|row| columns.iter().map(move |column| (row, *column)))
            .map(|(row, column)| spread(row) | spread(column) << 1)
            .collect();
        cells.sort_unstable();
        cells.dedup();
        let size = 1u64 << (2 * (STEPS - steps));
        let mut ranges: Vec<(f64, f64)> = Vec::with_capacity(cells.len() + 1);
        let mut push = |from: u64, to: u64| match ranges.last_mut() {
            Some(last) if last.1 == from as f64 => last.1 = to as f64,
            _ => ranges.push((from as f64, to as f64)),
        };
        for cell in cells {
            push(cell * size, (cell + 1) * size);
        }
        if at_edge {
            // 180° and the greatest latitude themselves lie in cells behind the last.
            push(1 << (2 * STEPS), 4 << (2 * STEPS));
        }
        let center = self.center.bits() as f64;
        let first = ranges.iter().position(|r| r.0 <= center && center < r.1);
        ranges.rotate_left(first.unwrap_or(0));
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point {
            longitude,
            latitude,
        }
    }

    #[test]
    fn known_points_have_their_scores_and_texts() {
        let palermo = point(13.361389, 38.115556);
        assert_eq!(palermo.bits(), 3479099956230698);
        let stored = Point::of_score(3479099956230698.0);
        assert_eq!(stored, point(13.361389338970184, 38.1155563954963));
        assert_eq!(&stored.text(), b"sqc8b49rny0");
        let catania = Point::of_score(point(15.087269, 37.502669).bits() as f64);
        assert_eq!(&catania.text(), b"sqdtr74hyu0");
        assert_eq!(format!("{:.4}", stored.distance_m(&catania)), "166274.1516");
    }

    #[test]
    fn foreign_scores_give_the_points_that_redis_shows() {
        for (score, text) in [
            (-5.0, b"bp05b5048p0"),
            (1e300, b"00bh0hbj200"),
            (f64::INFINITY, b"00bh0hbj200"),
            (1.5, b"00bh0hbj210"),
        ] {
            assert_eq!(&Point::of_score(score).text(), text, "{score}");
        }
    }

    #[test]
    fn points_come_back_near_where_they_were() {
        let mut rng = Rng::new(3);
        for _ in 0..10_000 {
            let there = some_point(&mut rng);
            let back = Point::of_score(there.bits() as f64);
            assert!((there.longitude - back.longitude).abs() < 3e-6, "{there:?}");
            assert!((there.latitude - back.latitude).abs() < 2e-6, "{there:?}");
            assert_eq!(back.bits(), there.bits());
        }
        let corner = point(MAX_LONGITUDE, MAX_LATITUDE);
        assert!(corner.is_valid());
        assert_eq!(Point::of_score(corner.bits() as f64), corner);
    }

    fn some_point(rng: &mut Rng) -> Point {
        let longitude = match rng.below(8) {
            0 => 180.0 - rng.unit() / 1000.0,
            1 => -180.0 + rng.unit() / 1000.0,
            _ => rng.unit() * 360.0 - 180.0,
        };
        let latitude = match rng.below(8) {
            0 => MAX_LATITUDE - rng.unit(),
            1 => -MAX_LATITUDE + rng.unit(),
            _ => (rng.unit() * 2.0 - 1.0) * MAX_LATITUDE,
        };
        point(longitude, latitude)
    }

    #[test]
    fn ranges_hold_all_points_of_an_area() {
        let mut rng = Rng::new(4);
        let mut inside = 0;
        for _ in 0..3000 {
            let center = some_point(&mut rng);
            let size = 10f64.powf(rng.unit() * 8.0);
            let shape = if rng.below(2) == 0 {
                Shape::Circle { radius: size }
            } else {
                let height = size * 4.0 * rng.unit();
                Shape::Box {
                    width: size,
                    height,
                }
            };
            let area = Area { center, shape };
            let mut ranges = area.score_ranges();
            assert!(ranges.len() <= 17);
            let middle = center.bits() as f64;
            assert!(ranges[0].0 <= middle && middle < ranges[0].1, "{area:?}");
            ranges.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
            let degrees = size / 50_000.0;
            for _ in 0..50 {
                let near = |at: f64, rng: &mut Rng| at + (rng.unit() - 0.5) * degrees;
                let mut there = point(
                    near(center.longitude, &mut rng),
                    near(center.latitude, &mut rng).clamp(-MAX_LATITUDE, MAX_LATITUDE),
                );
                there.longitude = (there.longitude + 180.0).rem_euclid(360.0) - 180.0;
                let score = there.bits() as f64;
                if area.distance_m(&Point::of_score(score)).is_some() {
                    inside += 1;
                    let held = ranges.iter().any(|r| r.0 <= score && score < r.1);
                    assert!(held, "{area:?} {there:?}");
                }
            }
        }
        assert!(inside > 20_000, "{inside}");
    }

    #[test]
    fn the_whole_world_is_a_few_ranges() {
        let area = |shape| Area {
            center: point(0.0, 0.0),
            shape,
        };
        let all = vec![(0.0, (1u64 << 54) as f64)];
        let endless = f64::INFINITY;
        assert_eq!(area(Shape::Circle { radius: endless }).score_ranges(), all);
        let shape = Shape::Box {
            width: endless,
            height: endless,
        };
        assert_eq!(area(shape).score_ranges(), all);
        assert!(
            !area(Shape::Circle { radius: 0.0 })
                .score_ranges()
                .is_empty()
        );
    }
}
