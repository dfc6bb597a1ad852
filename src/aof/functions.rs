//! Function libraries that a load has found, for the server to take over.

use crate::dispatch::client::{Client, ClientFlags};
use crate::dispatch::core::Core;
use crate::dispatch::run::Runner;
use crate::keyspace::Keyspace;
use crate::net::conn::Conn;
use crate::resp::reply::Reply;
use crate::resp::request::Batch;
use std::sync::Arc;

/// Loads libraries from their sources, and runs the commands that changed them afterwards. They are in the log already.
pub fn restore(ks: &mut Keyspace, core: &mut Core, sources: &[Vec<u8>], calls: &[Vec<Vec<u8>>]) {
    core.replace_functions(sources.to_vec());
    let muted = std::mem::replace(&mut ks.log.mute, true);
    run(ks, core, calls);
    ks.log.mute = muted;
}

fn run(ks: &mut Keyspace, core: &mut Core, calls: &[Vec<Vec<u8>>]) {
    let mut batch = Batch::default();
    for call in calls {
        batch.append_words(call.iter().map(|word| &word[..]));
    }
    let conn = Conn::new(0, String::new(), String::new(), false, 0, true);
    let mut client = Client::new(Arc::new(conn), 0, ClientFlags::AUTHENTICATED);
    for index in 0..batch.commands.len() {
        let args = batch.args(index);
        let Ok(command) = core.commands.find(&args) else {
            tracing::warn!("Function libraries were loaded, and this server has no functions");
            return;
        };
        let mut out = Reply::new();
        Runner { ks, core }.nested(&mut client, &mut out, command, args);
        let (_, reply) = out.take(Vec::new());
        if reply.starts_with(b"-") {
            tracing::warn!(
                "A function library could not be loaded: {}",
                reply.trim_ascii().escape_ascii()
            );
        }
    }
}
