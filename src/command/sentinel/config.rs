//! `SENTINEL CONFIG` and `SENTINEL DEBUG`.

use super::{change, saved, state, text};
use crate::base::glob;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::config::enums::LogLevel;
use crate::sentinel::core::types::{Ms, Text, Timing};

const NAMES: [&str; 7] = [
    "resolve-hostnames",
    "announce-hostnames",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
    "loglevel",
];

pub fn config(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.is(2, "set") {
        return set(ctx);
    }
    if ctx.args.is(2, "get") {
        return get(ctx);
    }
    Err(Error::new(
        "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are supported.",
    ))
}

fn get(ctx: &mut Ctx<'_>) -> Outcome {
    let options = &state(ctx.core)?.core.sh.options;
    let yes = |on| if on { "yes" } else { "no" }.to_owned();
    let some = |text: &Option<Text>| text.as_deref().unwrap_or_default().to_owned();
    let values = [
        yes(options.resolve_hostnames),
        yes(options.announce_hostnames),
        some(&options.announce_ip),
        options.announce_port.to_string(),
        some(&options.sentinel_user),
        some(&options.sentinel_pass),
        ctx.core.config.loglevel.name().to_owned(),
    ];
    let wanted: Vec<(&str, String)> = NAMES
        .into_iter()
        .zip(values)
        .filter(|(name, _)| {
            let mut patterns = ctx.args.from(3).iter();
            patterns.any(|p| glob::matches(p, name.as_bytes(), true))
        })
        .collect();
    ctx.out.map(wanted.len());
    for (name, value) in wanted {
        ctx.out.bulk(name.as_bytes());
        ctx.out.bulk(value.as_bytes());
    }
    Ok(())
}

/// All values are checked before the first one is taken.
fn set(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let pairs = args.from(3);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut settings: Vec<(&'static str, &str)> = Vec::new();
    let mut at = 0;
    while at < pairs.len() {
        let given = pairs.get(at);
        let name = NAMES
            .into_iter()
            .find(|name| given.eq_ignore_ascii_case(name.as_bytes()));
        let Some(name) = name else {
            return Err(Error::text(format!(
                "ERR Invalid argument '{}' to SENTINEL CONFIG SET",
                shown(given)
            )));
        };
        if settings.iter().any(|(known, _)| *known == name) {
            return Err(Error::text(format!(
                "ERR Duplicate argument '{name}' to SENTINEL CONFIG SET"
            )));
        }
        if at + 1 >= pairs.len() {
            return Err(Error::text(format!("ERR Missing argument '{name}' value")));
        }
        if name == "sentinel-pass" {
            ctx.core.redact(at + 4);
        }
        let value = pairs.get(at + 1);
        let good = text(value).filter(|value| is_valid(name, value));
        let Some(value) = good else {
            return Err(Error::text(format!(
                "ERR Invalid value '{}' to SENTINEL CONFIG SET '{name}'",
                shown(value)
            )));
        };
        settings.push((name, value));
        at += 2;
    }
    let level = settings.iter().find(|(name, _)| *name == "loglevel");
    if let Some(level) = level.and_then(|(_, value)| log_level(value)) {
        ctx.core.config.adjust(|settings| settings.loglevel = level);
        if let Some(log) = &ctx.core.log {
            log.apply(&ctx.core.config);
        }
    }
    change(ctx, |state| {
        for (name, value) in &settings {
            state.core.configure(name, value);
        }
    })?;
    saved(ctx)
}

fn log_level(value: &str) -> Option<LogLevel> {
    [
        LogLevel::Debug,
        LogLevel::Verbose,
        LogLevel::Notice,
        LogLevel::Warning,
        LogLevel::Nothing,
    ]
    .into_iter()
    .find(|level| level.name().eq_ignore_ascii_case(value))
}

fn is_valid(name: &str, value: &str) -> bool {
    match name {
        "resolve-hostnames" | "announce-hostnames" => {
            value.eq_ignore_ascii_case("yes") || value.eq_ignore_ascii_case("no")
        }
        "announce-port" => value.parse::<u16>().is_ok(),
        "loglevel" => log_level(value).is_some(),
        _ => value.len() <= 1024,
    }
}

/// `SENTINEL DEBUG [parameter ms …]`
pub fn debug(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len() == 2 {
        let mut timing = state(ctx.core)?.core.sh.timing.clone();
        let parameters = timing.parameters();
        ctx.out.map(parameters.len());
        for (name, value) in parameters {
            ctx.out.bulk(name.as_bytes());
            ctx.out.bulk(value.to_string().as_bytes());
        }
        return Ok(());
    }
    let mut timing: Timing = state(ctx.core)?.core.sh.timing.clone();
    let args = ctx.args;
    let shown = |at: usize| String::from_utf8_lossy(args.get(at)).into_owned();
    let mut at = 2;
    while at < args.len() {
        let mut parameters = timing.parameters();
        let parameter = parameters.iter_mut().find(|(name, _)| args.is(at, name));
        let Some((_, value)) = parameter.filter(|_| at + 1 < args.len()) else {
            return Err(Error::text(format!(
                "ERR Unknown option or number of arguments for SENTINEL DEBUG '{}'",
                shown(at)
            )));
        };
        let given = text(args.get(at + 1)).and_then(|v| v.parse::<Ms>().ok());
        let Some(given) = given.filter(|ms| (1..=Ms::from(i32::MAX)).contains(ms)) else {
            return Err(Error::text(format!(
                "ERR Invalid argument '{}' for SENTINEL DEBUG '{}'",
                shown(at + 1),
                shown(at)
            )));
        };
        **value = given;
        at += 2;
    }
    change(ctx, |state| state.core.sh.timing = timing)?;
    ctx.out.ok();
    Ok(())
}
