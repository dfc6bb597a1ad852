//! A way between two servers that can be cut: it passes bytes on, ends its connections when told to, or
//! after so many bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

#[derive(Default)]
struct State {
    sockets: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
    cuts: AtomicU64,
    /// Each connection ends after so many bytes from the target; 0: never.
    limit: AtomicU64,
    stop: AtomicBool,
}

pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Listens on a port of its own, for connections to `target`.
    pub fn to(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
        let port = listener.local_addr().expect("local address").port();
        listener
            .set_nonblocking(true)
            .expect("a socket that does not wait");
        let state = Arc::new(State::default());
        let of_thread = state.clone();
        std::thread::spawn(move || {
            while !of_thread.stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) if !of_thread.closed.load(Ordering::Relaxed) => {
                        pass(client, target, &of_thread);
                    }
                    Ok(_) => {}
                    Err(_) => sleep(Duration::from_millis(5)),
                }
            }
        });
        Proxy { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections; new ones are possible.
    pub fn cut(&self) {
        self.state.cuts.fetch_add(1, Ordering::Relaxed);
        for socket in self.state.sockets.lock().expect("no panic").drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Ends all connections, and refuses new ones while `closed`.
    pub fn close(&self, closed: bool) {
        self.state.closed.store(closed, Ordering::Relaxed);
        if closed {
            self.cut();
        }
    }

    /// New connections end after so many bytes from the target; 0: never.
    pub fn limit(&self, bytes: u64) {
        self.state.limit.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        self.cut();
    }
}

fn pass(client: TcpStream, target: SocketAddr, state: &Arc<State>) {
    client.set_nonblocking(false).expect("a socket that waits");
    let Ok(server) = TcpStream::connect(target) else {
        return;
    };
    let clone = |socket: &TcpStream| socket.try_clone().expect("share a socket");
    {
        let mut sockets = state.sockets.lock().expect("no panic");
        sockets.push(clone(&client));
        sockets.push(clone(&server));
    }
    let limit = match state.limit.load(Ordering::Relaxed) {
        0 => u64::MAX,
        bytes => bytes,
    };
    let ways = [
        (clone(&client), clone(&server), u64::MAX),
        (server, client, limit),
    ];
    for (mut from, mut to, mut left) in ways {
        std::thread::spawn(move || {
            let mut piece = [0; 16 * 1024];
            while left > 0 {
                let Ok(n @ 1..) = from.read(&mut piece) else {
                    break;
                };
                let n = n.min(usize::try_from(left).unwrap_or(usize::MAX));
                left -= n as u64;
                if to.write_all(&piece[..n]).is_err() {
                    break;
                }
            }
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
