//! Whose certificates are taken: those that an authority of `tls-ca-cert-file` or `tls-ca-cert-dir` vouches for.
//!
//! Names are not looked at unless `tls-expected-peer-name` says so: servers of this protocol find each other by address.
//! Two kinds of certificates are taken here that the library's own check refuses, because Redis takes them: those of
//! version 1, if an authority has signed them itself, and those that are listed as authorities and used by servers.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::x509::{Certificate, key_parts};

/// The authorities: as the library knows them, and their certificates.
#[derive(Debug)]
pub struct Authorities {
    pub roots: Arc<RootCertStore>,
    pub listed: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Checks what the library's own check would refuse. `None`: this certificate is for that check.
    fn judge(
        &self,
        cert: &CertificateDer<'_>,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Option<Result<(), Error>> {
        let parsed = Certificate::parse(cert)?;
        let listed = self.listed.iter().any(|other| other == cert);
        if !listed && parsed.version != 1 {
            return None;
        }
        if !parsed.holds_at(now) {
            return Some(Err(CertificateError::Expired.into()));
        }
        if listed || self.has_signed(&parsed, algorithms) {
            return Some(Ok(()));
        }
        Some(Err(CertificateError::UnknownIssuer.into()))
    }

    fn has_signed(&self, cert: &Certificate<'_>, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        let issuers = self.roots.roots.iter();
        let mut issuers = issuers.filter(|anchor| anchor.subject.as_ref() == cert.issuer);
        issuers.any(|anchor| {
            let Some((kind, key)) = key_parts(&anchor.subject_public_key_info) else {
                return false;
            };
            let fits = |id: AlgorithmIdentifier, bytes: &[u8]| id.as_ref() == bytes;
            algorithms.all.iter().any(|algorithm| {
                fits(algorithm.public_key_alg_id(), kind)
                    && fits(algorithm.signature_alg_id(), cert.algorithm)
                    && algorithm
                        .verify_signature(key, cert.signed, cert.signature)
                        .is_ok()
            })
        })
    }
}

/// A certificate that the library does not read.
fn old<'a>(cert: &'a CertificateDer<'_>) -> Option<Certificate<'a>> {
    Certificate::parse(cert).filter(|parsed| parsed.version == 1)
}

fn check_tls12(
    message: &[u8],
    cert: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let Some(parsed) = old(cert) else {
        return verify_tls12_signature(message, cert, signed, algorithms);
    };
    let wrong = || Error::from(CertificateError::BadSignature);
    let (kind, key) = parsed.key().ok_or_else(wrong)?;
    let known = algorithms.mapping.iter();
    let mut fitting = known
        .filter(|(scheme, _)| *scheme == signed.scheme)
        .flat_map(|(_, all)| all.iter())
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == kind);
    let valid = fitting.any(|a| a.verify_signature(key, message, signed.signature()).is_ok());
    valid
        .then(HandshakeSignatureValid::assertion)
        .ok_or_else(wrong)
}

fn check_tls13(
    message: &[u8],
    cert: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match old(cert) {
        Some(parsed) => {
            let spki = SubjectPublicKeyInfoDer::from(parsed.spki);
            verify_tls13_signature_with_raw_key(message, &spki, signed, algorithms)
        }
        None => verify_tls13_signature(message, cert, signed, algorithms),
    }
}

/// Checks clients.
#[derive(Debug)]
pub struct Clients {
    authorities: Arc<Authorities>,
    algorithms: WebPkiSupportedAlgorithms,
    inner: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// `optional`: those without a certificate may come in too.
    pub fn new(
        authorities: Arc<Authorities>,
        provider: Arc<CryptoProvider>,
        optional: bool,
    ) -> Result<Clients, String> {
        let algorithms = provider.signature_verification_algorithms;
        // Which authorities there are is told to nobody, as in Redis.
        let builder =
            WebPkiClientVerifier::builder_with_provider(authorities.roots.clone(), provider)
                .clear_root_hint_subjects();
        let builder = if optional {
            builder.allow_unauthenticated()
        } else {
            builder
        };
        Ok(Clients {
            authorities,
            algorithms,
            inner: builder.build().map_err(|e| e.to_string())?,
        })
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.authorities.judge(cert, now, &self.algorithms) {
            Some(verdict) => verdict.map(|()| ClientCertVerified::assertion()),
            None => self.inner.verify_client_cert(cert, between, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_tls12(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_tls13(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Checks the servers that this one connects to.
#[derive(Debug)]
pub struct Servers {
    pub authorities: Arc<Authorities>,
    pub algorithms: WebPkiSupportedAlgorithms,
    /// `tls-expected-peer-name`: one of these must stand in the certificate, unless there are none.
    pub names: Vec<ServerName<'static>>,
    /// Nobody is refused: `ferrite cli --insecure`.
    pub trusting: bool,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trusting {
            return Ok(ServerCertVerified::assertion());
        }
        match self.authorities.judge(cert, now, &self.algorithms) {
            Some(verdict) => verdict?,
            None => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(cert)?,
                &self.authorities.roots,
                between,
                now,
                self.algorithms.all,
            )?,
        }
        if !self.names.is_empty() {
            let parsed = ParsedCertificate::try_from(cert)?;
            let named = |name| verify_server_name(&parsed, name).is_ok();
            if !self.names.iter().any(named) {
                return Err(CertificateError::NotValidForName.into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_tls12(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_tls13(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
