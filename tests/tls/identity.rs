//! Whose certificate is believed, and whose is not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::certs::{EC, authority, file, folder, issue, openssl, say, server, text};
use crate::support::{Server, TempDir, free_port};

/// Shows a certificate and signs with a key, which need not belong together; whether it is let in.
fn shows(port: u16, cert: &str, key: &str, version: &'static SupportedProtocolVersion) -> bool {
    let provider = ring::default_provider();
    let key = PrivateKeyDer::from_pem_file(file(key)).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![CertificateDer::from_pem_file(file(cert)).unwrap()];
    let identity = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file("ca.crt")).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(identity));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let mut reply = [0; 7];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut reply).is_ok()
        && &reply == b"+PONG\r\n"
}

#[test]
fn a_certificate_without_its_key_is_worth_nothing() {
    let (_server, port) = server(&[]);
    issue(folder(), "ca", "carol", "rsa:2048", 1);
    issue(folder(), "ca", "dave", "rsa:2048", 3);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (cert, key, wanted) in [
            ("carol", "carol", true),
            ("dave", "dave", true),
            ("bob", "bob", true),
            ("carol", "dave", false),
            ("dave", "carol", false),
            ("bob", "server", false),
            ("carol", "bob", false),
        ] {
            let seen = shows(port, &format!("{cert}.crt"), &format!("{key}.key"), version);
            assert_eq!(seen, wanted, "{cert} with the key of {key}, {version:?}");
        }
    }
}

#[test]
fn old_certificates_need_a_signature_of_the_authority_itself() {
    let dir = TempDir::new();
    let path = dir.path().to_str().unwrap();
    // An authority of the same name with another key.
    authority(path, "ca");
    issue(path, "ca", "mallory", "rsa:2048", 1);
    issue(path, "ca", "modern", "rsa:2048", 3);
    // One whose certificate is of yesterday, one of an authority that is not listed, one that vouches for itself.
    issue(folder(), "ca", "late", EC, 1);
    openssl(
        folder(),
        "x509 -req -days -1 -in late.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out late.crt",
    );
    issue(folder(), "other", "foreign", EC, 1);
    openssl(
        folder(),
        "x509 -req -days 2 -in late.csr -signkey late.key -out itself.crt",
    );
    // Signed by a client, which is no authority.
    openssl(
        folder(),
        "x509 -req -days 2 -in late.csr -CA bob.crt -CAkey bob.key -CAcreateserial -out second.hand.crt",
    );
    let (server, port) = server(&[]);
    let shown = |cert: String, key: String| {
        let mut cli = Command::new("redis-cli");
        cli.args([
            "-p",
            &port.to_string(),
            "--tls",
            "--cacert",
            &file("ca.crt"),
        ]);
        text(
            cli.args(["--cert", &cert, "--key", &key, "PING"])
                .output()
                .unwrap(),
        )
    };
    for name in ["mallory", "modern"] {
        let said = shown(format!("{path}/{name}.crt"), format!("{path}/{name}.key"));
        assert_ne!(said, "PONG", "{name}");
    }
    for (cert, key) in [
        ("late", "late"),
        ("foreign", "foreign"),
        ("itself", "late"),
        ("second.hand", "late"),
    ] {
        let said = shown(file(&format!("{cert}.crt")), file(&format!("{key}.key")));
        assert_ne!(said, "PONG", "{cert}");
    }
    let log = server.log();
    for reason in ["Expired", "UnknownIssuer", "BadSignature"] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    assert_eq!(say(port, "alice", &["PING"]), "PONG");
}

#[test]
fn authorities_may_lie_in_a_directory() {
    let dir = TempDir::new();
    let path = dir.path().to_str().unwrap();
    std::fs::copy(file("ca.crt"), dir.path().join("ca.crt")).unwrap();
    let (server, port) = server(&[]);
    let mut admin = server.connect();
    let words = [
        "CONFIG",
        "SET",
        "tls-ca-cert-file",
        "",
        "tls-ca-cert-dir",
        path,
    ];
    // Without its hash for a name OpenSSL would not find it.
    assert!(admin.call(&words).text().contains("Unable to update TLS"));
    assert!(server.log().contains("openssl rehash"), "{}", server.log());
    openssl(path, "rehash .");
    assert_eq!(admin.call(&words).text(), "OK");
    assert_eq!(say(port, "bob", &["PING"]), "PONG");
    assert_ne!(say(port, "stranger", &["PING"]), "PONG");
}

/// What small installations do: one certificate that vouches for itself is everything.
#[test]
fn one_certificate_for_all() {
    let dir = TempDir::new();
    let path = dir.path().to_str().unwrap();
    authority(path, "all");
    let (cert, key) = (format!("{path}/all.crt"), format!("{path}/all.key"));
    let start = || {
        let port = free_port();
        let words = [
            "--tls-port",
            &port.to_string(),
            "--tls-replication",
            "yes",
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &cert,
        ];
        (Server::with_options(&words), port)
    };
    let ((_master, port), (replica, _)) = (start(), start());
    let mut r = replica.connect();
    crate::support::replicas::follow(&mut r, port);
}
