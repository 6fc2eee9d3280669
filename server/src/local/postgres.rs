//! The private PostgreSQL, when no DATABASE_URL is set: the system's own binaries, a folder of ours, a Unix socket.
//!
//! Invariant: the cluster's folder exists only whole (it is made elsewhere and renamed), and whoever may reach its socket
//! is its owner: the socket lies in a folder that is closed to all others, which is why no password is needed.

mod binaries;

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::process::Command;

use self::binaries::Binaries;
use super::service::{Account, Predecessor, Running, Service, ServiceError, Writer};
use super::state::{DataDir, Layout, make_folder};

/// How long PostgreSQL may take to accept connections; recovery after a crash is part of it.
const READY_DEADLINE: Duration = Duration::from_secs(180);
/// How long making a cluster may take.
const INITDB_DEADLINE: Duration = Duration::from_secs(180);
/// How long one attempt to connect may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Linux' limit for a socket's path, less the end of string; PostgreSQL's file name is part of it.
const SOCKET_BYTES: usize = 107;
const SOCKET_FILE: &str = "/.s.PGSQL.5432";
const PORT: u16 = 5432;
const USER: &str = "slipway";

/// Connections beyond the server's pool: psql, backups, PostgreSQL's own reserve.
const SPARE_CONNECTIONS: u32 = 14;

/// Small: a hosting machine's memory belongs to the apps.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "shared_buffers=32MB",
    "maintenance_work_mem=32MB",
    "max_wal_size=256MB",
    "max_wal_senders=0",
    "wal_level=minimal",
    "max_parallel_workers_per_gather=0",
    "max_logical_replication_workers=0",
    "jit=off",
    "logging_collector=off",
    "log_destination=stderr",
    "log_line_prefix=%m [%p] ",
];

/// Why the private PostgreSQL does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostgresError {
    #[error(
        "no database is set, and PostgreSQL is not installed: install its server (Debian: apt-get install postgresql; Fedora: dnf install postgresql-server), or set DATABASE_URL"
    )]
    Missing,
    #[error(
        "the private database in {} was made by PostgreSQL {made_by}, and only {} is installed: install the package postgresql-{made_by} too, or move the data with pg_dump and set DATABASE_URL",
        folder.display(), installed.join(", ")
    )]
    OtherVersion { folder: PathBuf, made_by: String, installed: Vec<String> },
    #[error(
        "PostgreSQL refuses to run as root, and neither the user `postgres` nor `nobody` exists: create one, or set DATABASE_URL"
    )]
    NoAccount,
    #[error(
        "PostgreSQL runs as the user `{account}` here, who cannot pass {}: set SLIPWAY_DATA_DIR to a folder below ones that all may pass, such as /var/lib/slipway, or `chmod o+x` that one",
        folder.display()
    )]
    ClosedFolder { account: String, folder: PathBuf },
    #[error("the private database's {} could not be {doing}: {source}", path.display())]
    Files { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("the private database could not be made by {}:\n{output}", program.display())]
    Initdb { program: PathBuf, output: String },
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// The private PostgreSQL while it runs. Stop it last: everything else needs it to end in order.
#[derive(Debug)]
pub(crate) struct PrivatePostgres {
    options: PgConnectOptions,
    service: Running,
}

/// Where a cluster is and who owns it.
struct Place {
    folder: PathBuf,
    cluster: PathBuf,
    socket: PathBuf,
    account: Option<Account>,
}

impl PrivatePostgres {
    /// Makes the cluster on the first start, ends what a killed server left, and waits until connections are accepted.
    /// `connections` is how many the server's pool will open.
    pub(crate) async fn start(data: &DataDir, connections: u32) -> Result<Self, PostgresError> {
        let place = Place::prepare(data.layout())?;
        let binaries = Binaries::find(&place.cluster).await?;
        if !place.cluster.join("PG_VERSION").exists() {
            place.make_cluster(&binaries).await?;
        }
        let service = place.service(&binaries, data.layout(), connections);
        service.clear_predecessor().await?;
        place.empty_socket_folder()?;
        let options = connect_options(data.layout());
        let service = service.start(async || accepts(&options).await).await?;
        Ok(Self { options, service })
    }

    /// How to connect to it.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Ends it in order: open transactions are rolled back, everything committed is on disk.
    pub(crate) async fn stop(self) {
        self.service.stop().await;
    }
}

/// PostgreSQL's own programs, of the version that made the private cluster, or else of the newest.
#[derive(Debug)]
pub(crate) struct Tools(Binaries);

impl Tools {
    pub(crate) async fn find(layout: &Layout) -> Result<Self, PostgresError> {
        Binaries::find(&layout.postgres().join("data")).await.map(Self)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.program(name)
    }
}

/// How PostgreSQL's own clients connect to the private one of a data folder.
pub(crate) fn client_words(layout: &Layout) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--host".into(), socket_folder(layout).into()];
    words.extend(["--port", &PORT.to_string(), "--username", USER, "--dbname", "postgres"].map(Into::into));
    words
}

/// How to connect to the private PostgreSQL of a data folder, if it runs.
pub(crate) fn connect_options(layout: &Layout) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_folder(layout))
        .port(PORT)
        .username(USER)
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
        .application_name("slipway")
}

impl Place {
    /// Makes the folders with their owner. Refuses a place that the account could not reach.
    fn prepare(layout: &Layout) -> Result<Self, PostgresError> {
        let account = if geteuid().is_root() { Some(account()?) } else { None };
        let folder = layout.postgres();
        if let Some(account) = &account {
            check_reachable(layout.root(), account)?;
        }
        let socket = socket_folder(layout);
        for path in [&folder, &socket] {
            own_folder(path, account.as_ref()).map_err(|source| PostgresError::Files {
                path: path.clone(),
                doing: "made",
                source,
            })?;
        }
        Ok(Self { cluster: folder.join("data"), folder, socket, account })
    }

    async fn make_cluster(&self, binaries: &Binaries) -> Result<(), PostgresError> {
        let fresh = self.folder.join("data.new");
        let files = |doing| {
            let path = fresh.clone();
            move |source| PostgresError::Files { path, doing, source }
        };
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(files("cleared away"))?;
        }
        let program = binaries.program("initdb");
        let mut command = Command::new(&program);
        command.arg("--pgdata").arg(&fresh);
        command.args([
            "--username",
            USER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
        ]);
        command.current_dir("/").stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        let failed = |output: String| PostgresError::Initdb { program: program.clone(), output };
        let output = tokio::time::timeout(INITDB_DEADLINE, command.output())
            .await
            .map_err(|_| failed(format!("no end within {}", humantime::format_duration(INITDB_DEADLINE))))?
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        fs::rename(&fresh, &self.cluster).map_err(files("renamed"))
    }

    fn service(&self, binaries: &Binaries, layout: &Layout, connections: u32) -> Service {
        let mut args = vec!["-D".into(), self.cluster.clone().into()];
        args.extend(["-k".into(), self.socket.clone().into(), "-p".into(), PORT.to_string().into()]);
        args.extend(["-c".into(), format!("max_connections={}", connections + SPARE_CONNECTIONS).into()]);
        args.extend(SETTINGS.iter().flat_map(|setting| ["-c".into(), (*setting).into()]));
        Service {
            name: "PostgreSQL",
            program: binaries.program("postgres"),
            args,
            account: self.account.clone(),
            log: layout.log_of("postgres"),
            predecessor: Predecessor::Process {
                pid_file: self.cluster.join("postmaster.pid"),
                writer: Writer::Service,
                marks: vec!["-D".to_owned(), self.cluster.display().to_string()],
            },
            // PostgreSQL's fast shutdown.
            stop: Signal::SIGINT,
            ready_deadline: READY_DEADLINE,
        }
    }

    /// Nobody listens there any more, and a socket's lock may name a pid that a stranger has now.
    fn empty_socket_folder(&self) -> Result<(), PostgresError> {
        let empty = || -> io::Result<()> {
            for entry in fs::read_dir(&self.socket)? {
                fs::remove_file(entry?.path())?;
            }
            Ok(())
        };
        empty().map_err(|source| PostgresError::Files { path: self.socket.clone(), doing: "emptied", source })
    }
}

/// In the data folder, or, where its path is too long for a socket, in a short one named for it.
fn socket_folder(layout: &Layout) -> PathBuf {
    let usual = layout.postgres().join("run");
    if usual.as_os_str().len() + SOCKET_FILE.len() <= SOCKET_BYTES {
        return usual;
    }
    let name = hex::encode(&Sha256::digest(layout.root().as_os_str().as_bytes())[..8]);
    let uid = geteuid();
    let runtime =
        if uid.is_root() { PathBuf::from("/run") } else { PathBuf::from(format!("/run/user/{uid}")) };
    let runtime = if runtime.is_dir() { runtime } else { PathBuf::from("/tmp") };
    runtime.join(format!("slipway-{name}"))
}

/// Makes a folder that `account` (or this user) owns and nobody else can enter. One that a stranger made first, where
/// everybody may, is refused.
fn own_folder(path: &Path, account: Option<&Account>) -> io::Result<()> {
    make_folder(path)?;
    let meta = fs::symlink_metadata(path)?;
    let owner = account.map_or(geteuid().as_raw(), |account| account.uid);
    if !meta.is_dir() || ![owner, geteuid().as_raw()].contains(&meta.uid()) {
        return Err(io::Error::other("it belongs to somebody else"));
    }
    if let Some(account) = account {
        chown(path, Some(account.uid), Some(account.gid))?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// The system user that PostgreSQL runs as when we are root.
fn account() -> Result<Account, PostgresError> {
    let known = |name: &str| User::from_name(name).ok().flatten();
    let user = known("postgres").or_else(|| known("nobody")).ok_or(PostgresError::NoAccount)?;
    Ok(Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

/// Whether an account without special rights can pass all folders down to `root`.
fn check_reachable(root: &Path, account: &Account) -> Result<(), PostgresError> {
    for folder in root.ancestors() {
        let files = |source| PostgresError::Files { path: folder.to_owned(), doing: "looked up", source };
        let meta = fs::metadata(folder).map_err(files)?;
        let needed = if meta.uid() == account.uid {
            0o100
        } else if meta.gid() == account.gid {
            0o010
        } else {
            0o001
        };
        if meta.mode() & needed == 0 {
            return Err(PostgresError::ClosedFolder {
                account: account.name.clone(),
                folder: folder.to_owned(),
            });
        }
    }
    Ok(())
}

async fn accepts(options: &PgConnectOptions) -> bool {
    let greeting = async { options.connect().await?.close().await };
    matches!(tokio::time::timeout(CONNECT_DEADLINE, greeting).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests;
