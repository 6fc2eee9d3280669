//! `slipway admin <name>`: the first admin, or another one, made on the server's own machine; and the way back in for
//! one who has lost their password.
//!
//! Whoever can read the data folder or knows the database's URL is the operator already; the API is not asked.

use std::str::FromStr;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use crate::config::{DataSettings, DatabaseSettings, HttpSettings};
use crate::db::{self, credentials, people, sessions};
use crate::domain::access::Role;
use crate::domain::ids::UserId;
use crate::domain::names::{TeamName, UserName};
use crate::domain::token;
use crate::local::postgres;
use crate::local::state::Layout;
use crate::passwords;

/// The longest line that is read as a password, in bytes.
const LONGEST_LINE: u64 = 4096;

/// Makes an admin and prints their token, once.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AdminArgs {
    /// The user's name; an account that exists becomes an admin and gets one more token.
    name: UserName,
    /// Print a link that signs in at the web page once, within 15 minutes, in place of a token.
    #[arg(long)]
    link: bool,
    /// Read a password for the web page from a line of standard input; no token is made.
    #[arg(long, conflicts_with = "link")]
    password: bool,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    http: HttpSettings,
}

pub(crate) async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let options = match args.database.url()? {
        Some(url) => {
            PgConnectOptions::from_str(url.expose_secret()).context("DATABASE_URL is no PostgreSQL URL")?
        }
        None => postgres::connect_options(&Layout::new(args.data.dir()?)),
    };
    // Before anything is changed: a password that is not taken leaves all as it was.
    let password = if args.password { Some(read_password().await?) } else { None };
    let pool = db::pool(options, 1);
    db::migrate(&pool)
        .await
        .context("the platform's database does not answer: start `slipway serve` first")?;
    let mut tx = pool.begin().await?;
    let user = made_admin(&mut tx, &args.name).await?;
    let fresh = token::generate();
    let hash = token::hash(fresh.expose_secret()).context("invariant: a fresh token has a hash")?;
    match &password {
        Some(password) => {
            sessions::set_password(&mut tx, user, password).await?;
            sessions::end_others(&mut tx, user, None).await?;
        }
        None if args.link => sessions::add_link(&mut tx, user, &hash).await?,
        None => {
            credentials::add_token(&mut tx, user, &hash, "made by `slipway admin`", None).await?;
        }
    }
    tx.commit().await?;
    let (name, page) = (&args.name, args.http.base_url());
    // Secrets stand alone on standard output, so that a script can keep them.
    if password.is_some() {
        eprintln!("{name} is an admin and signs in at {page}/ui with the new password.");
    } else if args.link {
        println!("{page}/ui/sign-in?once={}", fresh.expose_secret());
        eprintln!("{name} is an admin. The link above signs them in once, within 15 minutes.");
    } else {
        println!("{}", fresh.expose_secret());
        eprintln!(
            "{name} is an admin. The token above is shown this once: `slipway login <url>` asks for it."
        );
    }
    Ok(())
}

/// The hash of a password that somebody has typed or piped in.
async fn read_password() -> anyhow::Result<String> {
    let read = || {
        use std::io::{BufRead, Read};
        let mut line = String::new();
        std::io::stdin().lock().take(LONGEST_LINE).read_line(&mut line).map(|_| line)
    };
    eprintln!("Type the new password and press Enter; it is shown as you type.");
    let line = tokio::task::spawn_blocking(read).await?.context("the password cannot be read")?;
    let password = SecretString::from(line.trim_end_matches(['\r', '\n']));
    Ok(passwords::hash(password).await?)
}

/// The user of this name, as an admin who owns the first team.
async fn made_admin(conn: &mut PgConnection, name: &UserName) -> anyhow::Result<UserId> {
    let user = match people::user_named(conn, name.as_str()).await? {
        Some(user) => user.id,
        None => people::create_user(conn, name).await?.context("somebody else has just taken this name")?,
    };
    people::make_admin(conn, user).await?;
    let name = TeamName::default_team();
    let team = match people::team_named(conn, name.as_str()).await? {
        Some(team) => team,
        None => people::create_team(conn, &name).await?.context("somebody else is making the first team")?,
    };
    people::set_role(conn, team, user, Role::Owner).await?;
    Ok(user)
}
