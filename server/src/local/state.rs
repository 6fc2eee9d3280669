//! The data folder: its layout, its lock, and the few facts that have to be the same after every restart.
//!
//! Invariant: at most one server works on a data folder. The lock is the kernel's (`flock`), so that it ends with its
//! holder however that ends; the file only tells who holds it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Why a data folder could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the data folder's {} could not be {doing}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    #[error(
        "the data folder {} is in use by the slipway process {pid}, and two servers would destroy each other's work: stop that one, or set SLIPWAY_DATA_DIR to another folder",
        path.display()
    )]
    Taken { path: PathBuf, pid: String },
    #[error(
        "the data folder {} is not empty, and a restore would mix two platforms: move it away, or set SLIPWAY_DATA_DIR to another folder",
        .0.display()
    )]
    NotEmpty(PathBuf),
    #[error(
        "a restore into the data folder {} did not come to its end: run `slipway restore` again, which begins anew",
        .0.display()
    )]
    HalfRestored(PathBuf),
    #[error("{} is not what slipway wrote: restore it from a backup ({source})", path.display())]
    Broken { path: PathBuf, source: serde_json::Error },
    #[error(
        "none of the ports {} to {} is free on 127.0.0.1 for the private {service}: free one, or set up your own and name it in the settings",
        ports.start(), ports.end()
    )]
    NoPort { service: &'static str, ports: RangeInclusive<u16> },
}

/// Where things are in a data folder. Cheap to clone; holds no lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// A data folder that this process alone works on, until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    layout: Layout,
    facts: Facts,
    _lock: Flock<File>,
}

/// A data folder that a backup is being unpacked into: `serve` refuses it until the end.
#[derive(Debug)]
pub(crate) struct Restoring {
    layout: Layout,
}

/// The platform on this data folder, as labels of containers name it: 12 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PlatformId(String);

/// What `state.json` keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Facts {
    platform: PlatformId,
    /// Ports of private services: deployed images name the registry's.
    #[serde(default)]
    ports: BTreeMap<String, u16>,
}

impl Layout {
    /// `root` is absolute.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The bare repositories.
    pub(crate) fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }

    /// The key file of config vars, if no setting names another.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.root.join("config.key")
    }

    pub(crate) fn ssh_host_key(&self) -> PathBuf {
        self.root.join("ssh_host_ed25519_key")
    }

    /// State of the apps' router.
    pub(crate) fn router(&self) -> PathBuf {
        self.root.join("router")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.root.join("postgres")
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    /// What apps write.
    pub(crate) fn journals(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// What the private services write.
    pub(crate) fn log_of(&self, service: &str) -> PathBuf {
        self.root.join("logs").join(format!("{service}.log"))
    }

    /// What [`DataDir`] remembers from start to start.
    pub(crate) fn facts(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// There while a restore has not come to its end.
    fn restoring(&self) -> PathBuf {
        self.root.join("restoring")
    }

    fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
}

impl DataDir {
    /// Makes the folder if need be, locks it, and reads what it keeps.
    pub(crate) fn open(layout: Layout) -> Result<Self, StateError> {
        if layout.restoring().exists() {
            return Err(StateError::HalfRestored(layout.root));
        }
        Self::open_to_restore(layout)
    }

    /// Opens one that [`Restoring`] has begun to fill.
    pub(crate) fn open_to_restore(layout: Layout) -> Result<Self, StateError> {
        make_root(layout.root()).map_err(io_error(layout.root(), "made"))?;
        let lock = lock(&layout)?;
        for folder in [layout.repositories(), layout.root.join("logs")] {
            make_folder(&folder).map_err(io_error(&folder, "made"))?;
        }
        let path = layout.facts();
        let facts = match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|source| StateError::Broken { path, source })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let fresh = Facts { platform: PlatformId::random(), ports: BTreeMap::new() };
                save(&layout, &fresh)?;
                fresh
            }
            Err(source) => return Err(StateError::Io { path, doing: "read", source }),
        };
        Ok(Self { layout, facts, _lock: lock })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn platform(&self) -> &PlatformId {
        &self.facts.platform
    }

    /// Whether the port of a private service has been chosen on an earlier start.
    pub(super) fn has_port(&self, service: &str) -> bool {
        self.facts.ports.contains_key(service)
    }

    /// Takes a choice back that nothing depends on yet.
    pub(super) fn forget_port(&mut self, service: &str) -> Result<(), StateError> {
        self.facts.ports.remove(service);
        save(&self.layout, &self.facts)
    }

    /// The loopback port of a private service: the first free one when first asked, the same ever after.
    pub(crate) fn port(
        &mut self,
        service: &'static str,
        ports: RangeInclusive<u16>,
    ) -> Result<u16, StateError> {
        if let Some(port) = self.facts.ports.get(service) {
            return Ok(*port);
        }
        let free = ports.clone().find(|port| is_free(*port));
        let port = free.ok_or(StateError::NoPort { service, ports })?;
        self.facts.ports.insert(service.to_owned(), port);
        save(&self.layout, &self.facts)?;
        Ok(port)
    }
}

impl Restoring {
    /// Takes an empty folder, or one in which an earlier restore stopped half-way: what that left is removed.
    pub(crate) fn begin(layout: &Layout) -> Result<Self, StateError> {
        let root = layout.root();
        make_root(root).map_err(io_error(root, "made"))?;
        let _lock = lock(layout)?;
        let (marker, held) = (layout.restoring(), layout.lock());
        let left = || -> io::Result<Vec<PathBuf>> {
            let entries = fs::read_dir(root)?.map(|entry| entry.map(|entry| entry.path()));
            let paths = entries.collect::<io::Result<Vec<_>>>()?;
            Ok(paths.into_iter().filter(|path| *path != marker && *path != held).collect())
        };
        let left = left().map_err(io_error(root, "listed"))?;
        if !left.is_empty() && !marker.exists() {
            return Err(StateError::NotEmpty(root.to_owned()));
        }
        File::create(&marker).and_then(|file| file.sync_all()).map_err(io_error(&marker, "written"))?;
        for path in left {
            let is_folder = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
            let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(io_error(&path, "removed"))?;
        }
        Ok(Self { layout: layout.clone() })
    }

    /// Everything is in its place, and on the disk.
    pub(crate) fn end(self) -> Result<(), StateError> {
        let root = self.layout.root();
        let end = || -> io::Result<()> {
            nix::unistd::syncfs(File::open(root)?)?;
            fs::remove_file(self.layout.restoring())?;
            File::open(root)?.sync_all()
        };
        end().map_err(io_error(root, "written to the disk"))
    }
}

impl PlatformId {
    fn random() -> Self {
        Self(hex::encode(rand::random::<[u8; 6]>()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this process could listen there now.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A folder for this user alone. Parents that have to be made are open as usual.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Closed to others. As root it can be passed through, not read: the private PostgreSQL runs as another user and has to
/// reach its own folder; everything in here is closed by itself.
fn make_root(root: &Path) -> io::Result<()> {
    make_folder(root)?;
    let mode = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
    fs::set_permissions(root, Permissions::from_mode(mode))
}

fn lock(layout: &Layout) -> Result<Flock<File>, StateError> {
    let path = layout.lock();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_error(&path, "opened"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            write_pid(&mut lock).map_err(io_error(&path, "written"))?;
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(io_error(&path, "read"))?;
            Err(StateError::Taken { path: layout.root.clone(), pid: pid.trim().to_owned() })
        }
        Err((_, errno)) => Err(StateError::Io { path, doing: "locked", source: errno.into() }),
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Whole or not at all, even if the machine stops.
fn save(layout: &Layout, facts: &Facts) -> Result<(), StateError> {
    let path = layout.facts();
    let text = serde_json::to_vec_pretty(facts).expect("invariant: maps of text and numbers are JSON");
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(layout.root())?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        File::open(layout.root())?.sync_all()
    };
    write().map_err(io_error(&path, "written"))
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { path, doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_on_one_folder_is_refused_and_told_the_first_ones_pid() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("data"));
        let first = DataDir::open(layout.clone()).unwrap();
        let error = DataDir::open(layout.clone()).unwrap_err().to_string();
        assert!(error.contains(&format!("slipway process {}", std::process::id())), "{error}");
        drop(first);
        DataDir::open(layout).unwrap();
    }

    #[test]
    fn platform_and_ports_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("data"));
        let mut first = DataDir::open(layout.clone()).unwrap();
        let (platform, port) = (first.platform().clone(), first.port("registry", 20000..=29999).unwrap());
        drop(first);
        let _stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut second = DataDir::open(layout).unwrap();
        assert_eq!(*second.platform(), platform);
        assert_eq!(second.port("registry", 20000..=29999).unwrap(), port);
    }

    #[test]
    fn a_taken_port_is_passed_over_when_first_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let mut data = DataDir::open(Layout::new(folder.path().join("data"))).unwrap();
        let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = stranger.local_addr().unwrap().port();
        let error = data.port("registry", taken..=taken).unwrap_err().to_string();
        assert!(error.contains("private registry"), "{error}");
    }

    #[test]
    fn a_half_restored_folder_is_refused_and_begun_anew_and_a_used_one_is_not_restored_into() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("data"));
        drop(Restoring::begin(&layout).unwrap());
        fs::write(layout.facts(), "half").unwrap();
        let error = DataDir::open(layout.clone()).unwrap_err().to_string();
        assert!(error.contains("run `slipway restore` again"), "{error}");
        let again = Restoring::begin(&layout).unwrap();
        assert!(!layout.facts().exists());
        again.end().unwrap();
        DataDir::open(layout.clone()).unwrap();
        let error = Restoring::begin(&layout).unwrap_err().to_string();
        assert!(error.contains("is not empty"), "{error}");
    }

    #[test]
    fn the_folder_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("data"));
        let _data = DataDir::open(layout.clone()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(layout.root()) & 0o066, 0);
        assert_eq!(mode(&layout.repositories()), 0o700);
        assert_eq!(mode(&layout.facts()), 0o600);
    }

    #[test]
    fn a_broken_state_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().to_owned());
        fs::write(layout.facts(), "{").unwrap();
        let error = DataDir::open(layout).unwrap_err().to_string();
        assert!(error.contains("state.json is not what slipway wrote"), "{error}");
    }
}
