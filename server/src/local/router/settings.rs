//! What the router is told on its command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// Settings of `slipway router`. The server writes them with [`Settings::to_args`] and the router reads them back.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Settings {
    /// Address on which the apps are served.
    #[arg(long, default_value = "127.0.0.1:7090")]
    pub(crate) listen: SocketAddr,
    /// Unix socket on which the server gives orders.
    #[arg(long)]
    pub(crate) socket: PathBuf,
    /// File that keeps the routes over a restart.
    #[arg(long)]
    pub(crate) table: PathBuf,
    /// Domain below which every app has a host of its own, besides `localhost`. May be given more than once.
    #[arg(long = "domain")]
    pub(crate) domains: Vec<String>,
    /// Network of a proxy whose X-Forwarded headers are believed. May be given more than once.
    #[arg(long = "trusted-proxy")]
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Client connections at a time; more wait in the kernel's queue.
    #[arg(long, default_value_t = 4096)]
    pub(crate) max_connections: usize,
    #[command(flatten)]
    pub(crate) timeouts: Timeouts,
    /// The listening socket is handed over as standard input by the router that ran before.
    #[arg(long, hide = true)]
    pub(crate) inherited_listener: bool,
}

/// How long the router waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(crate) struct Timeouts {
    /// For a client to send the head of a request; also how long an idle connection is kept.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) head_timeout: Duration,
    /// For a process to accept a connection.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) connect_timeout: Duration,
    /// For a process to begin its answer, counted from the last byte of the request that moved.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) response_timeout: Duration,
    /// For the next byte of a body or a tunnel, in both directions.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) idle_timeout: Duration,
    /// For requests in flight when the router is replaced or stopped.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) drain_timeout: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(300),
        }
    }
}

impl Settings {
    /// Defaults beside the given paths.
    pub(crate) fn new(listen: SocketAddr, socket: PathBuf, table: PathBuf) -> Self {
        Self {
            listen,
            socket,
            table,
            domains: Vec::new(),
            trusted_proxies: Vec::new(),
            max_connections: 4096,
            timeouts: Timeouts::default(),
            inherited_listener: false,
        }
    }

    /// The command line that gives these settings, without the hidden flag.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--listen={}", self.listen),
            format!("--socket={}", self.socket.display()),
            format!("--table={}", self.table.display()),
            format!("--max-connections={}", self.max_connections),
        ];
        args.extend(self.domains.iter().map(|domain| format!("--domain={domain}")));
        args.extend(self.trusted_proxies.iter().map(|net| format!("--trusted-proxy={net}")));
        let times = &self.timeouts;
        for (name, value) in [
            ("head", times.head_timeout),
            ("connect", times.connect_timeout),
            ("response", times.response_timeout),
            ("idle", times.idle_timeout),
            ("drain", times.drain_timeout),
        ] {
            args.push(format!("--{name}-timeout={}", humantime::format_duration(value)));
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn settings_survive_the_command_line() {
        let mut settings = Settings::new(
            "127.0.0.1:5080".parse().expect("an address"),
            "/run/a b/router.sock".into(),
            "/var/lib/routes.json".into(),
        );
        settings.domains = vec!["apps.example.com".into()];
        settings.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        settings.timeouts.idle_timeout = Duration::from_millis(1500);
        let line = std::iter::once("router".to_owned()).chain(settings.to_args());
        assert_eq!(Line::parse_from(line).settings, settings);
    }
}
