//! What the directives `tls-*` say.

use std::time::Duration;

use rustls::crypto::ring::cipher_suite as suite;
use rustls::pki_types::ServerName;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::config::Settings;
use crate::config::enums::{TlsAuthClients, TlsAuthClientsUser};

/// A certificate's file, its key's file, and the password of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    pub cert: String,
    pub key: String,
    pub password: Vec<u8>,
}

/// The directives, taken out of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub server: IdentityFiles,
    /// For connections to others; `None`: the same.
    pub client: Option<IdentityFiles>,
    pub ca_file: String,
    pub ca_dir: String,
    pub auth: TlsAuthClients,
    pub auth_user: TlsAuthClientsUser,
    /// This server connects to others.
    pub connects: bool,
    protocols: String,
    ciphers: String,
    ciphersuites: String,
    pub prefer_own_order: bool,
    /// Sessions to keep and for how long; `None`: none.
    pub sessions: Option<(usize, Duration)>,
    expected_names: String,
}

/// Whether any of the directives that need certificates is on.
pub fn in_use(config: &Settings) -> bool {
    config.tls_port != 0 || config.tls_replication || config.tls_cluster
}

impl Options {
    pub fn of(config: &Settings) -> Options {
        let client =
            !config.tls_client_cert_file.is_empty() && !config.tls_client_key_file.is_empty();
        Options {
            server: IdentityFiles {
                cert: config.tls_cert_file.clone(),
                key: config.tls_key_file.clone(),
                password: config.tls_key_file_pass.clone(),
            },
            client: client.then(|| IdentityFiles {
                cert: config.tls_client_cert_file.clone(),
                key: config.tls_client_key_file.clone(),
                password: config.tls_client_key_file_pass.clone(),
            }),
            ca_file: config.tls_ca_cert_file.clone(),
            ca_dir: config.tls_ca_cert_dir.clone(),
            auth: config.tls_auth_clients,
            auth_user: config.tls_auth_clients_user,
            connects: config.tls_replication || config.tls_cluster,
            protocols: config.tls_protocols.clone(),
            ciphers: config.tls_ciphers.clone(),
            ciphersuites: config.tls_ciphersuites.clone(),
            prefer_own_order: config.tls_prefer_server_ciphers,
            sessions: config.tls_session_caching.then(|| {
                let seconds = u64::from(config.tls_session_cache_timeout);
                let most = config.tls_session_cache_size as usize;
                (most, Duration::from_secs(seconds))
            }),
            expected_names: config.tls_expected_peer_name.clone(),
        }
    }

    /// Puts file names that are not absolute into this directory.
    pub fn within(mut self, directory: &std::path::Path) -> Options {
        let client = self
            .client
            .iter_mut()
            .flat_map(|c| [&mut c.cert, &mut c.key]);
        let own = [
            &mut self.server.cert,
            &mut self.server.key,
            &mut self.ca_file,
            &mut self.ca_dir,
        ];
        for name in own.into_iter().chain(client).filter(|n| !n.is_empty()) {
            *name = directory.join(&*name).to_string_lossy().into_owned();
        }
        self
    }

    /// `tls-protocols`. What the library does not have is told with `tell`.
    pub fn versions(
        &self,
        tell: &mut dyn FnMut(String),
    ) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
        let mut found = Vec::new();
        for word in self.protocols.split_ascii_whitespace() {
            match word.to_ascii_lowercase().as_str() {
                "tlsv1.2" => found.push(&version::TLS12),
                "tlsv1.3" => found.push(&version::TLS13),
                "tlsv1" | "tlsv1.1" => tell(format!(
                    "tls-protocols: {word} is not offered, because it is not safe any more"
                )),
                _ => {
                    return Err(
                        "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
                            .into(),
                    );
                }
            }
        }
        match (found.is_empty(), self.protocols.trim().is_empty()) {
            (true, true) => Ok(vec![&version::TLS13, &version::TLS12]),
            (true, false) => Err("tls-protocols leaves no protocol that this server has".into()),
            _ => Ok(found),
        }
    }

    /// The suites of `tls-ciphersuites` and `tls-ciphers`, in their order.
    pub fn suites(
        &self,
        tell: &mut dyn FnMut(String),
    ) -> Result<Vec<SupportedCipherSuite>, String> {
        let mut chosen = Vec::new();
        for word in self.ciphersuites.split(':').map(str::trim) {
            match TLS13
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(word))
            {
                Some((_, suite)) => chosen.push(*suite),
                None if word.is_empty() => {}
                None => tell(format!("tls-ciphersuites: {word} is not known here")),
            }
        }
        if self.ciphersuites.trim().is_empty() {
            chosen.extend(TLS13.iter().map(|(_, suite)| *suite));
        } else if chosen.is_empty() {
            return Err("Failed to configure ciphersuites: none is known here".into());
        }
        let older = choose(&self.ciphers, tell);
        if older.is_empty() {
            return Err("Failed to configure ciphers: none is known here".into());
        }
        chosen.extend(older.into_iter().map(|n| TLS12[n].suite));
        Ok(chosen)
    }

    /// `tls-expected-peer-name`.
    pub fn names(&self) -> Result<Vec<ServerName<'static>>, String> {
        let words = self.expected_names.split_ascii_whitespace();
        words
            .map(|word| {
                ServerName::try_from(word.to_owned())
                    .map_err(|e| format!("tls-expected-peer-name: {word}: {e}"))
            })
            .collect()
    }
}

const TLS13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
];

/// A suite of TLS 1.2 with its name and the words of OpenSSL that mean it among others.
struct Older {
    name: &'static str,
    words: [&'static str; 4],
    suite: SupportedCipherSuite,
}

const TLS12: [Older; 6] = [
    Older {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        words: ["ECDSA", "AES", "AES256", "AESGCM"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    },
    Older {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        words: ["ARSA", "AES", "AES256", "AESGCM"],
        suite: suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    },
    Older {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        words: ["ECDSA", "CHACHA20", "", ""],
        suite: suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Older {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        words: ["ARSA", "CHACHA20", "", ""],
        suite: suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Older {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        words: ["ECDSA", "AES", "AES128", "AESGCM"],
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    },
    Older {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        words: ["ARSA", "AES", "AES128", "AESGCM"],
        suite: suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    },
];

/// Words that mean all suites that there are here.
const EVERY: &[&str] = &[
    "ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "KECDHE", "KEECDH", "ECDH", "TLSV1.2", "FIPS",
];
/// Words that mean suites of which there are none here: what is unsafe or without forward secrecy.
const NONE: &[&str] = &[
    "ANULL",
    "ENULL",
    "NULL",
    "ADH",
    "AECDH",
    "DH",
    "DHE",
    "EDH",
    "KDHE",
    "KEDH",
    "KRSA",
    "RSA",
    "PSK",
    "KPSK",
    "SRP",
    "DSS",
    "ADSS",
    "DES",
    "3DES",
    "RC4",
    "RC2",
    "IDEA",
    "SEED",
    "MD5",
    "SHA",
    "SHA1",
    "SHA256",
    "SHA384",
    "CAMELLIA",
    "ARIA",
    "EXP",
    "EXPORT",
    "LOW",
    "MEDIUM",
    "SSLV3",
    "TLSV1",
    "TLSV1.0",
    "SSLV2",
    "COMPLEMENTOFDEFAULT",
    "COMPLEMENTOFALL",
    "AESCCM",
    "AESCCM8",
    "CBC",
    "GOST",
    "AGOST",
];

/// The suites that a word of OpenSSL's language means, or `None` if it is not known.
fn meant(word: &str) -> Option<Vec<usize>> {
    let all = 0..TLS12.len();
    if let Some(n) = all
        .clone()
        .find(|n| TLS12[*n].name.eq_ignore_ascii_case(word))
    {
        return Some(vec![n]);
    }
    let mut left: Vec<usize> = all.collect();
    for part in word.split('+') {
        let part = match part.to_ascii_uppercase().as_str() {
            "AECDSA" => "ECDSA".to_owned(),
            "" => return None,
            part => part.to_owned(),
        };
        if EVERY.contains(&part.as_str()) {
            continue;
        }
        let known = TLS12.iter().any(|s| s.words.contains(&part.as_str()));
        if !known && !NONE.contains(&part.as_str()) {
            return None;
        }
        left.retain(|n| TLS12[*n].words.contains(&part.as_str()));
    }
    Some(left)
}

/// Reads a list of OpenSSL's language: names and words, which add; with `-` before them they take away, with `!` for
/// good, with `+` they move to the end.
fn choose(list: &str, tell: &mut dyn FnMut(String)) -> Vec<usize> {
    let list = if list.trim().is_empty() {
        "DEFAULT"
    } else {
        list
    };
    let (mut chosen, mut banned): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for word in list.split([':', ',', ' ', ';']).filter(|w| !w.is_empty()) {
        // How others are ordered, and how strict their library is, means nothing here.
        if word.starts_with('@') || word.to_ascii_uppercase().starts_with("PROFILE=") {
            if !word.starts_with('@') {
                chosen = (0..TLS12.len()).collect();
            }
            continue;
        }
        let name = word.strip_prefix(['-', '+', '!']).unwrap_or(word);
        let sign = &word[..word.len() - name.len()];
        let Some(these) = meant(name) else {
            if sign.is_empty() {
                tell(format!("tls-ciphers: {name} is not known here"));
            }
            continue;
        };
        match sign {
            "" => {
                for n in &these {
                    if !chosen.contains(n) && !banned.contains(n) {
                        chosen.push(*n);
                    }
                }
            }
            "+" => {
                let (mut rest, moved): (Vec<usize>, Vec<usize>) =
                    chosen.iter().partition(|n| !these.contains(n));
                rest.extend(moved);
                chosen = rest;
            }
            _ => chosen.retain(|n| !these.contains(n)),
        }
        if sign == "!" {
            banned.extend(these);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(list: &str) -> (Vec<&'static str>, Vec<String>) {
        let mut told = Vec::new();
        let names = choose(list, &mut |text| told.push(text));
        (names.into_iter().map(|n| TLS12[n].name).collect(), told)
    }

    #[test]
    fn cipher_lists_mean_what_they_mean_to_openssl() {
        assert_eq!(chosen("").0.len(), 6);
        assert_eq!(chosen("DEFAULT:!MEDIUM").0.len(), 6);
        assert_eq!(chosen("HIGH:!aNULL:!MD5:!kRSA"), (chosen("ALL").0, vec![]));
        assert_eq!(
            chosen("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384").0,
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(
            chosen("ECDHE+AESGCM+aRSA:!AES256:!SHA256").0,
            ["ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(
            chosen("!AES:ALL:-aRSA").0,
            ["ECDHE-ECDSA-CHACHA20-POLY1305"]
        );
        assert_eq!(
            chosen("aRSA:+CHACHA20").0.last(),
            Some(&"ECDHE-RSA-CHACHA20-POLY1305")
        );
        let (names, told) = chosen("AES128-SHA:nonsense:DHE");
        assert_eq!((names.len(), told.len()), (0, 2));
        assert_eq!(chosen("DEFAULT:-AES128-SHA256"), (chosen("ALL").0, vec![]));
        let (names, told) = chosen("é:!ü:-:!:+++:@STRENGTH:ALL");
        assert_eq!((names.len(), told.len()), (6, 1), "{told:?}");
    }

    #[test]
    fn protocols_and_suites_of_tls13() {
        let mut settings = Settings::default();
        let mut told = Vec::new();
        let mut ask = |settings: &Settings| {
            let options = Options::of(settings);
            let mut tell = |text| told.push(text);
            let versions = options.versions(&mut tell).map(|v| v.len());
            (versions, options.suites(&mut tell).map(|s| s.len()))
        };
        assert_eq!(ask(&settings), (Ok(2), Ok(9)));
        settings.tls_protocols = "tlsv1.1 TLSv1.2".into();
        settings.tls_ciphersuites = "TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256".into();
        assert_eq!(ask(&settings), (Ok(1), Ok(7)));
        settings.tls_protocols = "TLSv1".into();
        settings.tls_ciphersuites = "TLS_AES_128_CCM_SHA256".into();
        let (versions, suites) = ask(&settings);
        assert!(versions.is_err() && suites.is_err());
        settings.tls_protocols = "SSLv3".into();
        assert!(
            ask(&settings)
                .0
                .unwrap_err()
                .starts_with("Invalid tls-protocols")
        );
        assert_eq!(told.len(), 5, "{told:?}");
    }
}
