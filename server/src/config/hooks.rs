//! Web hooks and the repositories that they tell of.

use std::path::PathBuf;
use std::time::Duration;

use super::{GithubAppSettings, value};

/// Web hooks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Web hooks")]
pub(crate) struct HookSettings {
    /// Networks of your own that connected repositories may be in, and receivers of apps' web hooks, comma-separated.
    /// Without any, repositories are fetched from public addresses only, and web hooks sent to those.
    #[arg(
        id = "hook-networks",
        long = "hook-networks",
        env = "SLIPWAY_HOOK_NETWORKS",
        value_delimiter = ',',
        value_name = "NETWORKS"
    )]
    pub(crate) networks: Vec<ipnet::IpNet>,

    /// Certificates (PEM) that fetching over https trusts in place of the system's, and sending web hooks beside them.
    #[arg(id = "hook-ca", long = "hook-ca", env = "SLIPWAY_HOOK_CA", value_name = "FILE")]
    pub(crate) authorities: Option<PathBuf>,

    /// The largest delivery that is taken in.
    #[arg(id = "hook-bytes", long = "hook-bytes", env = "SLIPWAY_HOOK_BYTES", default_value = "5MiB", value_parser = value::bytes, value_name = "SIZE")]
    pub(crate) body_bytes: u64,

    /// How often connected branches are looked at, for pushes that no hook has told of.
    #[arg(id = "hook-search", long = "hook-search", env = "SLIPWAY_HOOK_SEARCH", default_value = "5m", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) search_every: Duration,

    #[command(flatten)]
    pub(crate) github_app: GithubAppSettings,
}
