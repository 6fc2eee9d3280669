//! A platform from its backup, into an empty data folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::database::Database;
use super::unpack::unpack;
use crate::config::{DataSettings, DatabaseSettings};
use crate::crypto::KeyFile;
use crate::db::{self, apps};
use crate::local::postgres::PrivatePostgres;
use crate::local::state::{DataDir, Layout, Restoring};

/// Connections to a private database that only we use.
const CONNECTIONS: u32 = 2;

/// Makes the platform anew from a backup; the server must not run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RestoreArgs {
    /// A file that `slipway backup` has made; `-` is standard input.
    file: PathBuf,
    /// The copy of the key file (`config.key`) that was kept apart from the backup. Not needed if the key file of the
    /// settings is in its place already.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    database: DatabaseSettings,
}

pub(crate) async fn restore(args: RestoreArgs) -> anyhow::Result<()> {
    let layout = Layout::new(args.data.dir()?);
    let key = key_text(&args, &layout)?;
    let named = args.database.url()?.is_some();
    if named {
        let mut database = Database::of(&args.database, &layout).await?.connect().await?;
        ensure!(
            db::is_empty(&mut database).await?,
            "the database of DATABASE_URL has tables already: name an empty one"
        );
    }
    let restoring = Restoring::begin(&layout)?;
    let (file, root) = (args.file.clone(), layout.root().to_owned());
    let (made_at, dump) = tokio::task::spawn_blocking(move || unpack_file(&file, &root)).await??;
    let key_file = args.data.key_file.clone().unwrap_or_else(|| layout.key_file());
    write_key(&key_file, key.as_deref())?;
    // Its lock keeps a server away.
    let data = DataDir::open_to_restore(layout.clone())?;
    let private = if named { None } else { Some(PrivatePostgres::start(&data, CONNECTIONS).await?) };
    let filled = fill(&args, &layout, &dump, &key_file).await;
    if let Some(private) = private {
        private.stop().await;
    }
    let apps = filled?;
    restoring.end()?;
    eprintln!("Restored {apps} apps as they were at {made_at}. Start `slipway serve`: it starts them again.");
    Ok(())
}

async fn fill(args: &RestoreArgs, layout: &Layout, dump: &File, key_file: &Path) -> anyhow::Result<usize> {
    let database = Database::of(&args.database, layout).await?;
    database.fill(dump).await?;
    let keys = KeyFile::open_or_create(key_file)?;
    let apps = apps::all(&mut database.connect().await?).await?;
    for app in &apps {
        keys.unwrap(app.id, &app.wrapped_key).with_context(|| {
            format!(
                "this key file does not open the config vars of {}: it belongs to another platform",
                app.name
            )
        })?;
    }
    Ok(apps.len())
}

/// The key, read before anything is written; `None` if it is in its place.
fn key_text(args: &RestoreArgs, layout: &Layout) -> anyhow::Result<Option<Vec<u8>>> {
    if let Some(copy) = &args.key {
        return fs::read(copy).map(Some).with_context(|| format!("reading the key file {}", copy.display()));
    }
    let kept_apart = args.data.key_file.as_ref().filter(|path| !path.starts_with(layout.root()));
    if !kept_apart.is_some_and(|path| path.exists()) {
        bail!(
            "a backup does not have the key of the config vars: name your copy of config.key with --key FILE. \
             Without it nobody can read them any more"
        );
    }
    Ok(None)
}

fn write_key(path: &Path, text: Option<&[u8]>) -> anyhow::Result<()> {
    let Some(text) = text else { return Ok(()) };
    if fs::read(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let write = || -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text)
    };
    write().with_context(|| format!("writing the key file {}", path.display()))
}

fn unpack_file(file: &Path, root: &Path) -> anyhow::Result<(jiff::Timestamp, File)> {
    let archive: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
        Box::new(io::BufReader::new(opened))
    };
    let mut dump = tempfile::tempfile_in(root).context("making room for the database's dump")?;
    let head = unpack(archive, root, &mut dump)?;
    Ok((head.made_at, dump))
}
