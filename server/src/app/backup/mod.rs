//! `slipway backup` and `slipway restore`: a platform in one file, and a platform from it, on the server's own machine.
//!
//! Invariant: the database is dumped before anything else is read, and the rest only gets additions, so an archive
//! lacks nothing that its database names. The key of config vars is never in it. A data folder is restored whole or is
//! refused by `serve`.

mod archive;
mod database;
mod restore;
mod unpack;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use self::archive::Archive;
use self::database::Database;
pub(crate) use self::restore::{RestoreArgs, restore};
use crate::config::{DataSettings, DatabaseSettings};
use crate::local::state::Layout;

/// The first entry of an archive.
const HEAD: &str = "slipway-backup.json";
/// The last one: an archive without it was cut short.
const END: &str = "slipway-backup.end.json";
const DUMP: &str = "database.dump";
const FACTS: &str = "state.json";
const HOST_KEY: &str = "ssh_host_ed25519_key";
const REPOSITORIES: &str = "repositories";
const REGISTRY: &str = "registry/storage";
/// What `restore` understands; higher when an older `restore` would read a new archive wrongly.
const FORMAT: u32 = 1;

/// Writes a backup while the server runs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BackupArgs {
    /// The file to make, a tar archive; `-` is standard output.
    file: PathBuf,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    database: DatabaseSettings,
}

/// What an archive says of itself at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: u32,
    /// Of the program that wrote it.
    slipway: String,
    made_at: jiff::Timestamp,
}

/// What an archive says of itself at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    files: u64,
    bytes: u64,
    /// Over the names and the contents of all files before it, hexadecimal.
    sha256: String,
}

pub(crate) async fn backup(args: BackupArgs) -> anyhow::Result<()> {
    let layout = Layout::new(args.data.dir()?);
    ensure!(
        layout.facts().exists(),
        "there is no platform in {}: name its data folder with --data-dir or SLIPWAY_DATA_DIR",
        layout.root().display()
    );
    let database = Database::of(&args.database, &layout).await?;
    let dump = tempfile::tempfile_in(layout.root()).context("making room for the database's dump")?;
    database.dump(&dump).await?;
    let key_file = args.data.key_file.unwrap_or_else(|| layout.key_file());
    let end = tokio::task::spawn_blocking(move || write(&args.file, &layout, dump)).await??;
    eprintln!("The backup has {} files, {}.", end.files, ByteSize(end.bytes).display().iec());
    eprintln!(
        "The key of the config vars is not in it: keep a copy of {} in another place. `slipway restore` needs both.",
        key_file.display()
    );
    Ok(())
}

/// The file appears under its name when it is whole.
fn write(file: &Path, layout: &Layout, dump: fs::File) -> anyhow::Result<End> {
    if file == Path::new("-") {
        return fill(io::stdout().lock(), layout, dump);
    }
    if file.exists() {
        bail!("{} exists already: name another file", file.display());
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || format!("writing a file in {}", folder.display());
    let mut partial = tempfile::NamedTempFile::new_in(folder).with_context(written)?;
    let end = fill(partial.as_file_mut(), layout, dump)?;
    partial.as_file().sync_all().with_context(written)?;
    partial.persist_noclobber(file).with_context(written)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).with_context(written)?;
    Ok(end)
}

fn fill(out: impl Write, layout: &Layout, dump: fs::File) -> anyhow::Result<End> {
    let mut archive = Archive::new(out);
    let head = Head {
        format: FORMAT,
        slipway: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: jiff::Timestamp::now(),
    };
    archive.text(HEAD, &serde_json::to_vec_pretty(&head)?)?;
    archive.file(DUMP, dump)?;
    archive.one(FACTS, &layout.facts())?;
    archive.one(HOST_KEY, &layout.ssh_host_key())?;
    archive.repositories(REPOSITORIES, &layout.repositories())?;
    archive.registry(REGISTRY, &layout.registry().join("storage"))?;
    Ok(archive.finish(END)?)
}

#[cfg(test)]
mod tests;
