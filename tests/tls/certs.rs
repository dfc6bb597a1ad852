//! Certificates for a test run, and servers and clients that use them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use ferrite::config::Settings;
use ferrite::tls;
use ferrite::tls::blocking::Stream;

use crate::support::{Server, TempDir, free_port};

pub fn openssl(dir: &str, line: &str) {
    let words = line.split(' ').map(|word| word.replace('~', " "));
    let output = Command::new("openssl")
        .args(words)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("run openssl");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {errors}");
}

pub fn authority(dir: &str, name: &str) {
    openssl(
        dir,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /O=Ferrite/CN={name} -keyout {name}.key -out {name}.crt"
        ),
    );
}

/// A certificate from that authority; with extensions it is of version 3, without one of version 1.
pub fn issue(dir: &str, authority: &str, name: &str, key: &str, version: u8) {
    openssl(
        dir,
        &format!(
            "req -new -newkey {key} -nodes -subj /O=Ferrite/CN={name} -keyout {name}.key -out {name}.csr"
        ),
    );
    std::fs::write(
        format!("{dir}/v3.cnf"),
        "subjectAltName=IP:127.0.0.1,DNS:localhost,URI:urn:ferrite\n",
    )
    .expect("write");
    let extensions = if version == 3 { " -extfile v3.cnf" } else { "" };
    openssl(
        dir,
        &format!(
            "x509 -req -sha256 -days 2 -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -out {name}.crt{extensions}"
        ),
    );
}

pub const EC: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

/// The folder with `ca`, `server`, `alice` (version 1, RSA), `bob` (version 3) and `stranger` (of `other`).
pub fn folder() -> &'static str {
    static FOLDER: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, path) = FOLDER.get_or_init(|| {
        let dir = TempDir::new();
        let path = dir.path().to_str().expect("plain path").to_owned();
        authority(&path, "ca");
        authority(&path, "other");
        issue(&path, "ca", "server", EC, 3);
        issue(&path, "ca", "alice", "rsa:2048", 1);
        issue(&path, "ca", "bob", EC, 3);
        issue(&path, "other", "stranger", EC, 3);
        openssl(
            &path,
            "pkcs8 -topk8 -in server.key -out server.locked.key -v2 aes-256-cbc -passout pass:1234",
        );
        openssl(
            &path,
            "rsa -in alice.key -out alice.old.key -traditional -aes128 -passout pass:1234",
        );
        (dir, path)
    });
    path
}

pub fn file(name: &str) -> String {
    format!("{}/{name}", folder())
}

/// The directives with the server's certificate; `more` behind them.
pub fn directives(more: &[&str]) -> Vec<String> {
    let mut words = vec![
        "--tls-cert-file".to_owned(),
        file("server.crt"),
        "--tls-key-file".into(),
        file("server.key"),
        "--tls-ca-cert-file".into(),
        file("ca.crt"),
    ];
    words.extend(more.iter().map(|word| word.to_string()));
    words
}

/// A server with a plain port and one for TLS.
pub fn server(more: &[&str]) -> (Server, u16) {
    let port = free_port();
    let mut words = directives(&["--tls-port", &port.to_string()]);
    words.extend(more.iter().map(|word| word.to_string()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    (Server::with_options(&words), port)
}

/// redis-cli with TLS, as this client; as nobody if there is no name.
pub fn cli(port: u16, who: &str) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "--tls"]);
    command.args(["--cacert", &file("ca.crt")]);
    if !who.is_empty() {
        command.args(["--cert", &file(&format!("{who}.crt"))]);
        command.args(["--key", &file(&format!("{who}.key"))]);
    }
    command.stdin(Stdio::null());
    command
}

/// What redis-cli says.
pub fn say(port: u16, who: &str, words: &[&str]) -> String {
    text(cli(port, who).args(words).output().expect("run redis-cli"))
}

pub fn text(output: Output) -> String {
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

/// An open connection.
pub struct Open(Stream);

impl Open {
    pub fn new(port: u16, who: &str) -> Open {
        let settings = Settings {
            tls_replication: true,
            tls_cert_file: file(&format!("{who}.crt")),
            tls_key_file: file(&format!("{who}.key")),
            tls_ca_cert_file: file("ca.crt"),
            ..Settings::default()
        };
        let context = tls::Context::default();
        context.configure(&settings).expect("certificates");
        let config = context.for_client(true).expect("a configuration");
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        let patience = Duration::from_secs(10);
        let stream = Stream::connect(socket, config, patience).expect("handshake");
        stream
            .socket()
            .set_write_timeout(Some(patience))
            .expect("timeout");
        stream
            .socket()
            .set_read_timeout(Some(patience))
            .expect("timeout");
        Open(stream)
    }

    /// Sends bytes; false when the connection is over.
    pub fn send(&mut self, bytes: &str) -> bool {
        self.0.write_all(bytes.as_bytes()).is_ok()
    }

    /// Sends a line and gives a line.
    pub fn line(&mut self, line: &str) -> String {
        self.0
            .write_all(format!("{line}\r\n").as_bytes())
            .expect("send");
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a reply");
            text.push(byte[0]);
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}
