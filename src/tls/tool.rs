//! TLS of a tool that connects to one server: from options instead of directives.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};

use super::files::Files;
use super::options::Options;
use super::verify;
use crate::config::Settings;

/// Where systems keep the authorities that they trust.
const SYSTEM: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// What the options say; empty where they say nothing.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    pub ca_file: String,
    pub ca_dir: String,
    pub cert: String,
    pub key: String,
    pub ciphers: String,
    pub ciphersuites: String,
    /// Any server will do.
    pub insecure: bool,
    /// The server's name is sent to it.
    pub sends_name: bool,
}

/// The side of a client. Names in certificates are not compared, as redis-cli does not.
///
/// # Errors
/// What is wrong, for people.
pub fn client(wishes: &Wishes) -> Result<Arc<ClientConfig>, String> {
    let options = Options::of(&Settings {
        tls_ciphers: wishes.ciphers.clone(),
        tls_ciphersuites: wishes.ciphersuites.clone(),
        ..Settings::default()
    });
    let mut unknown = Vec::new();
    let mut tell = |text| unknown.push(text);
    let versions = options.versions(&mut tell)?;
    let suites = options.suites(&mut tell)?;
    if let Some(text) = unknown.into_iter().next() {
        return Err(text);
    }
    let provider = Arc::new(CryptoProvider {
        cipher_suites: suites,
        ..ring::default_provider()
    });
    let mut files = Files::default();
    let mut ca_file = wishes.ca_file.as_str();
    if ca_file.is_empty() && wishes.ca_dir.is_empty() && !wishes.insecure {
        let system = SYSTEM.into_iter().find(|path| Path::new(path).exists());
        ca_file = system.ok_or("This system has no list of authorities: use --cacert")?;
    }
    let checks = verify::Servers {
        authorities: Arc::new(files.authorities(ca_file, &wishes.ca_dir)?),
        algorithms: provider.signature_verification_algorithms,
        names: Vec::new(),
        trusting: wishes.insecure,
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(checks));
    let mut config = if wishes.cert.is_empty() && wishes.key.is_empty() {
        builder.with_no_client_auth()
    } else {
        let own = files.identity(&provider, &wishes.cert, &wishes.key, b"")?;
        builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)))
    };
    config.enable_sni = wishes.sends_name;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let wishes = Wishes {
            ca_file: "/nonexistent/ca.crt".into(),
            ..Wishes::default()
        };
        let told = client(&wishes).unwrap_err();
        assert!(told.contains("/nonexistent/ca.crt"), "{told}");
        let wishes = Wishes {
            insecure: true,
            ciphersuites: "TLS_NO_SUCH".into(),
            ..Wishes::default()
        };
        assert!(client(&wishes).is_err());
        let wishes = Wishes {
            insecure: true,
            ..Wishes::default()
        };
        assert!(client(&wishes).is_ok());
    }
}
