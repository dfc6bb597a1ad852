//! `--latency-dist`: a line of colors each second.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::shell::session::{Session, print, rest};

use super::latency::{SAMPLE, ping};
use super::{Ended, code};

/// From none to all.
const COLORS: [u8; 19] = [
    0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 144, 143, 142, 184, 226, 214, 208, 202, 196,
];

/// The longest latency in µs that is shown as this character.
const BUCKETS: [(u64, char); 31] = [
    (10, '.'),
    (125, '-'),
    (250, '*'),
    (500, '#'),
    (1000, '1'),
    (2000, '2'),
    (3000, '3'),
    (4000, '4'),
    (5000, '5'),
    (6000, '6'),
    (7000, '7'),
    (8000, '8'),
    (9000, '9'),
    (10_000, 'A'),
    (20_000, 'B'),
    (30_000, 'C'),
    (40_000, 'D'),
    (50_000, 'E'),
    (100_000, 'F'),
    (200_000, 'G'),
    (300_000, 'H'),
    (400_000, 'I'),
    (500_000, 'J'),
    (1_000_000, 'K'),
    (2_000_000, 'L'),
    (4_000_000, 'M'),
    (8_000_000, 'N'),
    (16_000_000, 'O'),
    (30_000_000, 'P'),
    (60_000_000, 'Q'),
    (u64::MAX, '?'),
];

/// The legend stands above so many lines.
const PAGE: u64 = 20;

pub fn run(session: &mut Session) -> u8 {
    code(show(session))
}

fn show(session: &mut Session) -> Result<(), Ended> {
    let interval = session.options.interval_or(Duration::from_secs(1));
    let mut lines = 0;
    let mut counts = [0_u32; BUCKETS.len()];
    let mut begin = Instant::now();
    while let Some(link) = session.link() {
        let micros = u64::try_from(ping(link)?.as_micros()).unwrap_or(u64::MAX);
        counts[bucket(micros)] += 1;
        if begin.elapsed() > interval {
            if lines % PAGE == 0 {
                print(legend().as_bytes());
            }
            lines += 1;
            print(line(&counts).as_bytes());
            (counts, begin) = ([0; BUCKETS.len()], Instant::now());
        }
        rest(SAMPLE);
    }
    Ok(())
}

fn bucket(micros: u64) -> usize {
    let fits = BUCKETS.iter().position(|(max, _)| micros <= *max);
    fits.unwrap_or(BUCKETS.len() - 1)
}

fn legend() -> String {
    let mut out = String::from(
        "---------------------------------------------\n\
         . - * #          .01 .125 .25 .5 milliseconds\n\
         1,2,3,...,9      from 1 to 9     milliseconds\n\
         A,B,C,D,E        10,20,30,40,50  milliseconds\n\
         F,G,H,I,J        .1,.2,.3,.4,.5       seconds\n\
         K,L,M,N,O,P,Q,?  1,2,4,8,16,30,60,>60 seconds\n\
         From 0 to 100%: ",
    );
    for color in COLORS {
        // A string takes everything.
        let _ = write!(out, "\x1b[48;5;{color}m ");
    }
    out + "\x1b[0m\n---------------------------------------------\n"
}

fn line(counts: &[u32; BUCKETS.len()]) -> String {
    let all: u32 = counts.iter().sum();
    let mut out = String::from("\x1b[38;5;0m");
    for ((_, mark), count) in BUCKETS.iter().zip(counts) {
        let share = f64::from(*count) / f64::from(all.max(1));
        let color = COLORS[(share * (COLORS.len() - 1) as f64).ceil() as usize];
        // A string takes everything.
        let _ = write!(out, "\x1b[48;5;{color}m{mark}");
    }
    out + "\x1b[0m\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_brighter() {
        let mut counts = [0; BUCKETS.len()];
        counts[bucket(100)] = 14;
        counts[bucket(200)] = 6;
        let line = line(&counts);
        assert!(
            line.starts_with(
                "\x1b[38;5;0m\x1b[48;5;0m.\x1b[48;5;184m-\x1b[48;5;241m*\x1b[48;5;0m#"
            )
        );
        assert!(line.ends_with("\x1b[48;5;0mQ\x1b[48;5;0m?\x1b[0m\n"));
        assert_eq!(line.matches('?').count(), 1);
    }
}
