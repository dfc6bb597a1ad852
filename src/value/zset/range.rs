//! What sorted sets are ordered by, and intervals of it.

use std::cmp::Ordering;

/// A score as an integer of the same order. Both zeros are the same place; scores are never NaN.
#[inline]
pub fn order_of(score: f64) -> u64 {
    // -0 + 0 is +0.
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// The score of [`order_of`], but for the sign of zero.
#[inline]
pub fn score_at(order: u64) -> f64 {
    f64::from_bits(if order >> 63 == 1 {
        order ^ 1 << 63
    } else {
        !order
    })
}

/// An interval that each position is before, inside or behind.
pub trait Interval {
    /// Whether what stands at this place comes before the interval.
    fn is_before(&self, score: f64, member: &[u8]) -> bool;
    /// Whether it comes behind the interval.
    fn is_behind(&self, score: f64, member: &[u8]) -> bool;
}

/// Scores from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    pub min: f64,
    pub max: f64,
    pub min_exclusive: bool,
    pub max_exclusive: bool,
}

impl Interval for ScoreRange {
    #[inline]
    fn is_before(&self, score: f64, _: &[u8]) -> bool {
        if self.min_exclusive {
            score <= self.min
        } else {
            score < self.min
        }
    }

    #[inline]
    fn is_behind(&self, score: f64, _: &[u8]) -> bool {
        if self.max_exclusive {
            score >= self.max
        } else {
            score > self.max
        }
    }
}

/// One end of an interval of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: before all members.
    First,
    /// `+`: behind all members.
    Last,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

/// Members from `min` to `max`. Where not all scores are the same the result is unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    pub min: LexBound<'a>,
    pub max: LexBound<'a>,
}

impl Interval for LexRange<'_> {
    #[inline]
    fn is_before(&self, _: f64, member: &[u8]) -> bool {
        match self.min {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Inclusive(min) => member < min,
            LexBound::Exclusive(min) => member <= min,
        }
    }

    #[inline]
    fn is_behind(&self, _: f64, member: &[u8]) -> bool {
        match self.max {
            LexBound::First => true,
            LexBound::Last => false,
            LexBound::Inclusive(max) => member > max,
            LexBound::Exclusive(max) => member >= max,
        }
    }
}

/// How the place of one member compares with that of another.
#[inline]
pub fn compare(score: f64, member: &[u8], other_score: f64, other: &[u8]) -> Ordering {
    order_of(score)
        .cmp(&order_of(other_score))
        .then_with(|| member.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_follows_the_scores_and_leads_back() {
        let scores = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -f64::MIN_POSITIVE,
            -5e-324,
            0.0,
            5e-324,
            f64::MIN_POSITIVE,
            1.0,
            1.0 + f64::EPSILON,
            f64::MAX,
            f64::INFINITY,
        ];
        assert!(scores.is_sorted_by_key(|s| order_of(*s)));
        for pair in scores.windows(2) {
            assert!(order_of(pair[0]) < order_of(pair[1]), "{pair:?}");
        }
        for score in scores {
            assert_eq!(score_at(order_of(score)).to_bits(), score.to_bits());
        }
        assert_eq!(order_of(-0.0), order_of(0.0));
    }
}
