//! The parts that the platform stands on: disk, database, registry, engine, cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use secrecy::SecretString;

use super::{ConfigError, value};
use crate::target::RegistryLogin;

/// Where the platform keeps its files.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataSettings {
    /// Folder of repositories, keys and the private services. By default /var/lib/slipway for root, else
    /// $XDG_DATA_HOME/slipway or ~/.local/share/slipway.
    #[arg(id = "data-dir", long = "data-dir", env = "SLIPWAY_DATA_DIR", value_name = "FOLDER")]
    dir: Option<PathBuf>,

    #[arg(long = "xdg-data-home", env = "XDG_DATA_HOME", hide = true)]
    xdg_data_home: Option<PathBuf>,

    /// Key file that encrypts config vars, made on the first start. By default `config.key` in the data folder.
    #[arg(long = "key-file", env = "SLIPWAY_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

impl DataSettings {
    /// The data folder, absolute.
    pub(crate) fn dir(&self) -> Result<PathBuf, ConfigError> {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None if nix::unistd::geteuid().is_root() => PathBuf::from("/var/lib/slipway"),
            None => self.user_data().ok_or(ConfigError::NoHome)?.join("slipway"),
        };
        std::path::absolute(dir).map_err(ConfigError::WorkingFolder)
    }

    /// As the XDG base directory specification has it: relative values are ignored.
    fn user_data(&self) -> Option<PathBuf> {
        let set = self.xdg_data_home.clone().filter(|dir| dir.is_absolute());
        set.or_else(|| Some(std::env::home_dir()?.join(".local/share")))
    }
}

/// Log drains.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Log drains")]
pub(crate) struct DrainSettings {
    /// Networks of your own that log drains may reach, comma-separated. Without any, drains reach public addresses only.
    #[arg(
        id = "log-drain-networks",
        long = "log-drain-networks",
        env = "SLIPWAY_LOG_DRAIN_NETWORKS",
        value_delimiter = ',',
        value_name = "NETWORKS"
    )]
    pub(crate) networks: Vec<ipnet::IpNet>,
}

/// PostgreSQL, the truth.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Database")]
pub(crate) struct DatabaseSettings {
    /// PostgreSQL to use (postgres://user:password@host/name). Without it a private one runs in the data folder.
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = value::secret, value_name = "URL")]
    database_url: Option<SecretString>,

    /// File with that URL, in place of it.
    #[arg(long = "database-url-file", env = "DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,

    /// Connections that the server opens to PostgreSQL at most.
    #[arg(long = "database-connections", env = "SLIPWAY_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1000), value_name = "COUNT")]
    pub(crate) connections: u32,
}

impl DatabaseSettings {
    /// The URL; `None` asks for a private PostgreSQL.
    pub(crate) fn url(&self) -> Result<Option<SecretString>, ConfigError> {
        value::secret_or_file("DATABASE_URL", self.database_url.as_ref(), self.database_url_file.as_deref())
    }
}

/// The registry that holds the images.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistrySettings {
    /// Registry that images are pushed to, as host or host:port. Without it a private one runs on this machine.
    #[arg(id = "registry", long = "registry", env = "SLIPWAY_REGISTRY", value_name = "HOST[:PORT]")]
    pub(crate) push: Option<String>,

    /// Address at which the cluster's nodes, or the engine, pull from that registry. By default the same.
    #[arg(
        id = "registry-pull",
        long = "registry-pull",
        env = "SLIPWAY_REGISTRY_PULL",
        value_name = "HOST[:PORT]"
    )]
    pub(crate) pull: Option<String>,

    /// Start of all repository names: images are `<registry>/<prefix>/<app>`.
    #[arg(
        id = "registry-prefix",
        long = "registry-prefix",
        env = "SLIPWAY_REGISTRY_PREFIX",
        default_value = "slipway",
        value_name = "PATH"
    )]
    pub(crate) prefix: String,

    /// User name at that registry.
    #[arg(
        id = "registry-username",
        long = "registry-username",
        env = "SLIPWAY_REGISTRY_USERNAME",
        value_name = "NAME"
    )]
    pub(crate) username: Option<String>,

    /// Password or token at that registry.
    #[arg(id = "registry-password", long = "registry-password", env = "SLIPWAY_REGISTRY_PASSWORD", hide_env_values = true, value_parser = value::secret, value_name = "SECRET")]
    password: Option<SecretString>,

    /// File with that password, in place of it.
    #[arg(
        id = "registry-password-file",
        long = "registry-password-file",
        env = "SLIPWAY_REGISTRY_PASSWORD_FILE",
        value_name = "FILE"
    )]
    password_file: Option<PathBuf>,

    /// Speak plain HTTP to that registry. A registry on loopback is always spoken to so.
    #[arg(id = "registry-plain-http", long = "registry-plain-http", env = "SLIPWAY_REGISTRY_PLAIN_HTTP", value_parser = BoolishValueParser::new())]
    pub(crate) plain_http: bool,
}

impl RegistrySettings {
    /// The login for `host`, the push or the pull address; `None` for a registry that asks for none.
    pub(crate) fn login(&self, host: &str) -> Result<Option<RegistryLogin>, ConfigError> {
        let password = value::secret_or_file(
            "SLIPWAY_REGISTRY_PASSWORD",
            self.password.as_ref(),
            self.password_file.as_deref(),
        )?;
        match (&self.username, password) {
            (None, None) => Ok(None),
            (Some(username), Some(password)) => {
                Ok(Some(RegistryLogin { host: host.to_owned(), username: username.clone(), password }))
            }
            _ => Err(ConfigError::HalfLogin),
        }
    }
}

/// The Docker engine that builds, and runs apps where there is no cluster.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Docker engine")]
pub(crate) struct DockerSettings {
    /// Docker engine (unix:///path or tcp://host:port).
    #[arg(
        id = "docker-host",
        long = "docker-host",
        env = "DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock",
        value_name = "ADDRESS"
    )]
    pub(crate) host: String,
}

/// Where releases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Containers of the Docker engine.
    Docker,
    /// Deployments of a Kubernetes cluster.
    Kubernetes,
}

/// Where releases run, and the cluster if it is one.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct KubernetesSettings {
    /// Where releases run. By default kubernetes as soon as one of the settings below names a cluster, else docker.
    #[arg(id = "target", long = "target", env = "SLIPWAY_TARGET", value_name = "TARGET")]
    pub(crate) chosen: Option<Target>,

    /// kubeconfig of the cluster.
    #[arg(long = "kubeconfig", env = "SLIPWAY_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of that kubeconfig. By default its current one.
    #[arg(id = "kube-context", long = "kube-context", env = "SLIPWAY_KUBE_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Namespace of the Deployments that Slipway owns.
    #[arg(
        id = "kube-namespace",
        long = "kube-namespace",
        env = "SLIPWAY_KUBE_NAMESPACE",
        default_value = "slipway-apps",
        value_name = "NAME"
    )]
    pub(crate) namespace: String,

    /// Slipway runs in the cluster: use the pod's service account.
    #[arg(id = "kube-in-cluster", long = "kube-in-cluster", env = "SLIPWAY_KUBE_IN_CLUSTER", value_parser = BoolishValueParser::new())]
    pub(crate) in_cluster: bool,
}

impl KubernetesSettings {
    pub(crate) fn target(&self) -> Target {
        let cluster = self.kubeconfig.is_some() || self.context.is_some() || self.in_cluster;
        self.chosen.unwrap_or(if cluster { Target::Kubernetes } else { Target::Docker })
    }
}

/// Start and end of the server.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Life")]
pub(crate) struct LifeSettings {
    /// How long pushes and builds in hand may take to finish after SIGTERM; what is left is queued again.
    #[arg(long = "shutdown-grace", env = "SLIPWAY_SHUTDOWN_GRACE", default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) shutdown_grace: Duration,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Human,
    Json,
}

/// Log lines, on standard error.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogSettings {
    /// Form of log lines.
    #[arg(
        id = "log-format",
        long = "log-format",
        env = "SLIPWAY_LOG_FORMAT",
        default_value = "human",
        value_name = "FORMAT"
    )]
    pub(crate) format: LogFormat,

    /// What is logged: a level, or levels by module such as `info,slipway::git=debug`.
    #[arg(id = "log", long = "log", env = "SLIPWAY_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) filter: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::serve;

    #[test]
    fn naming_a_cluster_chooses_it_unless_told_otherwise() {
        assert_eq!(serve(&["--kubeconfig=/k"]).kubernetes.target(), Target::Kubernetes);
        assert_eq!(serve(&["--kube-in-cluster"]).kubernetes.target(), Target::Kubernetes);
        assert_eq!(serve(&["--kubeconfig=/k", "--target=docker"]).kubernetes.target(), Target::Docker);
        assert_eq!(serve(&["--target=kubernetes"]).kubernetes.target(), Target::Kubernetes);
    }

    #[test]
    fn the_data_folder_is_absolute_and_follows_xdg() {
        let of = |flags: &[&str]| serve(flags).data;
        assert_eq!(of(&["--data-dir=/srv/x"]).dir().unwrap(), PathBuf::from("/srv/x"));
        assert!(of(&["--data-dir=x"]).dir().unwrap().is_absolute());
        assert_eq!(of(&["--xdg-data-home=/x"]).user_data().unwrap(), PathBuf::from("/x"));
        assert!(of(&["--xdg-data-home=x"]).user_data().unwrap().ends_with(".local/share"));
    }
}
