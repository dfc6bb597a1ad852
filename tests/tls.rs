//! TLS as clients, replicas, Sentinels and operators meet it, with certificates of OpenSSL and redis-cli's TLS.

#[path = "tls/certs.rs"]
mod certs;
#[path = "tls/cli.rs"]
mod cli;
#[path = "tls/identity.rs"]
mod identity;
#[path = "tls/reload.rs"]
mod reload;
#[path = "tls/replicas.rs"]
mod replicas;
#[path = "tls/sentinel.rs"]
mod sentinel;
#[path = "tls/strangers.rs"]
mod strangers;
mod support;
