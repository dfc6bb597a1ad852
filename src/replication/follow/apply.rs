//! What the master sends is run here, unit by unit, and what it means if that fails.

use super::super::history::History;
use crate::command::args::Args;
use crate::config::enums::PropagationErrorBehavior;
use crate::dispatch::client::Client;
use crate::dispatch::run::Runner;
use crate::resp::reply::Reply;
use crate::resp::request::{Batch, Parser, Rules};

impl Runner<'_> {
    /// Runs units of the master's stream.
    pub(super) fn apply(&mut self, bytes: &[u8]) {
        let Some(following) = &mut self.core.repl.following else {
            return;
        };
        let Some(mut client) = following.client.take() else {
            return;
        };
        let result = self.apply_units(&mut client, bytes);
        let offset = self.ks.log.offset();
        let Some(following) = &mut self.core.repl.following else {
            return;
        };
        if result.is_ok() && client.multi.is_none() {
            following.db = client.db;
        }
        following.client = Some(client);
        let asked = std::mem::take(&mut following.asked);
        if asked {
            following.sync_asked = Some(offset);
        }
        if let Some(handle) = &following.handle {
            handle.applied(bytes.len(), offset);
            if asked {
                handle.ack_now();
            }
            if result.is_err() {
                handle.cut();
            }
        }
        if let Err(reason) = result {
            tracing::error!(
                "A command of the master failed here, so that the data is not the same any more; it will be copied anew: {reason}"
            );
            // Nothing to go on from.
            self.core.repl.history = History::new();
        }
    }

    /// The same for the client that runs the master's commands.
    ///
    /// # Errors
    /// What a command of the master said that failed here.
    pub fn apply_units(&mut self, client: &mut Client, bytes: &[u8]) -> Result<(), String> {
        let rules = Rules {
            authenticated: true,
            max_bulk: i64::from(i32::MAX),
            max_query: usize::MAX,
        };
        let mut parser = Parser::default();
        let mut batch = Batch {
            buf: bytes.to_vec(),
            ..Batch::default()
        };
        let (mut from, mut at) = (0, 0);
        let mut keep = false;
        loop {
            parser
                .parse(&mut batch, &rules)
                .map_err(|fault| format!("{fault:?}"))?;
            if batch.is_empty() {
                break;
            }
            for index in 0..batch.commands.len() {
                let args = batch.args(index);
                keep |= !is_talk(&args);
                at += batch.commands[index].wire as usize;
                self.apply_one(client, args)?;
                if client.multi.is_none() {
                    let unit = &bytes[from..at.min(bytes.len())];
                    self.ks.log.append_unit(unit, Some(client.db), keep);
                    (from, keep) = (at, false);
                }
            }
            let mut next = Batch::default();
            parser.carry(&mut batch, &mut next);
            batch = next;
        }
        // Empty lines behind the last command count as well.
        if from < bytes.len() && client.multi.is_none() {
            self.ks
                .log
                .append_unit(&bytes[from..], Some(client.db), false);
        }
        Ok(())
    }

    fn apply_one(&mut self, client: &mut Client, args: Args<'_>) -> Result<(), String> {
        let errors = self.core.stats.total_errors;
        let mut out = Reply::new();
        self.execute(client, &mut out, args);
        if self.core.stats.total_errors == errors {
            return Ok(());
        }
        let (chunks, last) = out.take();
        let reply = chunks.first().map_or(last.as_slice(), |c| c.bytes());
        let name = String::from_utf8_lossy(args.get(0)).into_owned();
        let reply = String::from_utf8_lossy(&reply[..reply.len().min(200)]).into_owned();
        let reply = reply.trim_end().trim_start_matches('-');
        if self.goes_on_after_errors() {
            tracing::warn!(
                "== CRITICAL == This replica is sending an error to its master: '{reply}' after processing the command '{}'",
                name.to_ascii_lowercase()
            );
            return Ok(());
        }
        Err(format!("{name}: {reply}"))
    }

    /// What a master's command that fails here means: by default the link ends and the data is
    /// copied anew. Who states `propagation-error-behavior` gets what Redis does.
    fn goes_on_after_errors(&self) -> bool {
        let config = &self.core.config;
        // Who lets clients write here has to expect that.
        if !config.replica_read_only {
            return true;
        }
        let stated = config.stated.contains("propagation-error-behavior");
        match config.propagation_error_behavior {
            PropagationErrorBehavior::Ignore => stated,
            PropagationErrorBehavior::Panic | PropagationErrorBehavior::PanicOnReplicas => {
                panic!("a command of the master failed (propagation-error-behavior)")
            }
        }
    }
}

/// Commands that a master sends and that change nothing.
fn is_talk(args: &Args<'_>) -> bool {
    let name = args.get(0);
    let talk: [&[u8]; 4] = [b"PING", b"REPLCONF", b"PUBLISH", b"SPUBLISH"];
    talk.iter().any(|word| name.eq_ignore_ascii_case(word))
}
