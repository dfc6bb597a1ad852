//! Certificates and keys in files.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::SecretDocument;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use xxhash_rust::xxh3::Xxh3;

use super::verify::Authorities;
use super::x509::Certificate;
use crate::config::setting::os_reason;

/// A file of certificates or keys may be so large.
const SIZE_MAX: u64 = 16 << 20;
const ENCRYPTED: (&str, &str) = (
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "-----END ENCRYPTED PRIVATE KEY-----",
);

/// Reads files, and keeps a sum over all that it has read.
#[derive(Default)]
pub struct Files {
    sum: Xxh3,
}

fn failed(what: &str, path: &str, why: impl Display) -> String {
    format!("Failed to load {what}: {path}: {why}")
}

impl Files {
    /// A sum over everything that was read, with its names.
    pub fn print(&self) -> u64 {
        self.sum.digest()
    }

    fn read(&mut self, what: &str, path: &str) -> Result<Vec<u8>, String> {
        let of = |error: std::io::Error| failed(what, path, os_reason(&error));
        let size = fs::metadata(path).map_err(of)?.len();
        if size > SIZE_MAX {
            return Err(failed(what, path, "the file is too large"));
        }
        let bytes = fs::read(path).map_err(of)?;
        for part in [path.as_bytes(), &bytes] {
            self.sum.update(&(part.len() as u64).to_le_bytes());
            self.sum.update(part);
        }
        Ok(bytes)
    }

    fn certificates(
        &mut self,
        what: &str,
        path: &str,
    ) -> Result<Vec<CertificateDer<'static>>, String> {
        let bytes = self.read(what, path)?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let all = all.map_err(|e| failed(what, path, e))?;
        if all.is_empty() {
            return Err(failed(what, path, "no certificate in the file"));
        }
        Ok(all)
    }

    /// A certificate with those between it and its authority, and its key.
    pub fn identity(
        &mut self,
        provider: &CryptoProvider,
        cert_file: &str,
        key_file: &str,
        password: &[u8],
    ) -> Result<Arc<CertifiedKey>, String> {
        let chain = self.certificates("certificate", cert_file)?;
        let what = "private key";
        let bytes = self.read(what, key_file)?;
        let of = |why: &dyn Display| failed(what, key_file, why);
        let key = private_key(&bytes, password).map_err(|e| of(&e))?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|e| of(&e))?;
        let unreadable = || failed("certificate", cert_file, "it is no X.509 certificate");
        let parsed = chain.first().and_then(|c| Certificate::parse(c));
        let spki = parsed.ok_or_else(unreadable)?.spki;
        if key.public_key().is_some_and(|own| own.as_ref() != spki) {
            return Err(of(&format_args!(
                "it is not the key of the certificate {cert_file}"
            )));
        }
        Ok(Arc::new(CertifiedKey::new(chain, key)))
    }

    /// The authorities of a file and of a directory, of which either may be missing.
    pub fn authorities(&mut self, file: &str, directory: &str) -> Result<Authorities, String> {
        let what = "CA certificate(s)";
        let mut listed = Vec::new();
        if !file.is_empty() {
            listed = self.certificates(what, file)?;
        }
        if !directory.is_empty() {
            let before = listed.len();
            for path in hashed(directory).map_err(|e| failed(what, directory, os_reason(&e)))? {
                listed.extend(self.certificates(what, &path)?);
            }
            let why = "no file has a name as `openssl rehash` gives it (like 1a2b3c4d.0); others are not read";
            if listed.is_empty() {
                return Err(failed(what, directory, why));
            }
            if listed.len() == before {
                tracing::warn!("tls-ca-cert-dir {directory}: {why}");
            }
        }
        let mut roots = RootCertStore::empty();
        for cert in &listed {
            let added = roots.add(cert.clone());
            added.map_err(|e| failed(what, if file.is_empty() { directory } else { file }, e))?;
        }
        Ok(Authorities {
            roots: Arc::new(roots),
            listed,
        })
    }
}

/// The files of a directory that OpenSSL finds there: eight hex digits, a dot, and a number.
fn hashed(directory: &str) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let parts = name.to_str().and_then(|name| name.split_once('.'));
        let fits = parts.is_some_and(|(hash, number)| {
            hash.len() == 8
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        });
        if fits && let Some(path) = Path::new(directory).join(&name).to_str() {
            found.push(path.to_owned());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The first private key of a file.
fn private_key(bytes: &[u8], password: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(bytes);
    if let Some(section) = section(&text, ENCRYPTED) {
        return decrypt(section, password);
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "it is encrypted in the traditional way of OpenSSL, which is weak and not read here: convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.key -out new.key`"
                .into(),
        );
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|e| e.to_string())
}

fn section<'a>(text: &'a str, (begin, end): (&str, &str)) -> Option<&'a str> {
    let from = text.find(begin)?;
    let len = text[from..].find(end)? + end.len();
    Some(&text[from..from + len])
}

fn decrypt(section: &str, password: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if password.is_empty() {
        return Err("the key is encrypted, and there is no password for it".into());
    }
    let (_, document) = SecretDocument::from_pem(section).map_err(|e| e.to_string())?;
    let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes());
    let info = info.map_err(|e| format!("its encryption is not known here: {e}"))?;
    let plain = info
        .decrypt(password)
        .map_err(|e| format!("it cannot be decrypted: {e}"))?;
    Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())
}
