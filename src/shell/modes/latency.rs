//! `--latency`, `--latency-history` and `--intrinsic-latency`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::shell::link::{Broken, Link};
use crate::shell::options::Output;
use crate::shell::session::{Session, print};

use super::{Ended, code};

/// Time between two requests.
pub const SAMPLE: Duration = Duration::from_millis(10);
const HISTORY: Duration = Duration::from_secs(15);
const ONCE: Duration = Duration::from_secs(1);

/// What was measured, in ms.
#[derive(Default)]
struct Figures {
    min: u128,
    max: u128,
    sum: u128,
    count: u32,
}

impl Figures {
    fn add(&mut self, ms: u128) {
        self.min = if self.count == 0 {
            ms
        } else {
            self.min.min(ms)
        };
        self.max = self.max.max(ms);
        self.sum += ms;
        self.count += 1;
    }

    fn average(&self) -> f64 {
        self.sum as f64 / f64::from(self.count.max(1))
    }

    fn text(&self, output: Output) -> String {
        let (min, max, average, count) = (self.min, self.max, self.average(), self.count);
        match output {
            Output::Standard => {
                format!("min: {min}, max: {max}, avg: {average:.2} ({count} samples)")
            }
            Output::Raw => format!("{min} {max} {average:.2} {count}\n"),
            Output::Csv => format!("{min},{max},{average:.2},{count}\n"),
            Output::Json | Output::QuotedJson => {
                format!(
                    "{{\"min\": {min}, \"max\": {max}, \"avg\": {average:.3}, \"count\": {count}}}\n"
                )
            }
        }
    }
}

/// How long a PING takes.
pub fn ping(link: &mut Link) -> Result<Duration, Broken> {
    let begin = Instant::now();
    link.call(&["PING"])?;
    Ok(begin.elapsed())
}

pub fn run(session: &mut Session, history: bool) -> u8 {
    let output = session.format.output;
    let usual = if history { HISTORY } else { ONCE };
    let interval = session.options.interval_or(usual);
    let Some(link) = session.link() else {
        return 1;
    };
    code(measure(link, output, interval, history))
}

fn measure(
    link: &mut Link,
    output: Output,
    interval: Duration,
    history: bool,
) -> Result<(), Ended> {
    let live = output == Output::Standard;
    let mut figures = Figures::default();
    let mut begin = Instant::now();
    loop {
        figures.add(ping(link)?.as_millis());
        if live {
            let text = format!("\x1b[0G\x1b[2K{}", figures.text(output));
            print(text.as_bytes());
        }
        let elapsed = begin.elapsed();
        if elapsed > interval && (history || !live) {
            let text = if live {
                format!(" -- {:.2} seconds range\n", elapsed.as_secs_f64())
            } else {
                figures.text(output)
            };
            print(text.as_bytes());
            if !history {
                return Ok(());
            }
            (figures, begin) = (Figures::default(), Instant::now());
        }
        std::thread::sleep(SAMPLE);
    }
}

/// How long the system keeps a process from running that only looks at the clock.
pub fn intrinsic(time: Duration) -> u8 {
    let begin = Instant::now();
    let (mut last, mut runs, mut longest) = (begin, 0_u64, Duration::ZERO);
    loop {
        let now = Instant::now();
        let took = now - last;
        (last, runs) = (now, runs + 1);
        if took > longest && took.as_micros() > longest.as_micros() {
            let text = format!("Max latency so far: {} microseconds.\n", took.as_micros());
            print(text.as_bytes());
            // Printing is not what is measured.
            last = Instant::now();
        }
        longest = longest.max(took);
        if now - begin >= time {
            break;
        }
    }
    let average = begin.elapsed().as_nanos() as f64 / runs as f64;
    let mut out = String::new();
    // A string takes everything.
    let _ = write!(
        out,
        "\n{runs} total runs (avg latency: {:.4} microseconds / {average:.2} nanoseconds per run).\n\
         Worst run took {:.0}x longer than the average latency.\n",
        average / 1000.0,
        longest.as_nanos() as f64 / average
    );
    print(out.as_bytes());
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_in_each_form() {
        let mut figures = Figures::default();
        [1, 0, 3].into_iter().for_each(|ms| figures.add(ms));
        assert_eq!(
            figures.text(Output::Standard),
            "min: 0, max: 3, avg: 1.33 (3 samples)"
        );
        assert_eq!(figures.text(Output::Raw), "0 3 1.33 3\n");
        assert_eq!(figures.text(Output::Csv), "0,3,1.33,3\n");
    }
}
