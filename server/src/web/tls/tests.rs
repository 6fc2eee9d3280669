//! With real sockets, real certificates and axum.

use std::fs;
use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::TlsFiles;

/// A certificate for `localhost` that signs itself.
fn make(folder: &Path) -> TlsFiles {
    let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&files.key)
        .arg("-out")
        .arg(&files.cert)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    files
}

/// An axum server that answers with who asked.
async fn serve(security: Security, caps: Caps) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let who = |ConnectInfo(peer): ConnectInfo<Peer>| async move { format!("{:?}", peer.transport) };
    let app = Router::new().route("/", get(who)).into_make_service_with_connect_info::<Peer>();
    let door = Door::new(listener, security, caps);
    tokio::spawn(async move { axum::serve(door, app).await });
    address
}

fn many() -> Caps {
    Caps::new(1000, &[])
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn ask_tls(address: SocketAddr, trusted: &[u8]) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    ask(TlsConnector::from(Arc::new(config)).connect(name, stream).await?).await
}

#[tokio::test]
async fn both_kinds_of_door_answer_and_tell_how_they_were_asked() {
    let folder = tempfile::tempdir().unwrap();
    let files = make(folder.path());
    let trusted = fs::read(&files.cert).unwrap();
    let tls = serve(Security::Tls(Arc::new(Certificate::load(files).unwrap())), many()).await;
    let answer = ask_tls(tls, &trusted).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("Tls"), "{answer}");
    let plain = serve(Security::Plain, many()).await;
    let answer = ask(TcpStream::connect(plain).await.unwrap()).await.unwrap();
    assert!(answer.ends_with("Plain"), "{answer}");
}

#[tokio::test]
async fn clients_that_never_shake_hands_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let files = make(folder.path());
    let trusted = fs::read(&files.cert).unwrap();
    let address = serve(Security::Tls(Arc::new(Certificate::load(files).unwrap())), many()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = tokio::time::timeout(HANDSHAKE_DEADLINE / 2, ask_tls(address, &trusted)).await;
    assert!(answer.expect("kept waiting").unwrap().ends_with("Tls"));
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_closed_until_it_closes_some() {
    let address = serve(Security::Plain, Caps::new(2, &[])).await;
    let first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let third = ask(TcpStream::connect(address).await.unwrap()).await;
    assert!(third.as_ref().is_ok_and(String::is_empty) || third.is_err(), "{third:?}");
    drop(first);
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let answered = async {
        while !ask(TcpStream::connect(address).await.unwrap()).await.is_ok_and(|text| text.ends_with("Plain"))
        {
            looks.tick().await;
        }
    };
    tokio::time::timeout(HANDSHAKE_DEADLINE, answered).await.expect("the place did not get free");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = make(folder.path());
    let certificate = Arc::new(Certificate::load(files.clone()).unwrap());
    let first = certificate.look_again();
    assert!(Arc::ptr_eq(&first, &certificate.look_again()), "read again without a change");
    fs::write(&files.cert, "broken").unwrap();
    assert!(Arc::ptr_eq(&first, &certificate.look_again()), "a broken certificate was taken");
    make(folder.path());
    assert!(!Arc::ptr_eq(&first, &certificate.look_again()), "the renewed certificate was not taken");
}

#[test]
fn files_that_do_not_fit_are_named_with_their_settings() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (files, strange) = (make(one.path()), make(other.path()));
    let refusal = |cert: &Path, key: &Path| {
        let files = TlsFiles { cert: cert.to_owned(), key: key.to_owned() };
        Certificate::load(files).err().expect("was accepted").to_string()
    };
    assert!(refusal(&files.cert, &strange.key).contains("do not belong together"));
    assert!(refusal(&one.path().join("none"), &files.key).contains("(SLIPWAY_TLS_CERT) could not be read"));
    assert!(refusal(&files.key, &files.key).contains("contains no certificate"));
    assert!(refusal(&files.cert, &files.cert).contains("(SLIPWAY_TLS_KEY) is no PEM file"));
}
