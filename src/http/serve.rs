//! Connections: one head in, one answer out, again. Whatever a peer does, it costs little and for a short time only.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::answer::Answer;
use super::head::{self, HEAD_MAX, Request};
use super::route::Site;
use crate::base::mailbox::Mailbox;

/// Connections at one time. One more takes the place of the one that has been idle for longest.
const CONNECTIONS_MAX: usize = 64;
/// A head has to be complete so long after its begin, and a new connection has to begin it in that time.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Between two requests of a connection; scrapes come every 15 seconds or every minute.
const IDLE_TIME: Duration = Duration::from_secs(75);
/// An answer has to be taken in that time.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// What a peer still sends behind a refused head is taken for so long, so that it can read why.
const LINGER_TIME: Duration = Duration::from_millis(300);
const LINGER_BYTES: usize = 64 * 1024;

/// A connection in the list of all.
struct Open {
    task: AbortHandle,
    /// It is being answered.
    answering: Arc<AtomicBool>,
}

/// Serves until somebody says stop.
pub async fn serve(listeners: Vec<TcpListener>, site: Arc<Site>, stop: Mailbox<()>) {
    let (sender, arrivals) = crate::base::mailbox::mailbox();
    for listener in listeners {
        let sender = sender.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok(arrival) => sender.send(arrival),
                    // Shut down: the address is given up.
                    Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
                    // Out of descriptors, most likely: trying again at once would only burn time.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    }
    let (mut open, mut came, mut stopped) = (VecDeque::new(), Vec::new(), Vec::new());
    loop {
        tokio::select! {
            () = std::future::poll_fn(|cx| stop.poll_take(cx, &mut stopped)) => return,
            () = std::future::poll_fn(|cx| arrivals.poll_take(cx, &mut came)) => {}
        }
        for (stream, peer) in came.drain(..) {
            admit(&mut open, stream, peer, &site);
        }
    }
}

fn admit(open: &mut VecDeque<Open>, stream: TcpStream, peer: SocketAddr, site: &Arc<Site>) {
    open.retain(|connection| !connection.task.is_finished());
    if open.len() >= CONNECTIONS_MAX {
        let idle = open
            .iter()
            .position(|c| !c.answering.load(Ordering::Relaxed));
        match idle.and_then(|at| open.remove(at)) {
            Some(idlest) => idlest.task.abort(),
            // All are being answered. This one is closed without a word.
            None => return,
        }
    }
    // A wish: the connection works without it.
    let _ = stream.set_nodelay(true);
    let answering = Arc::new(AtomicBool::new(false));
    let (site, flag) = (site.clone(), answering.clone());
    let task = tokio::spawn(async move {
        // However it ends, nobody waits to hear of it.
        let _ = converse(stream, peer, &site, &flag).await;
    });
    open.push_back(Open {
        task: task.abort_handle(),
        answering,
    });
}

/// Answers the requests of a connection until it is over.
async fn converse(
    mut stream: TcpStream,
    peer: SocketAddr,
    site: &Site,
    answering: &AtomicBool,
) -> std::io::Result<()> {
    let local = stream.local_addr()?;
    let mut buf = Vec::new();
    let mut patience = HEAD_TIME;
    loop {
        let request = match read_head(&mut stream, &mut buf, patience).await? {
            Some(Ok(request)) => request,
            Some(Err(refusal)) => return refuse(stream, &refusal).await,
            None => return Ok(()),
        };
        answering.store(true, Ordering::Relaxed);
        let answer = site.answer(&request, peer, local).await;
        let wire = answer.wire(request.head_only, request.keep_alive);
        timeout(WRITE_TIME, stream.write_all(&wire)).await??;
        answering.store(false, Ordering::Relaxed);
        if !request.keep_alive {
            return stream.shutdown().await;
        }
        patience = IDLE_TIME;
    }
}

/// Reads the next head; what is behind it stays in `buf`. `None` if the peer has gone or does not begin.
async fn read_head(
    stream: &mut TcpStream,
    buf: &mut Vec<u8>,
    patience: Duration,
) -> std::io::Result<Option<Result<Request, Answer>>> {
    if buf.is_empty() {
        match timeout(patience, read_some(stream, buf)).await {
            Ok(Ok(n)) if n > 0 => {}
            _ => return Ok(None),
        }
    }
    let complete = timeout(HEAD_TIME, async {
        loop {
            match head::find_end(buf) {
                Ok(None) => {}
                found => return Ok(found),
            }
            if read_some(stream, buf).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
        }
    });
    let found = match complete.await {
        Ok(found) => found?,
        Err(_) => {
            return Ok(Some(Err(Answer::text(
                408,
                "The head of the request took too long.",
            ))));
        }
    };
    let parsed = found.and_then(|end| {
        let rest = buf.split_off(end.unwrap_or_default());
        let head = std::mem::replace(buf, rest);
        head::parse(&head)
    });
    Ok(Some(parsed.map_err(|fault| {
        let answer = Answer::text(fault.status(), "This request is not understood here.");
        match fault {
            head::Fault::Method => answer.with("Allow", "GET, HEAD"),
            _ => answer,
        }
    })))
}

async fn read_some(stream: &mut TcpStream, buf: &mut Vec<u8>) -> std::io::Result<usize> {
    let room = HEAD_MAX - buf.len().min(HEAD_MAX);
    stream.take(room as u64).read_buf(buf).await
}

/// Says why, and ends. What has come unread would reset the connection before the peer has read that.
async fn refuse(mut stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    timeout(WRITE_TIME, stream.write_all(&answer.wire(false, false))).await??;
    stream.shutdown().await?;
    let drain = async {
        let (mut rest, mut waste) = (LINGER_BYTES, [0; 4096]);
        while rest > 0 {
            match stream.read(&mut waste).await {
                Ok(n) if n > 0 => rest = rest.saturating_sub(n),
                _ => return,
            }
        }
    };
    // Whether there was more or not, this is the end.
    let _ = timeout(LINGER_TIME, drain).await;
    Ok(())
}
