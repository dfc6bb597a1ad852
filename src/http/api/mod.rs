//! `/api/…`: what the console's page asks for. Each path stands for commands that only read.
//!
//! What a command answers goes into the object under a name of its own; an error stands there as `{"error":…}`, so that a
//! user with few rights sees what he may see.

mod keys;
mod values;

use super::answer::Answer;
use super::head::Request;
use super::json::Object;
use super::resp::Value;
use super::route::{Site, Visitor};

/// Bytes of one reply about the server.
const REPORT_MAX: usize = 4 << 20;
/// Longer lists of clients are not made: the actor would be busy with them for too long.
const CLIENTS_MAX: i64 = 2000;
/// Masters of a Sentinel that are looked at closely.
const MASTERS_MAX: usize = 32;

/// A command and the name of its answer.
type Question = (&'static str, &'static [&'static str]);

const INFO: &[Question] = &[
    ("user", &["ACL", "WHOAMI"]),
    ("info", &["INFO", "everything"]),
];
const LATENCY: &[Question] = &[
    ("histogram", &["LATENCY", "HISTOGRAM"]),
    ("spikes", &["LATENCY", "LATEST"]),
];
const SLOWLOG: &[Question] = &[("slowlog", &["SLOWLOG", "GET", "128"])];
const CLIENTS: &[Question] = &[("clients", &["CLIENT", "LIST"])];
const PREFIXES: &[Question] = &[("prefixes", &["FERRITE", "PREFIXES"])];

pub fn is_path(path: &str) -> bool {
    matches!(
        path,
        "/api/info"
            | "/api/latency"
            | "/api/slowlog"
            | "/api/clients"
            | "/api/prefixes"
            | "/api/sentinel"
            | "/api/keys"
            | "/api/value"
    )
}

/// Answers a path of [`is_path`]. `Err` holds the answer to those who may not ask.
pub async fn answer(site: &Site, visitor: &Visitor, request: &Request) -> Result<Answer, Answer> {
    let desk = Desk { site, visitor };
    let body = match request.path.as_str() {
        "/api/info" => desk.report(INFO).await?,
        "/api/latency" => desk.report(LATENCY).await?,
        "/api/slowlog" => desk.report(SLOWLOG).await?,
        "/api/clients" => desk.clients().await?,
        "/api/prefixes" => desk.report(PREFIXES).await?,
        "/api/sentinel" => desk.sentinel().await?,
        "/api/keys" => keys::page(&desk, request).await?,
        "/api/value" => values::page(&desk, request).await?,
        _ => return Err(Answer::text(404, "There is no such page.")),
    };
    Ok(Answer::json(200, body))
}

/// Where a visitor's questions are answered.
struct Desk<'a> {
    site: &'a Site,
    visitor: &'a Visitor,
}

impl Desk<'_> {
    /// The answers to commands; an error stands for one that is too large.
    async fn ask(
        &self,
        db: usize,
        commands: Vec<Vec<&[u8]>>,
        reply_max: usize,
    ) -> Result<Vec<Value>, Answer> {
        let count = commands.len();
        let replies = self.site.run(self.visitor, db, commands, reply_max).await?;
        debug_assert_eq!(replies.len(), count);
        let read = |reply: Option<Vec<u8>>| match reply {
            None => Value::Error("TOOLARGE The answer is too large to be shown".into()),
            Some(bytes) => {
                let unread = || Value::Error("ERR The answer is not understood here".into());
                Value::read(&bytes).unwrap_or_else(unread)
            }
        };
        Ok(replies.into_iter().map(read).collect())
    }

    async fn one(&self, db: usize, command: Vec<&[u8]>, reply_max: usize) -> Result<Value, Answer> {
        let mut answers = self.ask(db, vec![command], reply_max).await?;
        Ok(answers.pop().unwrap_or(Value::Null))
    }

    async fn report(&self, questions: &[Question]) -> Result<String, Answer> {
        let words = |question: &Question| question.1.iter().map(|w| w.as_bytes()).collect();
        let commands = questions.iter().map(words).collect();
        let answers = self.ask(0, commands, REPORT_MAX).await?;
        let mut object = Object::new();
        for ((name, _), answer) in questions.iter().zip(&answers) {
            match answer {
                // As a whole, whatever its length.
                Value::Text(text) => {
                    let mut json = String::new();
                    super::json::string(&mut json, &String::from_utf8_lossy(text));
                    object.raw(name, &json)
                }
                answer => object.value(name, answer),
            };
        }
        Ok(object.finish())
    }

    async fn clients(&self) -> Result<String, Answer> {
        let look =
            |_: &crate::keyspace::Keyspace, core: &crate::dispatch::core::Core| core.clients.len();
        let patience = std::time::Duration::from_secs(1);
        let count = self.site.actor.look(patience, look).await.unwrap_or(0);
        if i64::try_from(count).unwrap_or(i64::MAX) <= CLIENTS_MAX {
            return self.report(CLIENTS).await;
        }
        // Only those who may see the list hear even that.
        self.one(0, vec![b"PING"], REPORT_MAX).await?;
        let text =
            format!("TOOMANY {count} clients are connected: the list is shown up to {CLIENTS_MAX}");
        Ok(Object::new().value("clients", &Value::Error(text)).finish())
    }

    /// Masters with their replicas and Sentinels.
    async fn sentinel(&self) -> Result<String, Answer> {
        let masters = self
            .one(0, vec![b"SENTINEL", b"MASTERS"], REPORT_MAX)
            .await?;
        let Value::List(masters) = masters else {
            return Ok(Object::new().value("masters", &masters).finish());
        };
        let mut list = Vec::new();
        for master in masters.iter().take(MASTERS_MAX) {
            let name = master
                .field("name")
                .and_then(Value::bytes)
                .unwrap_or_default();
            let commands = vec![
                vec![&b"SENTINEL"[..], b"REPLICAS", name],
                vec![b"SENTINEL", b"SENTINELS", name],
            ];
            let answers = self.ask(0, commands, REPORT_MAX).await?;
            let mut object = Object::new();
            object.value("master", master);
            for (name, answer) in ["replicas", "sentinels"].iter().zip(&answers) {
                object.value(name, answer);
            }
            list.push(object.finish());
        }
        let joined = format!("[{}]", list.join(","));
        Ok(Object::new().raw("masters", &joined).finish())
    }
}

/// The database and whatever else is asked wrongly.
fn db_of(request: &Request) -> Result<usize, Answer> {
    match request.get("db") {
        None => Ok(0),
        Some(_) => request.number("db").ok_or_else(|| bad("db")),
    }
}

fn bad(name: &str) -> Answer {
    Answer::text(400, &format!("The parameter {name} is wrong or missing."))
}
