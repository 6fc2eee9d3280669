//! A TLS listener on the loopback, with a certificate that signs itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Makes a certificate for `localhost` in a folder; its file.
pub(crate) fn certificate(folder: &Path) -> PathBuf {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl").success(), "openssl made no certificate");
    cert
}

/// A listener that can be asked to serve.
pub(crate) struct Listener {
    pub(crate) port: u16,
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl Listener {
    /// On a free port, with the certificate that [`certificate`] has made in `folder`.
    pub(crate) fn with(folder: &Path) -> Self {
        let chain = vec![CertificateDer::from_pem_file(folder.join("cert.pem")).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        Self { port, listener, config: Arc::new(config) }
    }

    /// Hands each connection to `serve`, in a thread of its own.
    pub(crate) fn serve(self, serve: impl Fn(Tls) + Clone + Send + 'static) {
        std::thread::spawn(move || {
            for stream in self.listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&self.config)).expect("a connection");
                let serve = serve.clone();
                std::thread::spawn(move || serve(StreamOwned::new(connection, stream)));
            }
        });
    }

    /// Answers requests of HTTP, one a connection: head and body in, an answer out.
    pub(crate) fn answer<R: Into<Reply>>(self, answer: impl Fn(&str, &[u8]) -> R + Clone + Send + 'static) {
        self.serve(move |mut stream| {
            let Some((head, body)) = request(&mut stream) else { return };
            let Reply { status, headers, body } = answer(&head, &body).into();
            let headers: String =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} -\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
            );
            drop(stream.write_all(&[head.as_bytes(), &body].concat()));
            drop(stream.flush());
        });
    }
}

/// An answer of HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl From<(u16, Value)> for Reply {
    fn from((status, value): (u16, Value)) -> Self {
        Self { status, headers: Vec::new(), body: value.to_string().into_bytes() }
    }
}

fn request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
            if bytes.len() >= end + 4 + length {
                return Some((head, bytes.drain(..end + 4 + length).skip(end + 4).collect()));
            }
        }
        match stream.read(&mut chunk) {
            Ok(count @ 1..) => bytes.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
}
