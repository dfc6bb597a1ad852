//! Certificates change while connections go on.

use std::process::{Command, Stdio};

use crate::certs::{EC, Open, file, folder, issue, server, text};
use crate::support::replicas::until;

/// The name in the certificate that the server shows.
fn shown(port: u16) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(output);
    let subject = said.lines().find_map(|line| line.strip_prefix("subject="));
    subject.unwrap_or(&said).to_owned()
}

#[test]
fn by_config_set() {
    let (server, port) = server(&["--tls-auth-clients", "no"]);
    let mut admin = server.connect();
    let mut set = |words: &[&str]| admin.call(&[&["CONFIG", "SET"], words].concat()).text();
    let mut open = Open::new(port, "bob");
    assert_eq!(open.line("PING"), "+PONG");
    assert!(shown(port).contains("CN = server"));
    assert_eq!(
        set(&[
            "tls-cert-file",
            &file("bob.crt"),
            "tls-key-file",
            &file("bob.key")
        ]),
        "OK"
    );
    assert!(shown(port).contains("CN = bob"));
    assert_eq!(open.line("PING"), "+PONG");
    // What cannot be is refused as a whole.
    for (name, value) in [
        ("tls-cert-file", file("server.crt")),
        ("tls-cert-file", "/none".into()),
        ("tls-ca-cert-file", file("bob.key")),
        ("tls-key-file", file("bob.crt")),
    ] {
        let wanted = format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - Unable to update TLS configuration. Check server logs."
        );
        assert_eq!(set(&["hz", "20", name, &value]), wanted);
    }
    assert!(shown(port).contains("CN = bob"));
    assert_eq!(open.line("PING"), "+PONG");
    let config = crate::certs::say(port, "bob", &["CONFIG", "GET", "hz", "tls-cert-file"]);
    assert!(
        config.contains("10") && config.contains("bob.crt"),
        "{config}"
    );
}

#[test]
fn by_setting_a_file_to_what_it_is() {
    let (server, port) = server(&["--tls-auth-clients", "no"]);
    let (cert, key) = (server.dir().join("c"), server.dir().join("k"));
    let put = |name: &str| {
        std::fs::copy(file(&format!("{name}.crt")), &cert).unwrap();
        std::fs::copy(file(&format!("{name}.key")), &key).unwrap();
    };
    put("server");
    let mut admin = server.connect();
    let (cert_text, key_text) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let words = [
        "CONFIG",
        "SET",
        "tls-cert-file",
        cert_text,
        "tls-key-file",
        key_text,
    ];
    assert_eq!(admin.call(&words).text(), "OK");
    put("bob");
    assert!(shown(port).contains("CN = server"));
    assert_eq!(admin.call(&words).text(), "OK");
    assert!(shown(port).contains("CN = bob"));
}

#[test]
fn by_a_change_of_the_files() {
    let dir = folder();
    issue(dir, "ca", "first", EC, 3);
    issue(dir, "ca", "second", EC, 3);
    for end in ["crt", "key"] {
        std::fs::copy(file(&format!("first.{end}")), file(&format!("own.{end}"))).unwrap();
    }
    let (cert, key) = (file("own.crt"), file("own.key"));
    let options = [
        "--tls-auto-reload-interval",
        "1",
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    let (server, port) = server(&options);
    let mut open = Open::new(port, "bob");
    assert!(shown(port).contains("CN = first"));
    // Half of the change is no change: the key does not fit.
    std::fs::copy(file("second.crt"), &cert).unwrap();
    until("the damage is told", || {
        server.log().contains("cannot be used")
    });
    assert!(shown(port).contains("CN = first"));
    std::fs::copy(file("second.key"), &key).unwrap();
    until("the change is seen", || shown(port).contains("CN = second"));
    assert_eq!(open.line("PING"), "+PONG");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(server.log().matches("were read again").count(), 1);
}
