//! The platform's database through PostgreSQL's own tools.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::process::Command;
use url::Url;

use crate::config::DatabaseSettings;
use crate::local::postgres;
use crate::local::state::Layout;

/// How long a dump may take, or its reading.
const DEADLINE: Duration = Duration::from_secs(3600);

/// How the tools and we reach it.
pub(super) struct Database {
    options: PgConnectOptions,
    /// Words that every tool takes; no secret, for everybody may read a process' words.
    words: Vec<OsString>,
    password: Option<SecretString>,
    /// Where the tools are.
    tools: postgres::Tools,
}

impl Database {
    pub(super) async fn of(settings: &DatabaseSettings, layout: &Layout) -> anyhow::Result<Self> {
        let tools = postgres::Tools::find(layout).await?;
        let Some(url) = settings.url()? else {
            let words = postgres::client_words(layout);
            return Ok(Self { options: postgres::connect_options(layout), words, password: None, tools });
        };
        let options =
            PgConnectOptions::from_str(url.expose_secret()).context("DATABASE_URL is no PostgreSQL URL")?;
        let mut url = Url::parse(url.expose_secret()).context("DATABASE_URL is no URL")?;
        let password = url.password().map(|password| percent_decode_str(password).decode_utf8_lossy());
        let password = password.map(|password| SecretString::from(password.into_owned()));
        if url.set_password(None).is_err() {
            bail!("DATABASE_URL names no host: write it as postgres://user@host/name");
        }
        let words = vec!["--dbname".into(), url.as_str().into()];
        Ok(Self { options, words, password, tools })
    }

    pub(super) async fn connect(&self) -> anyhow::Result<PgConnection> {
        self.options.connect().await.context("the platform's database does not answer")
    }

    /// Everything in it, as `pg_restore` reads it.
    pub(super) async fn dump(&self, into: &File) -> anyhow::Result<()> {
        // A private one that does not run is better said in our words than in the tool's.
        drop(self.connect().await.context("start `slipway serve` first: a backup is made while it runs")?);
        let mut dump = self.tool("pg_dump");
        dump.args(["--format=custom", "--no-owner", "--no-acl"]);
        dump.stdin(Stdio::null()).stdout(into.try_clone()?);
        succeed(dump, "pg_dump").await.map(drop)
    }

    /// Fills an empty database from a dump, wholly or not at all.
    pub(super) async fn fill(&self, dump: &File) -> anyhow::Result<()> {
        let mut restore = self.tool("pg_restore");
        restore.args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-acl"]);
        restore.stdin(dump.try_clone()?).stdout(Stdio::null());
        succeed(restore, "pg_restore").await.map(drop)
    }

    fn tool(&self, name: &str) -> Command {
        let program: PathBuf = self.tools.program(name);
        let mut command = Command::new(program);
        command.args(&self.words).arg("--no-password").env_remove("PGPASSWORD");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password.expose_secret());
        }
        command.stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        command
    }
}

async fn succeed(mut command: Command, name: &str) -> anyhow::Result<Output> {
    let child = command.spawn().with_context(|| {
        format!(
            "{name} could not be started: install PostgreSQL's client programs (Debian: postgresql-client)"
        )
    })?;
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
        .await
        .with_context(|| format!("{name} did not end within {}", humantime::format_duration(DEADLINE)))??;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}
