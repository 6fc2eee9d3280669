//! The router with real sockets, and with real processes where it is replaced.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use clap::Parser;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::domain::names::AppName;

/// For anything in these tests.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) control: Control,
    pub(crate) address: SocketAddr,
    directory: TempDir,
}

fn settings(directory: &Path) -> Settings {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings::new(listen, directory.join("router.sock"), directory.join("routes.json"));
    settings.domains = vec!["apps.example.com".to_owned()];
    settings.timeouts.connect_timeout = Duration::from_secs(1);
    settings.timeouts.response_timeout = Duration::from_millis(400);
    settings
}

/// A router in this process.
pub(crate) async fn router() -> Running {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = settings(directory.path());
    let socket = settings.socket.clone();
    let control = Control::new(&socket);
    tokio::spawn(serve(settings, CancellationToken::new()));
    let up = client::answers_as(&socket, Some(std::process::id()));
    tokio::time::timeout(PATIENCE, up).await.expect("the router is up");
    let address = control.version().await.expect("answers").address;
    Running { control, address, directory }
}

impl Running {
    async fn route(&self, app: &str, backends: &[SocketAddr]) {
        let route = Route { version: 1, backends: backends.to_vec() };
        self.control.set_route(&name(app), &route).await.expect("a route");
    }

    pub(crate) async fn get(&self, host: &str, path: &str) -> (u16, String) {
        get_from(self.address, host, path).await.expect("an answer")
    }
}

fn name(text: &str) -> AppName {
    text.parse().expect("a name")
}

/// One request on a fresh connection: status, and head and body as they came.
pub(crate) async fn get_from(address: SocketAddr, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(address, ask.as_bytes()).await
}

async fn exchange(address: SocketAddr, ask: &[u8]) -> std::io::Result<(u16, String)> {
    let answered = tokio::time::timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(ask).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    });
    let text = answered.await.map_err(std::io::Error::other)??;
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| std::io::Error::other(format!("no answer: {text:?}")))?, text))
}

/// A backend that tells its name, its headers, and counts what it is sent.
async fn backend(label: &'static str) -> SocketAddr {
    let app = axum::Router::new()
        .route("/", get(move || async move { label }))
        .route("/headers", get(|headers: HeaderMap| async move { format!("{headers:?}") }))
        .route("/upload", post(|body: Body| async move { count(body).await }))
        .route("/echo", post(|body: Body| async move { body }))
        .route("/never", get(std::future::pending::<()>));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn count(body: Body) -> String {
    let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    bytes.len().to_string()
}

/// An address on which nothing listens.
async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn the_host_names_the_app() {
    let router = router().await;
    router.route("blog", &[backend("blog here").await]).await;
    router.route("shop", &[backend("shop here").await]).await;
    for (host, answer) in [
        ("blog.localhost:5080", "blog here"),
        ("SHOP.localhost", "shop here"),
        ("blog.apps.example.com", "blog here"),
        ("shop.localhost.", "shop here"),
    ] {
        let (status, text) = router.get(host, "/").await;
        assert_eq!(status, 200, "{host}: {text}");
        assert!(text.ends_with(answer), "{host}: {text}");
    }
    let absolute =
        b"GET http://blog.localhost/ HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n";
    let (_, text) = exchange(router.address, absolute).await.expect("an answer");
    assert!(text.ends_with("blog here"), "{text}");
}

#[tokio::test]
async fn the_router_answers_in_clear_words_where_no_app_can() {
    let router = router().await;
    router.route("idle", &[]).await;
    router.route("dead", &[nowhere().await]).await;
    router.route("slow", &[backend("slow").await]).await;
    for (host, path, status, words) in [
        ("none.localhost", "/", 404, "There is no app called none"),
        ("blog.example.org", "/", 404, "No app lives at this address"),
        ("a.b.localhost", "/", 404, "No app lives at this address"),
        ("127.0.0.1", "/", 404, "No app lives at this address"),
        ("idle.localhost", "/", 503, "idle has no web process"),
        ("dead.localhost", "/", 502, "accepted no connection"),
        ("slow.localhost", "/never", 504, "took too long"),
    ] {
        let (got, text) = router.get(host, path).await;
        assert_eq!(got, status, "{host}: {text}");
        assert!(text.contains(words), "{host}: {text}");
    }
    let browser = b"GET / HTTP/1.1\r\nHost: none.localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
    let (_, text) = exchange(router.address, browser).await.expect("an answer");
    assert!(text.contains("<h1>There is no app called none</h1>"), "{text}");
}

#[tokio::test]
async fn a_request_goes_to_the_next_backend_if_the_first_is_gone() {
    let router = router().await;
    // One that refuses, one that hangs up without an answer, one that works.
    let broken = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let broken_address = broken.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = broken.accept().await {
            drop(stream.read(&mut [0; 64]).await);
        }
    });
    router.route("blog", &[nowhere().await, broken_address, backend("alive").await]).await;
    for _ in 0..6 {
        let (status, text) = router.get("blog.localhost", "/").await;
        assert_eq!(status, 200, "{text}");
    }
    router.route("blog", &[broken_address]).await;
    let (status, text) = router.get("blog.localhost", "/").await;
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("hung up"), "{text}");
}

#[tokio::test]
async fn a_post_whose_backend_refuses_keeps_its_body() {
    let router = router().await;
    let alive = backend("alive").await;
    for _ in 0..4 {
        router.route("blog", &[nowhere().await, alive]).await;
        let ask = b"POST /upload HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let (status, text) = exchange(router.address, ask).await.expect("an answer");
        assert_eq!(status, 200, "{text}");
        assert!(text.ends_with("\r\n\r\n5"), "{text}");
    }
}

#[tokio::test]
async fn the_backend_learns_who_asked() {
    let router = router().await;
    router.route("blog", &[backend("blog").await]).await;
    let (_, text) = router.get("blog.localhost", "/headers").await;
    for expected in
        ["\"x-forwarded-for\": \"127.0.0.1\"", "\"x-forwarded-proto\": \"http\"", "x-request-id", "\"via\""]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_while_they_are_sent() {
    let router = router().await;
    router.route("blog", &[backend("blog").await]).await;
    let mut stream = TcpStream::connect(router.address).await.expect("connects");
    let head = "POST /echo HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sends");
    for word in ["first", "other"] {
        stream.write_all(format!("5\r\n{word}\r\n").as_bytes()).await.expect("sends");
        // The echo comes back although the request has not ended.
        read_until(&mut stream, word).await;
    }
}

async fn read_until(stream: &mut TcpStream, word: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(word) {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await;
        let count = read.expect("in time").expect("reads");
        assert!(count > 0, "ended after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn a_large_upload_and_its_echo_arrive_whole() {
    let router = router().await;
    router.route("blog", &[backend("blog").await]).await;
    let size = 20 * 1024 * 1024;
    let mut ask = format!(
        "POST /upload HTTP/1.1\r\nHost: blog.localhost\r\nExpect: 100-continue\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    ask.resize(ask.len() + size, b'x');
    let (_, text) = exchange(router.address, &ask).await.expect("an answer");
    assert!(text.ends_with(&size.to_string()), "{text}");
}

/// Switches protocols, then says everything back in capitals.
async fn shouting_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_until(&mut stream, "\r\n\r\n").await;
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n";
            stream.write_all(switch).await.expect("switches");
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                buffer[..count].make_ascii_uppercase();
                stream.write_all(&buffer[..count]).await.expect("shouts");
            }
        }
    });
    address
}

#[tokio::test]
async fn an_upgraded_connection_is_a_tunnel_and_counts_as_in_flight() {
    let router = router().await;
    let backend = shouting_backend().await;
    router.route("chat", &[backend]).await;
    let mut stream = TcpStream::connect(router.address).await.expect("connects");
    let ask = "GET / HTTP/1.1\r\nHost: chat.localhost\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.expect("sends");
    let head = read_until(&mut stream, "\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: shout"), "{head}");
    stream.write_all(b"hello").await.expect("sends");
    read_until(&mut stream, "HELLO").await;
    // Longer than the response timeout: a tunnel has its own.
    let left = router.control.drained(backend, Duration::from_millis(600)).await.expect("answers");
    assert_eq!(left, 1);
    stream.shutdown().await.expect("ends");
    let left = router.control.drained(backend, PATIENCE).await.expect("answers");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn stopping_waits_for_the_request_in_flight() {
    let router = router().await;
    router.route("blog", &[backend("blog").await]).await;
    let mut stream = TcpStream::connect(router.address).await.expect("connects");
    let head = "POST /echo HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 10\r\n\r\nfirst";
    stream.write_all(head.as_bytes()).await.expect("sends");
    read_until(&mut stream, "first").await;
    router.control.stop().await.expect("stops");
    assert!(!router.directory.path().join("router.sock").exists());
    stream.write_all(b"other").await.expect("sends");
    read_until(&mut stream, "other").await;
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

/// The router as a process: this test binary, started by the tests below.
#[test]
#[ignore = "the process that other tests start"]
fn router_process() {
    let words = std::env::args().skip_while(|word| word != "--");
    let settings = Line::parse_from(words).settings;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(settings)).expect("serves");
}

fn program(path: &Path) -> Program {
    let words = ["--exact", "local::router::tests::router_process", "--ignored", "--nocapture", "--"];
    Program { path: path.to_owned(), words: words.map(str::to_owned).to_vec() }
}

/// A router that is ended with the test, however that ends.
struct Ended(u32);

impl Ended {
    /// Waits for the process to end; it is this process' child, reaped by the runtime.
    async fn gone(&self) {
        let gone = async {
            while nix::sys::signal::kill(self.id(), None).is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("the router ends");
    }

    fn id(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.0).expect("a process id"))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Gone already where all went well.
        let _gone = nix::sys::signal::kill(self.id(), nix::sys::signal::Signal::SIGTERM);
    }
}

/// Asks on fresh connections, one after the other, until told to stop.
struct Asking {
    enough: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Vec<String>>,
}

impl Asking {
    fn start(address: SocketAddr) -> Self {
        let (enough, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stop, count) = (Arc::clone(&enough), Arc::clone(&answers));
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match get_from(address, "blog.localhost", "/").await {
                    Ok((200, _)) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    other => {
                        failures.push(format!("{other:?}"));
                        // A refusal is found out without waiting: the runtime gets no other chance to end.
                        tokio::task::yield_now().await;
                    }
                }
            }
            failures
        });
        Self { enough, answers, task }
    }

    async fn more(&self, count: usize) {
        let until = self.answers.load(Ordering::Relaxed) + count;
        let reached = async {
            while self.answers.load(Ordering::Relaxed) < until {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("answers go on");
    }

    async fn failures(self) -> Vec<String> {
        self.enough.store(true, Ordering::Relaxed);
        self.task.await.expect("asks")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_build_takes_over_without_one_failed_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = settings(directory.path());
    let control = Control::new(&settings.socket);
    let log = directory.path().join("router.log");
    let this = std::env::current_exe().expect("this binary");
    let first = control.ensure_running(&program(&this), &settings, &log).await.expect("starts");
    let old = Ended(first.pid);
    let again = control.ensure_running(&program(&this), &settings, &log).await.expect("is there");
    assert_eq!(first, again, "an unchanged router was replaced");
    let backends = vec![backend("blog").await];
    control.set_route(&name("blog"), &Route { version: 1, backends }).await.expect("a route");

    let asking = Asking::start(first.address);
    asking.more(100).await;
    let copy = directory.path().join("slipway-next");
    std::fs::copy(&this, &copy).expect("another build");
    let second = control.ensure_running(&program(&copy), &settings, &log).await.expect("upgrades");
    let _new = Ended(second.pid);
    asking.more(100).await;
    assert_ne!(first.pid, second.pid);
    assert_eq!(first.address, second.address);
    assert_eq!(asking.failures().await, Vec::<String>::new());

    old.gone().await;
    let (status, _) = get_from(second.address, "blog.localhost", "/").await.expect("an answer");
    assert_eq!(status, 200);
    control.stop().await.expect("stops");
}

#[tokio::test]
async fn a_successor_that_does_not_start_leaves_the_router_in_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = settings(directory.path());
    let control = Control::new(&settings.socket);
    let log = directory.path().join("router.log");
    let this = std::env::current_exe().expect("this binary");
    let first = control.ensure_running(&program(&this), &settings, &log).await.expect("starts");
    let _ended = Ended(first.pid);
    let broken = Program { path: "/bin/false".into(), words: vec![] };
    let error = control.ensure_running(&broken, &settings, &log).await.expect_err("cannot be");
    assert!(error.to_string().contains("ended at once"), "{error}");
    assert_eq!(control.version().await.expect("answers"), first);
    let blog = name("blog");
    control.set_route(&blog, &Route::default()).await.expect("takes orders");
    control.stop().await.expect("stops");
}

#[tokio::test]
async fn a_router_that_cannot_listen_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let mut settings = settings(directory.path());
    settings.listen = taken.local_addr().expect("an address");
    let control = Control::new(&settings.socket);
    let this = std::env::current_exe().expect("this binary");
    let log = directory.path().join("router.log");
    let error = control.ensure_running(&program(&this), &settings, &log).await.expect_err("cannot listen");
    assert!(error.to_string().contains("Address already in use"), "{error}");
}

#[tokio::test]
async fn sigterm_ends_the_router_and_its_routes_are_there_for_the_next() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = settings(directory.path());
    let control = Control::new(&settings.socket);
    let log = directory.path().join("router.log");
    let this = std::env::current_exe().expect("this binary");
    let first = Ended(control.ensure_running(&program(&this), &settings, &log).await.expect("starts").pid);
    let route = Route { version: 3, backends: vec![backend("blog").await] };
    control.set_route(&name("blog"), &route).await.expect("a route");
    nix::sys::signal::kill(first.id(), nix::sys::signal::Signal::SIGTERM).expect("is there");
    first.gone().await;
    let second = control.ensure_running(&program(&this), &settings, &log).await.expect("starts again");
    let _second = Ended(second.pid);
    assert_eq!(control.routes().await.expect("routes")[&name("blog")], route);
    let (status, _) = get_from(second.address, "blog.localhost", "/").await.expect("an answer");
    assert_eq!(status, 200);
}

#[tokio::test]
async fn every_answer_is_told_with_who_gave_it_and_how_long_it_took() {
    let router = router().await;
    let address = backend("hello").await;
    router.route("blog", &[address]).await;
    router.route("idle", &[]).await;
    router.get("blog.localhost", "/?q=x").await;
    router.get("idle.localhost", "/").await;
    router.get("none.localhost", "/").await;
    // The last byte of an answer may come before it is written down.
    let mut heard = Heard::default();
    while heard.requests.len() < 2 {
        heard = router.control.requests("", 0, PATIENCE).await.expect("answers");
    }
    let [blog, idle] = heard.requests.as_slice() else { panic!("{heard:?}") };
    assert_eq!((blog.backend, idle.backend), (Some(address), None));
    assert!(blog.before.starts_with("at=info method=GET path=\"/?q=x\" host=blog.localhost request_id="));
    assert!(blog.before.ends_with(" fwd=\"127.0.0.1\""), "{blog:?}");
    assert!(blog.after.starts_with("connect=") && blog.after.ends_with("status=200 bytes=5 protocol=http"));
    assert!(idle.before.starts_with("at=error code=H14 desc=\"No web processes running\" method=GET"));
    assert!(idle.after.contains("status=503"), "{idle:?}");
}
