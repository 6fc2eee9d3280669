//! The certificate of the HTTP door, read again when its files change: renewing one needs no restart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tracing::{info, warn};

use crate::config::TlsFiles;

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("{} ({setting}) could not be read: {source}", path.display())]
    Unreadable { setting: &'static str, path: PathBuf, source: io::Error },
    #[error("{} ({setting}) is no PEM file with what is needed: {source}", path.display())]
    Pem { setting: &'static str, path: PathBuf, source: pem::Error },
    #[error("{} (SLIPWAY_TLS_CERT) contains no certificate", path.display())]
    Empty { path: PathBuf },
    #[error(
        "SLIPWAY_TLS_CERT and SLIPWAY_TLS_KEY do not belong together, or are of a kind that is not supported: {0}"
    )]
    Mismatch(#[from] rustls::Error),
}

/// Certificate and key with what TLS makes of them.
pub(crate) struct Certificate {
    files: TlsFiles,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    looked: Instant,
}

/// What shows that a file is another one: time of change and length.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads both files.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, CertificateError> {
        let stamp = stamp(&files);
        let config = Arc::new(read(&files)?);
        Ok(Self { files, loaded: Mutex::new(Loaded { config, stamp, looked: Instant::now() }) })
    }

    /// What to shake hands with now. Files that changed and do not fit are named in the log; the old ones serve on.
    pub(crate) async fn current(self: Arc<Self>) -> Arc<ServerConfig> {
        let config = {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            if loaded.looked.elapsed() < LOOK_EVERY {
                return Arc::clone(&loaded.config);
            }
            loaded.looked = Instant::now();
            Arc::clone(&loaded.config)
        };
        // A panic while reading would leave the old one in place, too.
        tokio::task::spawn_blocking(move || self.look_again()).await.unwrap_or(config)
    }

    pub(super) fn look_again(&self) -> Arc<ServerConfig> {
        let now = stamp(&self.files);
        let lock = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().stamp == now {
            return Arc::clone(&lock().config);
        }
        let read = read(&self.files);
        let mut loaded = lock();
        match read {
            Ok(config) => {
                loaded.config = Arc::new(config);
                loaded.stamp = now;
                info!("The HTTP door uses the changed certificate");
            }
            Err(error) => warn!("The HTTP door keeps its old certificate: {error}"),
        }
        Arc::clone(&loaded.config)
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.cert, &files.key].map(|path| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    })
}

fn read(files: &TlsFiles) -> Result<ServerConfig, CertificateError> {
    let cert = text("SLIPWAY_TLS_CERT", &files.cert)?;
    let key = text("SLIPWAY_TLS_KEY", &files.key)?;
    let chain = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem_error("SLIPWAY_TLS_CERT", &files.cert))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty { path: files.cert.clone() });
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(pem_error("SLIPWAY_TLS_KEY", &files.key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn text(setting: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Unreadable { setting, path: path.to_owned(), source })
}

fn pem_error(setting: &'static str, path: &Path) -> impl FnOnce(pem::Error) -> CertificateError {
    let path = path.to_owned();
    move |source| CertificateError::Pem { setting, path, source }
}
