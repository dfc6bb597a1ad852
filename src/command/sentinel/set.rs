//! `SENTINEL SET name option value …`: all options are read before the first one takes effect.

use super::{change, master, saved, text};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::sentinel::core::conf::is_script;
use crate::sentinel::core::instance::Master;
use crate::sentinel::core::types::{Ms, Text};

const DENIED: Error = Error::new(
    "ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig configuration directive in your Sentinel configuration",
);

/// One change, with what `+set` says of it.
struct Change {
    shown: String,
    apply: Box<dyn FnOnce(&mut Master)>,
}

pub fn set(ctx: &mut Ctx<'_>) -> Outcome {
    let (sentinel, found) = master(ctx.core, &ctx.args)?;
    let name = found.name.clone();
    let scripts_denied = sentinel.sh.options.deny_scripts_reconfig;
    let args = ctx.args;
    let mut changes = Vec::new();
    let mut at = 3;
    while at < args.len() {
        let option = args.get(at).to_ascii_lowercase();
        let count = if option == b"rename-command" { 2 } else { 1 };
        if at + count >= args.len() {
            return Err(unknown(args.get(at)));
        }
        if option == b"auth-pass" {
            ctx.core.redact(at + 1);
        }
        let values: Vec<&[u8]> = (1..=count).map(|i| args.get(at + i)).collect();
        changes.push(read(args.get(at), &option, &values, scripts_denied)?);
        at += count + 1;
    }
    change(ctx, |state| {
        for change in changes {
            state.core.set(&name, &change.shown, change.apply);
        }
    })?;
    saved(ctx)
}

fn unknown(option: &[u8]) -> Error {
    let mut text = b"ERR Unknown option or number of arguments for SENTINEL SET '".to_vec();
    text.extend_from_slice(option);
    text.push(b'\'');
    Error::bytes(text)
}

fn read(
    given: &[u8],
    option: &[u8],
    values: &[&[u8]],
    scripts_denied: bool,
) -> Result<Change, Error> {
    let invalid = |value: &[u8]| {
        let parts = [
            &b"ERR Invalid argument '"[..],
            value,
            b"' for SENTINEL SET '",
            given,
            b"'",
        ];
        Error::bytes(parts.concat())
    };
    let value = text(values[0]).ok_or_else(|| invalid(values[0]))?;
    let number = |least: i64| {
        let parsed = value.parse::<i64>().ok();
        let parsed = parsed.filter(|n| (least..=i64::from(i32::MAX)).contains(n));
        parsed.ok_or_else(|| invalid(values[0]))
    };
    let some = (!value.is_empty()).then(|| Text::from(value));
    let script = |what: &str| {
        if scripts_denied {
            return Err(DENIED);
        }
        if !value.is_empty() && !is_script(value) {
            return Err(Error::text(format!(
                "ERR {what} script seems non existing or non executable"
            )));
        }
        Ok((!value.is_empty()).then(|| Text::from(value)))
    };
    let apply: Box<dyn FnOnce(&mut Master)> = match option {
        b"down-after-milliseconds" => {
            let ms: Ms = number(1)?;
            Box::new(move |m| m.down_after = ms)
        }
        b"failover-timeout" => {
            let ms: Ms = number(1)?;
            Box::new(move |m| m.failover_timeout = ms)
        }
        b"parallel-syncs" => {
            let count = number(1)? as u32;
            Box::new(move |m| m.parallel_syncs = count)
        }
        b"quorum" => {
            let quorum = number(1)? as u32;
            Box::new(move |m| m.quorum = quorum)
        }
        b"master-reboot-down-after-period" | b"primary-reboot-down-after-period" => {
            let ms: Ms = number(0)?;
            Box::new(move |m| m.reboot_down_after = ms)
        }
        b"notification-script" => {
            let path = script("Notification")?;
            Box::new(move |m| m.notification_script = path)
        }
        b"client-reconfig-script" => {
            let path = script("Client reconfiguration")?;
            Box::new(move |m| m.reconfig_script = path)
        }
        b"auth-pass" => Box::new(move |m| m.login.pass = some),
        b"auth-user" => Box::new(move |m| m.login.user = some),
        b"rename-command" => {
            let new = text(values[1]).ok_or_else(|| invalid(values[1]))?;
            if value.is_empty() || new.is_empty() {
                return Err(invalid(if value.is_empty() {
                    values[0]
                } else {
                    values[1]
                }));
            }
            let (old, new): (Text, Text) = (value.into(), new.into());
            Box::new(move |m| rename(m, old, new))
        }
        _ => return Err(unknown(given)),
    };
    let shown = match option {
        b"auth-pass" => "auth-pass ******".to_owned(),
        _ => {
            let words: Vec<_> = values.iter().map(|v| String::from_utf8_lossy(v)).collect();
            format!("{} {}", String::from_utf8_lossy(option), words.join(" "))
        }
    };
    Ok(Change { shown, apply })
}

/// Renaming a command to its own name ends the renaming.
fn rename(master: &mut Master, old: Text, new: Text) {
    let mut renames = (*master.renames).clone();
    renames.retain(|(from, _)| !from.eq_ignore_ascii_case(&old));
    if !old.eq_ignore_ascii_case(&new) {
        renames.push((old, new));
    }
    master.renames = renames.into();
}
