//! What the verbs of web hooks take.

use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::Newest;
use crate::domain::hook::Provider;
use crate::domain::webhook::Level;

#[derive(Debug, Clone, Args)]
pub(crate) struct Ledger {
    #[command(flatten)]
    pub(crate) newest: Newest,
    /// Only those that came before this one, by its id
    #[arg(long, value_name = "id")]
    pub(crate) before: Option<Uuid>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HooksConnect {
    /// The repository
    pub(crate) url: String,
    /// Whose web hooks it sends; read out of the host's name if left out
    #[arg(short, long, value_enum)]
    pub(crate) provider: Option<Provider>,
    /// The branch that is followed; the app's deploy branch if left out
    #[arg(short, long)]
    pub(crate) branch: Option<String>,
    /// Read a token that may read the repository from standard input
    #[arg(long)]
    pub(crate) token_stdin: bool,
    /// Let the platform in as the GitHub App that it is: no deploy key, no token
    #[arg(long, conflicts_with = "token_stdin")]
    pub(crate) github_app: bool,
}

#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("changed").required(true).multiple(true).args(["branch", "token_stdin", "github_app"])))]
pub(crate) struct HooksSet {
    /// The branch that is followed
    #[arg(short, long)]
    pub(crate) branch: Option<String>,
    /// Read a new token from standard input
    #[arg(long)]
    pub(crate) token_stdin: bool,
    /// Let the platform in as the GitHub App that it is, in place of the token
    #[arg(long, conflicts_with = "token_stdin")]
    pub(crate) github_app: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReviewAppsEnable {
    /// Config vars that they take over, with a comma between: names, or patterns such as STRIPE_*
    #[arg(short, long, value_delimiter = ',', value_name = "names")]
    pub(crate) inherit: Option<Vec<String>>,
    /// How many there may be at a time (10 unless set)
    #[arg(short, long)]
    pub(crate) limit: Option<i32>,
    /// Remove one that has not been pushed to for so many days (14 unless set)
    #[arg(short, long)]
    pub(crate) days: Option<i32>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct WebhooksAdd {
    /// What to tell of: api:build, api:release, or both with a comma between
    #[arg(short, long, value_delimiter = ',', required = true)]
    pub(crate) include: Vec<String>,
    /// notify: one try; sync: again and again for about an hour, until it is taken
    #[arg(short, long, value_enum, default_value = "sync")]
    pub(crate) level: Level,
    /// Where to send it: https://host/path
    #[arg(short, long)]
    pub(crate) url: String,
    /// What deliveries are signed with; one is made if it is left out
    #[arg(short, long)]
    pub(crate) secret: Option<String>,
}

#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("changed").required(true).multiple(true).args(["include", "level", "url", "secret"])))]
pub(crate) struct WebhooksUpdate {
    /// Its id or its address
    pub(crate) webhook: String,
    /// What to tell of: api:build, api:release, or both with a comma between
    #[arg(short, long, value_delimiter = ',')]
    pub(crate) include: Option<Vec<String>>,
    /// notify: one try; sync: again and again for about an hour, until it is taken
    #[arg(short, long, value_enum)]
    pub(crate) level: Option<Level>,
    /// Where to send it: https://host/path
    #[arg(short, long)]
    pub(crate) url: Option<String>,
    /// What deliveries are signed with from now on
    #[arg(short, long)]
    pub(crate) secret: Option<String>,
}
