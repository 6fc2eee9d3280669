//! `slipway admin <name>`: the first admin, or another one, made on the server's own machine.
//!
//! Whoever can read the data folder or knows the database's URL is the operator already; the API is not asked.

use std::str::FromStr;

use anyhow::Context;
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;

use crate::config::{DataSettings, DatabaseSettings};
use crate::db::{self, credentials, people};
use crate::domain::access::Role;
use crate::domain::names::{TeamName, UserName};
use crate::domain::token;
use crate::local::postgres;
use crate::local::state::Layout;

/// Makes an admin and prints their token, once.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AdminArgs {
    /// The user's name; an account that exists becomes an admin and gets one more token.
    name: UserName,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    database: DatabaseSettings,
}

pub(crate) async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let options = match args.database.url()? {
        Some(url) => {
            PgConnectOptions::from_str(url.expose_secret()).context("DATABASE_URL is no PostgreSQL URL")?
        }
        None => postgres::connect_options(&Layout::new(args.data.dir()?)),
    };
    let pool = db::pool(options, 1);
    db::migrate(&pool)
        .await
        .context("the platform's database does not answer: start `slipway serve` first")?;
    let mut tx = pool.begin().await?;
    let user = match people::user_named(&mut tx, args.name.as_str()).await? {
        Some(user) => user.id,
        None => people::create_user(&mut tx, &args.name)
            .await?
            .context("somebody else has just taken this name")?,
    };
    people::make_admin(&mut tx, user).await?;
    let name = TeamName::default_team();
    let team = match people::team_named(&mut tx, name.as_str()).await? {
        Some(team) => team,
        None => {
            people::create_team(&mut tx, &name).await?.context("somebody else is making the first team")?
        }
    };
    people::set_role(&mut tx, team, user, Role::Owner).await?;
    let fresh = token::generate();
    let hash = token::hash(fresh.expose_secret()).context("invariant: a fresh token has a hash")?;
    credentials::add_token(&mut tx, user, &hash, "made by `slipway admin`", None).await?;
    tx.commit().await?;
    // Alone on standard output, so that a script can keep it.
    println!("{}", fresh.expose_secret());
    eprintln!(
        "{} is an admin. The token above is shown this once: `slipway login <url>` asks for it.",
        args.name
    );
    Ok(())
}
