//! The accept loop: listening sockets, the threads that connections run on, and who is let in.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use tokio::runtime::Handle;

use super::conn::Conn;
use super::{task, tls};
use crate::base::mailbox::Sender;
use crate::base::sys;
use crate::config::lists::Bind;
use crate::config::{Settings, SharedSettings};
use crate::dispatch::actor::Message;
use crate::tls::Material;

const DENIED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an authentication password for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the outside.\r\n";
const TOO_MANY: &str = "-ERR max number of clients reached\r\n";

/// Counters of the accept loop.
#[derive(Debug, Default)]
pub struct Counters {
    pub connected: AtomicUsize,
    pub rejected: AtomicU64,
    next_id: AtomicU64,
}

impl Counters {
    /// The number of one more client.
    pub fn fresh_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What every accept task needs.
#[derive(Clone)]
struct Door {
    actor: Sender<Message>,
    settings: Arc<SharedSettings>,
    counters: Arc<Counters>,
    threads: Threads,
    tls: Arc<crate::tls::Context>,
}

/// The threads of connections.
#[derive(Clone)]
pub struct Threads {
    /// Runtimes that connections are spread over.
    runtimes: Arc<[Handle]>,
    /// There is one, and it is the actor's own.
    beside_actor: bool,
}

/// What the connections of a port speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Tls,
}

/// The sockets of a port.
#[derive(Default)]
struct Port {
    sockets: Vec<TcpListener>,
    /// Where they listen: it need not be opened again for the same.
    place: Option<(u16, Bind)>,
}

/// The listening sockets of the server.
pub struct Listeners {
    door: Door,
    tcp: Port,
    tls: Port,
    /// Where handshakes are done, once there is a port for them.
    handshakes: Option<Handle>,
    unix: Option<PathBuf>,
}

/// Starts the threads of `io-threads`: with 1, connections run beside the actor; with more, on
/// threads of their own.
pub fn io_threads(count: usize) -> io::Result<Threads> {
    if count <= 1 {
        return Ok(Threads {
            runtimes: Arc::new([Handle::current()]),
            beside_actor: true,
        });
    }
    let mut handles = Vec::new();
    for number in 1..count {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        handles.push(runtime.handle().clone());
        let name = format!("ferrite-io-{number}");
        std::thread::Builder::new()
            .name(name)
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    }
    Ok(Threads {
        runtimes: handles.into(),
        beside_actor: false,
    })
}

impl Listeners {
    pub fn new(
        actor: Sender<Message>,
        settings: Arc<SharedSettings>,
        threads: Threads,
        tls: Arc<crate::tls::Context>,
    ) -> Listeners {
        let door = Door {
            actor,
            settings,
            counters: Arc::default(),
            threads,
            tls,
        };
        Listeners {
            door,
            tcp: Port::default(),
            tls: Port::default(),
            handshakes: None,
            unix: None,
        }
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.door.counters
    }

    /// Opens the TCP sockets of `bind` and `port`, closing those that were open elsewhere.
    ///
    /// # Errors
    /// The text for the log; no such socket is open then.
    pub fn open_tcp(&mut self, config: &Settings) -> Result<(), String> {
        self.open(Kind::Plain, config.port, config)
    }

    /// The same for `tls-port`.
    ///
    /// # Errors
    /// The text for the log; no such socket is open then.
    pub fn open_tls(&mut self, config: &Settings) -> Result<(), String> {
        if config.tls_port != 0 && self.handshakes.is_none() {
            let thread = tls::start_thread();
            self.handshakes = Some(thread.map_err(|e| format!("Can't start a thread: {e}"))?);
        }
        self.open(Kind::Tls, config.tls_port, config)
    }

    fn port(&mut self, kind: Kind) -> &mut Port {
        match kind {
            Kind::Plain => &mut self.tcp,
            Kind::Tls => &mut self.tls,
        }
    }

    fn open(&mut self, kind: Kind, port: u16, config: &Settings) -> Result<(), String> {
        let place = (port != 0).then(|| (port, config.bind.clone()));
        if self.port(kind).place == place {
            return Ok(());
        }
        self.shut(kind);
        if port == 0 {
            return Ok(());
        }
        let opened = self.open_all(kind, port, config);
        match &opened {
            Ok(()) => self.port(kind).place = place,
            Err(_) => self.shut(kind),
        }
        opened
    }

    fn shut(&mut self, kind: Kind) {
        let port = self.port(kind);
        port.place = None;
        for old in port.sockets.drain(..) {
            // The accept task holds a second handle; shutting down frees the port at once.
            let _ = SockRef::from(&old).shutdown(std::net::Shutdown::Both);
        }
    }

    fn open_all(&mut self, kind: Kind, port: u16, config: &Settings) -> Result<(), String> {
        for (address, optional) in config.bind.addresses() {
            match bind_all(address, port, config.tcp_backlog) {
                Ok(listeners) => {
                    for listener in listeners {
                        let accepted = match kind {
                            Kind::Plain => self.accept_tcp(listener),
                            Kind::Tls => self.accept_tls(listener),
                        };
                        accepted.map_err(|e| e.to_string())?;
                    }
                }
                Err(error) => {
                    let harmless = optional
                        && (error.raw_os_error() == Some(libc::EAFNOSUPPORT)
                            || matches!(
                                error.kind(),
                                io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
                            ));
                    tracing::warn!(
                        "Warning: Could not create server TCP listening socket {address}:{port}: {}",
                        os_text(&error)
                    );
                    if !harmless {
                        let name = match kind {
                            Kind::Plain => "tcp",
                            Kind::Tls => "tls",
                        };
                        return Err(format!(
                            "Failed listening on port {port} ({name}), aborting."
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn accept_tcp(&mut self, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let task_side = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
        self.tcp.sockets.push(listener);
        let door = self.door.clone();
        tokio::spawn(async move {
            loop {
                match task_side.accept().await {
                    Ok((stream, peer)) => {
                        if let Ok(stream) = stream.into_std() {
                            door.admit_tcp(stream, peer);
                        }
                    }
                    // Shut down: the address is given up.
                    Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
                    Err(error) => pause_after(&error).await,
                }
            }
        });
        Ok(())
    }

    /// The same on the thread of handshakes.
    fn accept_tls(&mut self, listener: TcpListener) -> io::Result<()> {
        let Some(thread) = &self.handshakes else {
            return Err(io::Error::other("there is no thread for handshakes"));
        };
        listener.set_nonblocking(true)?;
        let task_side = listener.try_clone()?;
        self.tls.sockets.push(listener);
        let door = self.door.clone();
        thread.spawn(async move {
            // Made here, so that it is registered with the runtime that it runs on.
            let task_side = match tokio::net::TcpListener::from_std(task_side) {
                Ok(listener) => listener,
                Err(error) => {
                    return tracing::warn!("Can't accept TLS connections: {}", os_text(&error));
                }
            };
            let mut in_a_row = 0;
            loop {
                match task_side.accept().await {
                    Ok((stream, peer)) => {
                        if let Ok(stream) = stream.into_std() {
                            door.admit_tls(stream, peer);
                        }
                        in_a_row += 1;
                        if in_a_row >= door.settings.max_new_tls_connections() {
                            in_a_row = 0;
                            tokio::task::yield_now().await;
                        }
                    }
                    Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
                    Err(error) => pause_after(&error).await,
                }
            }
        });
        Ok(())
    }

    /// Whether anybody can come in.
    pub fn is_open(&self) -> bool {
        // Addresses of `bind` that may be missing can all be missing.
        !self.tcp.sockets.is_empty() || !self.tls.sockets.is_empty() || self.unix.is_some()
    }

    /// Opens the unix socket. Its mode is right from the first moment.
    ///
    /// # Errors
    /// The text for the log.
    pub fn open_unix(&mut self, config: &Settings) -> Result<(), String> {
        if config.unixsocket.is_empty() {
            return Ok(());
        }
        let path = Path::new(&config.unixsocket);
        let listener = bind_unix(path, config.unixsocketperm)
            .map_err(|e| format!("Failed opening Unix socket: bind: {}", os_text(&e)))?;
        let task_side = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::UnixListener::from_std(listener))
            .map_err(|e| format!("Failed opening Unix socket: {}", os_text(&e)))?;
        self.unix = Some(path.to_owned());
        let (door, name) = (self.door.clone(), config.unixsocket.clone());
        tokio::spawn(async move {
            loop {
                match task_side.accept().await {
                    Ok((stream, _)) => {
                        if let Ok(stream) = stream.into_std() {
                            door.admit_unix(stream, &name);
                        }
                    }
                    Err(error) => pause_after(&error).await,
                }
            }
        });
        Ok(())
    }

    /// Removes the unix socket's file.
    pub fn close(&mut self) {
        self.shut(Kind::Plain);
        self.shut(Kind::Tls);
        if let Some(path) = self.unix.take() {
            tracing::info!("Removing the unix socket file.");
            // Somebody may have removed it before.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Out of file descriptors or memory: trying again at once would only burn time. Every other
/// error is of one connection, whose peer is gone already, and must not hold up those behind it.
async fn pause_after(error: &io::Error) {
    let short_of = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    if error
        .raw_os_error()
        .is_some_and(|code| short_of.contains(&code))
    {
        tracing::warn!("Accepting client connection: {}", os_text(error));
        tokio::time::sleep(Duration::from_millis(100)).await;
    } else {
        tracing::debug!("Accepting client connection: {}", os_text(error));
        tokio::task::yield_now().await;
    }
}

/// The system's words for an error, as Redis logs them.
pub fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

pub fn bind_all(address: &str, port: u16, backlog: u32) -> io::Result<Vec<TcpListener>> {
    let targets: Vec<SocketAddr> = match address {
        "*" => vec![SocketAddr::from(([0, 0, 0, 0], port))],
        "::*" => vec![SocketAddr::from(([0u16; 8], port))],
        name => (name, port).to_socket_addrs()?.collect(),
    };
    targets
        .into_iter()
        .map(|target| bind_one(target, backlog))
        .collect()
}

fn bind_one(target: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(target),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if target.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&target.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// The socket is made under a mask, so that nobody can connect with the wrong rights even for a
/// moment.
fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    // A socket that an earlier process left behind. Anything else is somebody's file: it stays, and binding fails.
    if std::fs::symlink_metadata(path).is_ok_and(|known| known.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    if mode == 0 {
        return UnixListener::bind(path);
    }
    let before = sys::umask(!mode & 0o777);
    let listener = UnixListener::bind(path);
    sys::umask(before);
    let listener = listener?;
    // The mask only takes rights away; this also gives those that the mode has.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

impl Door {
    /// Why a connection is not let in, if so.
    fn refusal(&self, loopback: bool) -> Option<&'static str> {
        if self.is_full() {
            return Some(TOO_MANY);
        }
        let open = self.settings.protected_mode() && !self.settings.password_required();
        (open && !loopback).then_some(DENIED)
    }

    fn is_full(&self) -> bool {
        self.counters.connected.load(Ordering::Relaxed) >= self.settings.maxclients() as usize
    }

    /// Lets a connection in, or says why not.
    fn may_enter(&self, stream: &mut impl io::Write, loopback: bool) -> bool {
        let Some(refusal) = self.refusal(loopback) else {
            return true;
        };
        // The peer may not even read it.
        let _ = stream.write_all(refusal.as_bytes());
        self.counters.rejected.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn conn(&self, addr: String, laddr: String, unix: bool, fd: i32) -> Arc<Conn> {
        let id = self.counters.fresh_id();
        Arc::new(Conn::new(
            id,
            addr,
            laddr,
            unix,
            fd,
            !self.settings.password_required(),
        ))
    }

    fn admit_tcp(&self, mut stream: TcpStream, peer: SocketAddr) {
        if !self.may_enter(&mut stream, is_loopback(peer.ip())) {
            return;
        }
        self.tune(&stream);
        let conn = self.conn_of(&stream, peer);
        self.start(conn, move || tokio::net::TcpStream::from_std(stream));
    }

    fn tune(&self, stream: &TcpStream) {
        let socket = SockRef::from(stream);
        // Both are wishes: the connection works without them.
        let _ = socket.set_tcp_nodelay(true);
        let keepalive = self.settings.tcp_keepalive_s();
        if keepalive > 0 {
            let _ = socket.set_tcp_keepalive(&keepalive_of(keepalive));
        }
    }

    fn conn_of(&self, stream: &TcpStream, peer: SocketAddr) -> Arc<Conn> {
        let laddr = local_text(stream);
        self.conn(peer.to_string(), laddr, false, stream.as_raw_fd())
    }

    /// Takes a connection of the TLS port. Until its handshake is done it counts as a client, but nobody sees it.
    fn admit_tls(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(material) = self.tls.current() else {
            return;
        };
        if self.is_full() {
            // Without a handshake there is no way to say why.
            self.counters.rejected.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.tune(&stream);
        self.counters.connected.fetch_add(1, Ordering::Relaxed);
        let door = self.clone();
        tokio::spawn(async move {
            let laddr = local_text(&stream);
            let done = tls::shake_hands(stream, material.server.clone()).await;
            // From here on it counts where its task runs.
            door.counters.connected.fetch_sub(1, Ordering::Relaxed);
            match done {
                Ok(ready) => door.seat(ready, peer, laddr, &material),
                Err(error) => tracing::warn!(
                    "Error accepting a client connection: {error} (addr={peer} laddr={laddr})"
                ),
            }
        });
    }

    /// Gives a connection its place when its handshake is done.
    fn seat(&self, ready: tls::Ready, peer: SocketAddr, laddr: String, material: &Material) {
        if let Some(refusal) = self.refusal(is_loopback(peer.ip())) {
            self.counters.rejected.fetch_add(1, Ordering::Relaxed);
            return ready.refuse(refusal);
        }
        let certificate = ready.certificate();
        let user = certificate.and_then(|c| crate::tls::user_of(c, material.auth_user));
        let conn = self.conn(peer.to_string(), laddr, false, ready.as_raw_fd());
        if let Some(user) = user {
            conn.name_user(user);
        }
        self.start_task(conn, false, move || ready.into_socket());
    }

    fn admit_unix(&self, mut stream: UnixStream, path: &str) {
        if !self.may_enter(&mut stream, true) {
            return;
        }
        let place = format!("{path}:0");
        let conn = self.conn(place.clone(), place, true, stream.as_raw_fd());
        self.start(conn, move || tokio::net::UnixStream::from_std(stream));
    }

    fn start<S: super::socket::Socket>(
        &self,
        conn: Arc<Conn>,
        make: impl FnOnce() -> io::Result<S> + Send + 'static,
    ) {
        self.start_task(conn, self.threads.beside_actor, make);
    }

    /// `shared`: the actor may write to the socket.
    fn start_task<S: super::socket::Socket>(
        &self,
        conn: Arc<Conn>,
        shared: bool,
        make: impl FnOnce() -> io::Result<S> + Send + 'static,
    ) {
        let counters = self.counters.clone();
        counters.connected.fetch_add(1, Ordering::Relaxed);
        let (actor, settings) = (self.actor.clone(), self.settings.clone());
        let runtimes = &self.threads.runtimes;
        runtimes[conn.id as usize % runtimes.len()].spawn(async move {
            // Made here, so that it is registered with the runtime that it runs on.
            if let Ok(socket) = make() {
                let socket = Arc::new(socket);
                if shared {
                    let socket: Arc<dyn super::socket::Socket> = socket.clone();
                    conn.share_socket(Arc::downgrade(&socket));
                }
                task::run(socket, conn, actor, settings).await;
            }
            counters.connected.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn local_text(stream: &TcpStream) -> String {
    stream.local_addr().map_or(String::new(), |a| a.to_string())
}

fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
    }
}

/// Probes after `seconds` of silence, every third of that, given up after three: as Redis sets it.
fn keepalive_of(seconds: u32) -> socket2::TcpKeepalive {
    let interval = Duration::from_secs(u64::from(seconds / 3).max(1));
    socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(u64::from(seconds)))
        .with_interval(interval)
        .with_retries(3)
}
