//! The door as git and as strangers see it.

use std::io::Write;
use std::net::SocketAddr;

use axum::body::to_bytes;
use axum::extract::ConnectInfo;
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tower::ServiceExt;

use super::*;
use crate::doors::testing::{Neighbours, PATIENCE, Seen, TOKEN, attempt, git, run};
use crate::web::tls::Transport;

const RECEIVE_REQUEST: &str = "application/x-git-receive-pack-request";
const UPLOAD_REQUEST: &str = "application/x-git-upload-pack-request";

struct Open {
    neighbours: Neighbours,
    router: Router,
    address: SocketAddr,
}

impl Open {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let neighbours = Neighbours::new().await;
        let services = neighbours.services.clone();
        let gate = Gate::new(services.clone(), vec!["198.51.100.0/24".parse().unwrap()]);
        let router = routes(GitDoor { gate, services, settings, tasks: TaskTracker::new() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = router.clone().layer(middleware::from_fn(with_peer));
        let served = served.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, served).await });
        Self { neighbours, router, address }
    }

    fn url(&self, app: &str) -> String {
        format!("http://anybody:{TOKEN}@{}/{app}.git", self.address)
    }

    /// One request as from this peer, without a network.
    async fn ask_from(&self, peer: Peer, mut request: Request) -> (StatusCode, HeaderMap, String) {
        request.extensions_mut().insert(peer);
        let response = timeout(PATIENCE, self.router.clone().oneshot(request)).await.unwrap().unwrap();
        let (head, body) = response.into_parts();
        let body = timeout(PATIENCE, to_bytes(body, usize::MAX)).await.unwrap().unwrap_or_default();
        (head.status, head.headers, String::from_utf8_lossy(&body).into_owned())
    }

    async fn ask(&self, request: Request) -> (StatusCode, HeaderMap, String) {
        self.ask_from(peer("127.0.0.1", Transport::Plain), request).await
    }
}

/// What the server's own acceptor does.
async fn with_peer(
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(Peer { address, transport: Transport::Plain });
    next.run(request).await
}

fn peer(address: &str, transport: Transport) -> Peer {
    Peer { address: SocketAddr::new(address.parse().unwrap(), 40_000), transport }
}

fn basic(token: &str) -> (&'static str, String) {
    ("authorization", format!("Basic {}", STANDARD.encode(format!("git:{token}"))))
}

fn request(method: Method, path: &str, headers: &[(&str, String)], body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse::<Uri>().unwrap();
    for (name, value) in headers {
        let name: axum::http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

fn refs_of(app: &str, headers: &[(&str, String)]) -> Request {
    request(Method::GET, &format!("/{app}.git/info/refs?service=git-receive-pack"), headers, Body::empty())
}

fn push_to_blog(headers: &[(&str, String)], body: impl Into<Body>) -> Request {
    let kind = ("content-type", RECEIVE_REQUEST.to_owned());
    let headers = [&[kind], headers].concat();
    request(Method::POST, "/blog.git/git-receive-pack", &headers, body)
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(content).unwrap();
    packer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn push_clone_and_fetch_work() {
    let open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 1000).await;
    run(git(&tree).args(["push", &open.url("blog"), "main"])).await;
    let clone = open.neighbours.path("clone");
    run(git(&tree).args(["clone", "-q", &open.url("blog")]).arg(&clone)).await;
    // Many commits on both sides make a fetch negotiate in gzipped requests.
    for n in 0..40 {
        run(git(&tree).args(["commit", "-q", "--allow-empty", "-m", &format!("theirs {n}")])).await;
        run(git(&clone).args(["commit", "-q", "--allow-empty", "-m", &format!("ours {n}")])).await;
    }
    let wants = ["main", "main~1:refs/heads/a", "main~2:refs/heads/b", "main~3:refs/heads/c"];
    run(git(&tree).args(["push", &open.url("blog")]).args(wants)).await;
    let traced = run(git(&clone).env("GIT_TRACE_CURL", "1").args(["fetch"])).await;
    assert!(traced.contains("Content-Encoding: gzip"), "nothing was gzipped:\n{traced}");
    assert_eq!(run(git(&clone).args(["rev-parse", "origin/main"])).await, open.neighbours.head().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_in_protocol_two_and_a_fetch_in_protocol_zero() {
    let mut open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 1000).await;
    run(git(&tree).args(["commit", "-q", "--allow-empty", "-m", "two"])).await;
    run(git(&tree).args(["push", "-q", &open.url("blog"), "main"])).await;
    for version in ["2", "0"] {
        open.neighbours.seen();
        let clone = open.neighbours.path(&format!("clone{version}"));
        let version_setting = format!("protocol.version={version}");
        let clone_args = ["-c", &version_setting, "clone", "-q", "--depth", "1", &open.url("blog")];
        run(git(&tree).args(clone_args).arg(&clone)).await;
        assert_eq!(run(git(&clone).args(["rev-list", "--count", "HEAD"])).await, "1");
        let protocol = (version == "2").then(|| "version=2".to_owned());
        let began = Seen::GitBegan(GitService::Upload, Exchange::Rpc, protocol);
        assert!(open.neighbours.seen().contains(&began));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_arrive_in_chunks_after_a_probe_that_starts_nothing() {
    let mut open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 20_000_000).await;
    let push = ["push", "-q", &open.url("blog"), "main"];
    let traced =
        run(git(&tree).env("GIT_TRACE_CURL", "1").env("GIT_TRACE_CURL_NO_DATA", "1").args(push)).await;
    assert!(
        traced.contains("Content-Length: 4") || traced.contains("content-length: 4"),
        "there was no probe"
    );
    assert!(traced.to_lowercase().contains("transfer-encoding: chunked"), "there were no chunks");
    let rpc = Seen::GitBegan(GitService::Receive, Exchange::Rpc, None);
    assert_eq!(open.neighbours.seen().iter().filter(|seen| **seen == rpc).count(), 1);
    assert_eq!(open.neighbours.head().await, run(git(&tree).args(["rev-parse", "main"])).await);
    let clone = open.neighbours.path("clone");
    run(git(&tree).args(["clone", "-q", &open.url("blog")]).arg(&clone)).await;
    assert!(std::fs::read(tree.join("file")).unwrap() == std::fs::read(clone.join("file")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_reach_the_pusher() {
    let open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 10).await;
    let push = async |url: String| {
        let (pushed, said) = attempt(git(&tree).args(["push", &url, "main"])).await;
        assert!(!pushed, "{said}");
        said
    };
    let said = push(open.url("secret")).await;
    assert!(said.contains("remote: you are a viewer of this app"), "{said}");
    let said = push(open.url("other")).await;
    assert!(said.contains("remote: there is no such app"), "{said}");
    let said = push(format!("http://x:bad@{}/blog.git", open.address)).await;
    assert!(said.contains("remote: this token is not known"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_there_is_a_challenge() {
    let mut open = Open::new().await;
    let probe = |headers: &[(&str, String)]| push_to_blog(headers, "0000");
    for wrong in [
        refs_of("blog", &[]),
        refs_of("blog", &[basic("bad")]),
        refs_of("blog", &[basic("")]),
        refs_of("blog", &[("authorization", "Basic ???".to_owned())]),
        refs_of("blog", &[("authorization", "Bearer bad".to_owned())]),
        refs_of("other", &[]),
        probe(&[]),
        probe(&[basic("bad")]),
    ] {
        let (status, headers, text) = open.ask(wrong).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
        assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
        assert!(headers["cache-control"].to_str().unwrap().contains("no-cache"));
    }
    let (status, ..) = open.ask(refs_of("blog", &[("authorization", format!("Bearer {TOKEN}"))])).await;
    assert_eq!(status, StatusCode::OK);
    let (status, headers, text) = open.ask(probe(&[basic(TOKEN)])).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, ""));
    assert_eq!(headers["content-type"], "application/x-git-receive-pack-result");
    let begun = open.neighbours.seen();
    assert!(!begun.iter().any(|seen| matches!(seen, Seen::GitBegan(_, Exchange::Rpc, _))), "{begun:?}");
    let (status, ..) = open.ask(refs_of("blog", &[basic("while the database is away")])).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_has_to_wait() {
    let open = Open::new().await;
    let mut last = None;
    for _ in 0..100 {
        let (status, headers, _) = open.ask(refs_of("blog", &[basic("bad")])).await;
        last = Some((status, headers));
        if status != StatusCode::UNAUTHORIZED {
            break;
        }
    }
    let (status, headers) = last.expect("it was asked");
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 61);
    let elsewhere = peer("198.51.100.99", Transport::Tls);
    let (status, ..) = open.ask_from(elsewhere, refs_of("blog", &[basic(TOKEN)])).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_not_cross_a_network_in_the_clear() {
    let open = Open::new().await;
    let https = || ("x-forwarded-proto", "https".to_owned());
    let (stranger, proxy) = (peer("203.0.113.7", Transport::Plain), peer("198.51.100.1", Transport::Plain));
    let local = peer("127.0.0.1", Transport::Plain);
    let refused = [
        (stranger, vec![basic(TOKEN)]),
        (stranger, vec![]),
        (stranger, vec![basic(TOKEN), https()]),
        (proxy, vec![basic(TOKEN)]),
        (proxy, vec![basic(TOKEN), ("x-forwarded-proto", "http".to_owned())]),
        (proxy, vec![basic(TOKEN), ("x-forwarded-proto", "https, http".to_owned())]),
        (local, vec![basic(TOKEN), https()]),
        (local, vec![basic(TOKEN), ("x-forwarded-for", "203.0.113.7".to_owned())]),
    ];
    for (peer, headers) in refused {
        let (status, _, text) = open.ask_from(peer, refs_of("blog", &headers)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{peer:?} {headers:?}");
        assert!(text.contains("--trusted-proxies"), "{text}");
    }
    let admitted = [
        (peer("203.0.113.7", Transport::Tls), vec![basic(TOKEN)]),
        (peer("::ffff:127.0.0.1", Transport::Plain), vec![basic(TOKEN)]),
        (peer("::1", Transport::Plain), vec![basic(TOKEN)]),
        (proxy, vec![basic(TOKEN), https()]),
    ];
    for (peer, headers) in admitted {
        let (status, ..) = open.ask_from(peer, refs_of("blog", &headers)).await;
        assert_eq!(status, StatusCode::OK, "{peer:?} {headers:?}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_the_last_stranger() {
    let open = Open::new().await;
    let gate = Gate::new(open.neighbours.services.clone(), vec!["198.51.100.0/24".parse().unwrap()]);
    for (hops, client) in [
        ("203.0.113.7", "203.0.113.7"),
        ("10.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("10.1.1.1, 203.0.113.7, 198.51.100.9", "203.0.113.7"),
        ("made up", "198.51.100.1"),
        ("198.51.100.2", "198.51.100.1"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        headers.insert("x-forwarded-for", hops.parse().unwrap());
        let origin = gate.origin(peer("198.51.100.1", Transport::Plain), &headers);
        assert_eq!(origin, Ok(client.parse().unwrap()), "{hops}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_git_would_not_send_are_named() {
    let open = Open::new().await;
    let kind = |text: &str| ("content-type", text.to_owned());
    let post = |path: &str, headers: &[(&str, String)]| {
        let headers = [&[basic(TOKEN)], headers].concat();
        request(Method::POST, path, &headers, "0011hello")
    };
    let get = |path: &str| request(Method::GET, path, &[basic(TOKEN)], Body::empty());
    let table = [
        (post("/blog.git/git-receive-pack", &[kind("text/plain")]), 415),
        (post("/blog.git/git-receive-pack", &[]), 415),
        (post("/blog.git/git-receive-pack", &[kind(UPLOAD_REQUEST)]), 415),
        (post("/blog.git/git-upload-pack", &[kind(RECEIVE_REQUEST)]), 415),
        (
            post("/blog.git/git-upload-pack", &[kind(UPLOAD_REQUEST), ("content-encoding", "br".to_owned())]),
            415,
        ),
        (post("/other.git/git-receive-pack", &[kind(RECEIVE_REQUEST)]), 404),
        (post("/secret.git/git-receive-pack", &[kind(RECEIVE_REQUEST)]), 403),
        (get("/blog.git/info/refs"), 403),
        (get("/blog.git/info/refs?service=git-upload-archive"), 403),
        (get("/..%2fblog.git/info/refs?service=git-upload-pack"), 404),
        (get("/-x.git/info/refs?service=git-upload-pack"), 404),
        (get("/blog.git/HEAD"), 404),
        (get("/blog.git/objects/info/packs"), 404),
        (get("/blog.git/git-receive-pack"), 405),
    ];
    for (request, expected) in table {
        let asked = format!("{} {}", request.method(), request.uri());
        let (status, _, text) = open.ask(request).await;
        assert_eq!(status.as_u16(), expected, "{asked}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_header_that_is_more_than_a_version_is_not_passed_on() {
    let mut open = Open::new().await;
    for (sent, passed) in [("version=1", Some("version=1")), ("version=1 --x", None), ("a'b", None)] {
        let (status, ..) =
            open.ask(refs_of("blog", &[basic(TOKEN), ("git-protocol", sent.to_owned())])).await;
        assert_eq!(status, StatusCode::OK);
        let began = Seen::GitBegan(GitService::Receive, Exchange::Advertise, passed.map(str::to_owned));
        assert!(open.neighbours.seen().contains(&began), "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_bomb_is_refused_and_so_is_what_is_no_gzip() {
    let open = Open::new().await;
    let gzip = ("content-encoding", "gzip".to_owned());
    let ask = async |body: Vec<u8>| {
        let (status, _, text) = open.ask(push_to_blog(&[basic(TOKEN), gzip.clone()], body)).await;
        (status.as_u16(), text)
    };
    // Reads like the commands of a push that never end.
    let command = format!("0076{} {} refs/heads/{:0>20}\n", "0".repeat(40), "1".repeat(40), 0);
    let (status, text) = ask(packed(command.repeat(600_000).as_bytes())).await;
    assert!(status == 413 && text.contains("33554432"), "{status} {text}");
    assert_eq!(ask(b"no gzip at all".to_vec()).await.0, 400);
    let mut cut = packed(&command.repeat(100).into_bytes());
    cut.truncate(cut.len() - 9);
    assert_eq!(ask(cut).await.0, 400);
    assert_eq!(ask(packed(b"0000")).await, (200, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_falls_silent_is_given_up_and_its_work_ends() {
    let settings = Settings { upload_idle: Duration::from_millis(300), ..Settings::default() };
    let mut open = Open::with(settings).await;
    let (name, value) = basic(TOKEN);
    let head = format!(
        "POST /blog.git/git-receive-pack HTTP/1.1\r\nhost: x\r\n{name}: {value}\r\n\
         content-type: {RECEIVE_REQUEST}\r\ncontent-length: 1000\r\n\r\n"
    );
    for sent in ["00", "0077and nothing more"] {
        let mut socket = TcpStream::connect(open.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, socket.read_to_string(&mut answer)).await.expect("still open").unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    open.neighbours.wait_for(&Seen::GitEnded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_in_the_middle_ends_the_work() {
    let mut open = Open::new().await;
    let (name, value) = basic(TOKEN);
    let mut socket = TcpStream::connect(open.address).await.unwrap();
    let head = format!(
        "POST /blog.git/git-receive-pack HTTP/1.1\r\nhost: x\r\n{name}: {value}\r\n\
         content-type: {RECEIVE_REQUEST}\r\ncontent-length: 100000\r\n\r\n0077and"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    open.neighbours.wait_for(&Seen::GitBegan(GitService::Receive, Exchange::Rpc, None)).await;
    drop(socket);
    open.neighbours.wait_for(&Seen::GitEnded).await;
}
