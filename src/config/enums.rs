//! Directives that choose one of several names.

use super::directive::{Kind, When};
use super::setting::Setting;

/// `Name { Variant = "text", … }`: an enum whose texts are written once. Texts are read in any case; the first variant is
/// the blank value, the default of each directive stands in the table.
macro_rules! setting_enums {
    ($($(#[$doc:meta])* $name:ident { $first:ident = $first_text:literal, $($variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum $name {
            #[default]
            $first,
            $($variant,)*
        }

        impl $name {
            pub const NAMES: &'static [&'static str] = &[$first_text, $($text,)*];
            const VALUES: &'static [$name] = &[$name::$first, $($name::$variant,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $name::$first => $first_text,
                    $($name::$variant => $text,)*
                }
            }
        }

        impl Setting for $name {
            fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
                let [word] = words else { return Err("wrong number of arguments".into()) };
                let position = Self::NAMES.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(word));
                let position = position
                    .ok_or_else(|| format!("argument(s) must be one of the following: {}", Self::NAMES.join(", ")))?;
                *self = Self::VALUES[position];
                Ok(())
            }

            fn text(&self, _: Kind) -> Vec<u8> {
                self.name().as_bytes().to_vec()
            }
        }
    )*};
}

setting_enums! {
    AclPubsubDefault {
        AllChannels = "allchannels",
        ResetChannels = "resetchannels",
    }
    /// Nobody, everybody, or only connections from this machine.
    AllowFrom {
        No = "no",
        Yes = "yes",
        Local = "local",
    }
    AppendFsync {
        EverySec = "everysec",
        Always = "always",
        No = "no",
    }
    ClusterConfigSaveBehavior {
        Sync = "sync",
        BestEffort = "best-effort",
    }
    ClusterPreferredEndpointType {
        Ip = "ip",
        Hostname = "hostname",
        UnknownEndpoint = "unknown-endpoint",
    }
    /// `redis` is Redis' own form; `legacy` is what Valkey calls it.
    LogFormat {
        Redis = "redis",
        Json = "json",
        Legacy = "legacy",
        Logfmt = "logfmt",
    }
    LogTimestampFormat {
        Legacy = "legacy",
        Iso8601 = "iso8601",
        Milliseconds = "milliseconds",
    }
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }
    MaxMemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllKeysLru = "allkeys-lru",
        AllKeysLfu = "allkeys-lfu",
        AllKeysRandom = "allkeys-random",
        NoEviction = "noeviction",
    }
    /// `yes` is the same as `relative`.
    OomScoreAdj {
        No = "no",
        Yes = "yes",
        Relative = "relative",
        Absolute = "absolute",
    }
    PropagationErrorBehavior {
        Ignore = "ignore",
        Panic = "panic",
        PanicOnReplicas = "panic-on-replicas",
    }
    RdbVersionCheck {
        Strict = "strict",
        Relaxed = "relaxed",
    }
    ReplDisklessLoad {
        Disabled = "disabled",
        OnEmptyDb = "on-empty-db",
        SwapDb = "swapdb",
    }
    SanitizeDumpPayload {
        No = "no",
        Yes = "yes",
        Clients = "clients",
    }
    Supervised {
        Upstart = "upstart",
        Systemd = "systemd",
        Auto = "auto",
        No = "no",
    }
    SyslogFacility {
        User = "user",
        Local0 = "local0",
        Local1 = "local1",
        Local2 = "local2",
        Local3 = "local3",
        Local4 = "local4",
        Local5 = "local5",
        Local6 = "local6",
        Local7 = "local7",
    }
    TlsAuthClients {
        No = "no",
        Yes = "yes",
        Optional = "optional",
    }
    TlsAuthClientsUser {
        Cn = "CN",
        Uri = "URI",
        Off = "off",
    }
}
