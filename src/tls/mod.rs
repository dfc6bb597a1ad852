//! TLS: from the directives `tls-*` to what connections need.
//!
//! [`Context`] holds what is in force. A change of a directive or of a file makes it anew ([`build`]) and puts it there as
//! a whole, or leaves what was: connections keep what they began with, new ones get the new. The streams are in
//! `net::tls` (connections of clients), [`blocking`] (threads that talk to other servers) and the library's own
//! (Sentinel's tasks).

pub mod blocking;
mod files;
mod options;
mod reload;
mod sessions;
pub mod tool;
mod verify;
mod x509;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig};

use crate::config::Settings;
use crate::config::enums::{TlsAuthClients, TlsAuthClientsUser};
use files::Files;
pub use options::{Options, in_use};
pub use reload::{Watch, watch};

/// Made from one state of the directives and files.
#[derive(Debug)]
pub struct Material {
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
    /// Which field of a client's certificate names its user.
    pub auth_user: TlsAuthClientsUser,
    options: Options,
    /// A sum over the files.
    print: u64,
}

/// What is in force, for all threads.
#[derive(Debug, Default)]
pub struct Context {
    current: RwLock<Option<Arc<Material>>>,
}

impl Context {
    /// What a new connection gets; `None` if TLS is not in use.
    pub fn current(&self) -> Option<Arc<Material>> {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, material: Option<Material>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = material.map(Arc::new);
    }

    /// Puts `material` in the place of `before`, if that is in force.
    fn replace_if(&self, before: &Arc<Material>, material: Material) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let same = current.as_ref().is_some_and(|c| Arc::ptr_eq(c, before));
        if same {
            *current = Some(Arc::new(material));
        }
        same
    }

    /// Puts the present directives and files in force.
    ///
    /// # Errors
    /// The reason, for the log; what was in force stays.
    pub fn configure(&self, config: &Settings) -> Result<(), String> {
        if !in_use(config) {
            self.replace(None);
            return Ok(());
        }
        let (material, notices) = build(Options::of(config))?;
        notices.iter().for_each(|notice| tracing::warn!("{notice}"));
        self.replace(Some(material));
        Ok(())
    }

    /// For a connection to another server, if it is to have TLS.
    ///
    /// # Errors
    /// If it is, and nothing is in force: it must not be made in plain text then.
    pub fn for_client(&self, wanted: bool) -> Result<Option<Arc<ClientConfig>>, &'static str> {
        match (wanted, self.current()) {
            (false, _) => Ok(None),
            (true, Some(current)) => Ok(Some(current.client.clone())),
            (true, None) => Err("TLS is asked for and not configured"),
        }
    }
}

/// What a server that is connected to is called in the library's calls: nobody checks it, and it is not sent.
pub fn any_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])))
}

/// Reads the files and makes both sides. Also gives notices for the log.
///
/// # Errors
/// What is wrong, for the log.
pub fn build(options: Options) -> Result<(Material, Vec<String>), String> {
    let mut notices = Vec::new();
    match make(options, &mut notices) {
        Ok(material) => Ok((material, notices)),
        // What was not known may be why nothing is left.
        Err(reason) => Err([&notices[..], &[reason]].concat().join("; ")),
    }
}

fn make(options: Options, notices: &mut Vec<String>) -> Result<Material, String> {
    let mut tell = |text| notices.push(text);
    for (name, value) in [
        ("tls-cert-file", &options.server.cert),
        ("tls-key-file", &options.server.key),
    ] {
        if value.is_empty() {
            return Err(format!("No {name} configured!"));
        }
    }
    let checks = options.auth != TlsAuthClients::No || options.connects;
    if checks && options.ca_file.is_empty() && options.ca_dir.is_empty() {
        return Err(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or tls-auth-clients are enabled!"
                .into(),
        );
    }
    let versions = options.versions(&mut tell)?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: options.suites(&mut tell)?,
        ..ring::default_provider()
    });
    let mut files = Files::default();
    let own = &options.server;
    let server_key = files.identity(&provider, &own.cert, &own.key, &own.password)?;
    let client_key = match &options.client {
        Some(own) => files.identity(&provider, &own.cert, &own.key, &own.password)?,
        None => server_key.clone(),
    };
    let authorities = Arc::new(files.authorities(&options.ca_file, &options.ca_dir)?);
    let verifier = match options.auth {
        TlsAuthClients::No => WebPkiClientVerifier::no_client_auth(),
        auth => {
            let optional = auth == TlsAuthClients::Optional;
            let clients = verify::Clients::new(authorities.clone(), provider.clone(), optional);
            Arc::new(clients.map_err(|e| format!("Failed to check clients: {e}"))?)
        }
    };
    let unfit = |e: rustls::Error| format!("tls-protocols and tls-ciphers do not fit: {e}");
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(unfit)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(server_key)));
    server.ignore_client_order = options.prefer_own_order;
    server.session_storage = match options.sessions {
        Some((most, lifetime)) => Arc::new(sessions::Sessions::new(most, lifetime)),
        None => Arc::new(NoServerSessionStorage {}),
    };
    if options.sessions.is_none() {
        server.send_tls13_tickets = 0;
    }
    let checks = verify::Servers {
        authorities,
        algorithms: provider.signature_verification_algorithms,
        names: options.names()?,
        trusting: false,
    };
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(unfit)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(checks))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client_key)));
    client.enable_sni = false;
    client.resumption = Resumption::disabled();
    Ok(Material {
        server: Arc::new(server),
        client: Arc::new(client),
        auth_user: options.auth_user,
        print: files.print(),
        options,
    })
}

/// What of the directives has no effect, for `check-config`: files are read as at the start.
///
/// # Errors
/// Why the server would not start.
pub fn check(config: &Settings) -> Result<Vec<String>, String> {
    if !in_use(config) {
        return Ok(Vec::new());
    }
    let options = Options::of(config).within(Path::new(&config.dir));
    build(options).map(|(_, notices)| notices)
}

/// The user that the certificate of a client names.
pub fn user_of(certificate: &[u8], field: TlsAuthClientsUser) -> Option<String> {
    let parsed = x509::Certificate::parse(certificate)?;
    match field {
        TlsAuthClientsUser::Off => None,
        TlsAuthClientsUser::Cn => parsed.common_name().map(String::from),
        TlsAuthClientsUser::Uri => parsed.uris().first().map(|uri| (*uri).into()),
    }
}
