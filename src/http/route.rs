//! Which path is answered how, and to whom.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::answer::{Answer, EXPOSITION, HTML};
use super::api;
use super::ask::Actor;
use super::auth::{self, Limiter, Login};
use super::head::{Request, is_own_host};
use super::metrics::{self, Scrape};
use super::ready;
use super::snapshot::Snapshot;
use crate::command::info::Outside;
use crate::config::SharedSettings;
use crate::dispatch::core::Core;
use crate::keyspace::Keyspace;

/// The actor answers within a few milliseconds; a scrape that waits longer is told that the server is down.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(3);
/// Far more than anybody needs.
const SCRAPES_A_SECOND: u32 = 20;
const READY_PATIENCE: Duration = Duration::from_secs(1);

/// One page with everything in it.
static PAGE: &str = concat!(
    include_str!("console/head.html"),
    "<style>",
    include_str!("console/style.css"),
    "</style>\n",
    include_str!("console/body.html"),
    "<script>",
    include_str!("console/base.js"),
    include_str!("console/chart.js"),
    include_str!("console/live.js"),
    include_str!("console/overview.js"),
    include_str!("console/memory.js"),
    include_str!("console/lists.js"),
    include_str!("console/keys.js"),
    include_str!("console/topology.js"),
    include_str!("console/main.js"),
    "</script>\n</body>\n</html>\n"
);

/// What all connections of the port share.
pub struct Site {
    pub actor: Actor,
    settings: Arc<SharedSettings>,
    /// `metrics-hosts`
    hosts: Vec<String>,
    limiter: Mutex<Limiter>,
    scrapes: Mutex<Scrapes>,
}

/// Scrapes since the port was opened. Those who scrape too often get the last answer again, at no cost to the actor.
struct Scrapes {
    count: u64,
    second: Instant,
    /// Asked of the actor in this second.
    asked: u32,
    last: Arc<str>,
}

impl Scrapes {
    /// Counts one more; gives the last answer if the actor is not to be asked.
    fn begin(&mut self, now: Instant) -> Option<Arc<str>> {
        self.count += 1;
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.asked) = (now, 0);
        }
        if self.asked < SCRAPES_A_SECOND || self.last.is_empty() {
            self.asked += 1;
            return None;
        }
        Some(self.last.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody at the console.
pub struct Visitor {
    pub login: Option<Login>,
    pub peer: SocketAddr,
}

impl Site {
    pub fn new(actor: Actor, settings: Arc<SharedSettings>, hosts: Vec<String>) -> Site {
        Site {
            actor,
            settings,
            hosts,
            limiter: Mutex::default(),
            scrapes: Mutex::new(Scrapes {
                count: 0,
                second: Instant::now(),
                asked: 0,
                last: "".into(),
            }),
        }
    }

    /// Answers one request.
    pub async fn answer(&self, request: &Request, peer: SocketAddr, local: SocketAddr) -> Answer {
        let path = request.path.as_str();
        let probe = matches!(path, "/metrics" | "/healthz" | "/readyz");
        // Pages of strangers reach a loopback address only through a browser on this machine, or a proxy.
        let must_be_own = !probe || local.ip().to_canonical().is_loopback();
        if must_be_own && !is_own_host(&request.host, &self.hosts) {
            return Answer::text(
                421,
                "This Host is none of this server's. Use its address, or name the host in metrics-hosts.",
            );
        }
        match path {
            "/healthz" => Answer::text(200, "ok"),
            "/readyz" => self.ready().await,
            "/metrics" => self.metrics().await,
            _ => match self.console(request, peer).await {
                Ok(answer) | Err(answer) => answer,
            },
        }
    }

    async fn ready(&self) -> Answer {
        let look = self
            .actor
            .look(READY_PATIENCE, |_, core| ready::obstacle(core));
        match look.await {
            Some(None) => Answer::text(200, "ready"),
            Some(Some(why)) => Answer::text(503, &why),
            None => Answer::text(503, "busy: the server does not answer"),
        }
    }

    async fn metrics(&self) -> Answer {
        let again = lock(&self.scrapes).begin(Instant::now());
        let text = match again {
            Some(text) => text,
            None => self.scrape().await,
        };
        Answer::new(200, EXPOSITION, text.as_bytes().to_vec())
    }

    /// Asks the actor and writes the answer out.
    async fn scrape(&self) -> Arc<str> {
        let begin = Instant::now();
        // On this thread: it would be a third of the actor's work.
        let outside = Outside::take();
        let look = move |ks: &Keyspace, core: &Core| Snapshot::take(ks, core, outside);
        let snapshot = self.actor.look(SCRAPE_PATIENCE, look).await;
        let waited = begin.elapsed();
        let scrape = {
            let scrapes = lock(&self.scrapes);
            Scrape {
                room: scrapes.last.len(),
                count: scrapes.count,
                waited,
            }
        };
        let text: Arc<str> = match snapshot {
            Some(snapshot) => metrics::render(&snapshot, scrape).into(),
            None => metrics::render_down(scrape).into(),
        };
        lock(&self.scrapes).last = text.clone();
        text
    }

    /// Everything that may show data. `Err` holds the answer to those who may not see it.
    async fn console(&self, request: &Request, peer: SocketAddr) -> Result<Answer, Answer> {
        let known = request.path == "/" || api::is_path(&request.path);
        if !known {
            return Err(Answer::text(404, "There is no such page."));
        }
        self.only_from_here(request, peer.ip())?;
        let login = match &request.authorization {
            None => None,
            Some(header) => Some(auth::basic(header).ok_or_else(unauthorized)?),
        };
        if let Some(login) = &login
            && !lock(&self.limiter).admits(peer.ip(), login, Instant::now())
        {
            let answer = Answer::text(429, "Too many wrong passwords. Try again in a while.");
            return Err(answer.with("Retry-After", "6"));
        }
        let visitor = Visitor { login, peer };
        if request.path == "/" {
            // Whoever may not read anything need not see the page either.
            self.run(&visitor, 0, Vec::new(), 0).await?;
            return Ok(page());
        }
        api::answer(self, &visitor, request).await
    }

    /// Refuses requests that a page of somebody else makes a browser send, and, in protected mode, other machines.
    fn only_from_here(&self, request: &Request, peer: IpAddr) -> Result<(), Answer> {
        let foreign = |site: &str| !matches!(site, "same-origin" | "none");
        if request.path != "/" && request.fetch_site.as_deref().is_some_and(foreign) {
            return Err(Answer::text(403, "Pages of other sites may not ask here."));
        }
        let protected = self.settings.protected_mode() && !self.settings.password_required();
        if protected && !peer.to_canonical().is_loopback() {
            return Err(Answer::text(
                403,
                "Protected mode is on and the user default has no password: the console is for this machine alone. Set a password, or turn protected-mode off.",
            ));
        }
        Ok(())
    }

    /// Has commands run for a visitor; one reply for each.
    pub async fn run(
        &self,
        visitor: &Visitor,
        db: usize,
        commands: Vec<Vec<&[u8]>>,
        reply_max: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, Answer> {
        use super::visit::{Seen, Visit, batch, receive};
        let bad = || Answer::text(400, "This cannot be asked.");
        let visit = Visit {
            login: visitor.login.clone(),
            peer: visitor.peer.to_string(),
            db,
            batch: batch(&commands).ok_or_else(bad)?,
            reply_max,
        };
        let task = move |server: &mut crate::dispatch::server::Server| receive(server, &visit);
        let seen = self.actor.task(SCRAPE_PATIENCE, task).await;
        let (ip, now) = (visitor.peer.ip(), Instant::now());
        match (seen, &visitor.login) {
            (None, _) => Err(Answer::text(503, "The server is busy.")),
            (Some(Seen::Unknown), login) => {
                if let Some(login) = login {
                    lock(&self.limiter).failed(ip, login, now);
                }
                Err(unauthorized())
            }
            (Some(Seen::NoSuchDb), _) => Err(Answer::text(400, "There is no such database.")),
            (Some(Seen::Replies(replies)), login) => {
                if let Some(login) = login {
                    lock(&self.limiter).succeeded(login);
                }
                Ok(replies)
            }
        }
    }
}

fn unauthorized() -> Answer {
    let realm = "Basic realm=\"Ferrite\", charset=\"UTF-8\"";
    Answer::text(401, "Log in as a user of the access control list.")
        .with("WWW-Authenticate", realm)
}

/// The console's page. Its policy allows the page's own script and style and nothing else.
fn page() -> Answer {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = |tag: &str| {
            let text = between(PAGE, &format!("<{tag}>"), &format!("</{tag}>"));
            auth::base64(&Sha256::digest(text.as_bytes()))
        };
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash("script"),
            hash("style"),
        )
    });
    Answer::new(200, HTML, PAGE.as_bytes())
        .with("Content-Security-Policy", &POLICY)
        .with("Cross-Origin-Opener-Policy", "same-origin")
        .with(
            "Permissions-Policy",
            "camera=(), microphone=(), geolocation=()",
        )
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let from = text.find(begin).map_or(0, |at| at + begin.len());
    let rest = &text[from..];
    &rest[..rest.find(end).unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_of_scrapes_get_the_last_answer() {
        let begin = Instant::now();
        let mut scrapes = Scrapes {
            count: 0,
            second: begin,
            asked: 0,
            last: "".into(),
        };
        assert_eq!(scrapes.begin(begin), None);
        scrapes.last = "text".into();
        let fresh = |scrapes: &mut Scrapes, now| {
            (0..100).filter(|_| scrapes.begin(now).is_none()).count() as u32
        };
        assert_eq!(fresh(&mut scrapes, begin), SCRAPES_A_SECOND - 1);
        let later = begin + Duration::from_secs(1);
        assert_eq!(fresh(&mut scrapes, later), SCRAPES_A_SECOND);
        assert_eq!(scrapes.count, 201);
    }

    #[test]
    fn the_page_is_whole_and_alone() {
        for tag in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{tag}>")).count(), 1, "{tag}");
            assert_eq!(PAGE.matches(&format!("</{tag}>")).count(), 1, "{tag}");
        }
        // Neither handlers nor styles in attributes, nor markup made of text: the policy forbids the former.
        for forbidden in [
            " onclick=",
            " onload=",
            " style=\"",
            "innerHTML",
            "insertAdjacentHTML",
            "eval(",
            "http://",
            "https://",
        ] {
            let rest = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!rest.contains(forbidden), "{forbidden}");
        }
        let policy = page().more;
        assert!(
            policy.starts_with("Content-Security-Policy: default-src 'none'; script-src 'sha256-")
        );
        assert!(!policy.contains("unsafe"));
    }
}
