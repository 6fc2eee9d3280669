//! On the system's real PostgreSQL.

use std::os::unix::fs::PermissionsExt;

use nix::unistd::Pid;
use sqlx::Row;

use super::super::service::tests::eventually;
use super::*;

/// A folder that the user `postgres` can pass, as PostgreSQL runs as that user when the tests run as root.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

fn open(folder: &Path) -> DataDir {
    DataDir::open(Layout::new(folder.join("data"))).unwrap()
}

async fn number(options: &PgConnectOptions, query: &'static str) -> Result<i32, sqlx::Error> {
    let mut connection = options.connect().await?;
    sqlx::query(query).fetch_one(&mut connection).await?.try_get(0)
}

fn postmaster(data: &DataDir) -> Option<Pid> {
    let text = fs::read_to_string(data.layout().postgres().join("data/postmaster.pid")).ok()?;
    Some(Pid::from_raw(text.lines().next()?.parse().ok()?))
}

#[tokio::test]
async fn data_survives_a_stop_a_crash_and_an_orphan() {
    let folder = folder();
    let data = open(folder.path());

    let first = PrivatePostgres::start(&data, 16).await.unwrap();
    let options = first.options();
    sqlx::raw_sql("CREATE TABLE t (n int); INSERT INTO t VALUES (42)")
        .execute(&mut options.connect().await.unwrap())
        .await
        .unwrap();
    first.stop().await;
    assert!(postmaster(&data).is_none(), "a stop in order leaves no pid file");

    // It dies while the server lives: supervision brings it back.
    let second = PrivatePostgres::start(&data, 16).await.unwrap();
    assert_eq!(number(&options, "SELECT n FROM t").await.unwrap(), 42);
    let before = postmaster(&data).unwrap();
    nix::sys::signal::kill(before, Signal::SIGKILL).unwrap();
    eventually(async || postmaster(&data).is_some_and(|pid| pid != before)).await;
    // After a crash it needs a moment to recover.
    eventually(async || matches!(number(&options, "SELECT n FROM t").await, Ok(42))).await;
    second.stop().await;

    // The server was killed: its PostgreSQL runs on as an orphan, which the next start ends.
    let place = Place::prepare(data.layout()).unwrap();
    let binaries = Binaries::find(&place.cluster).await.unwrap();
    let service = place.service(&binaries, data.layout(), 16);
    let mut orphan = Command::new(&service.program);
    orphan.args(&service.args).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    if let Some(account) = &service.account {
        orphan.uid(account.uid).gid(account.gid);
    }
    let mut orphan = orphan.spawn().unwrap();
    eventually(async || accepts(&options).await).await;
    let reaper = tokio::spawn(async move { orphan.wait().await.unwrap() });
    let third = PrivatePostgres::start(&data, 16).await.unwrap();
    let ended = tokio::time::timeout(READY_DEADLINE, reaper).await.expect("the orphan goes on");
    assert!(ended.unwrap().success(), "the orphan was not ended in order");
    assert_eq!(number(&options, "SELECT n FROM t").await.unwrap(), 42);
    third.stop().await;
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_no_obstacle_and_the_stranger_lives() {
    let folder = folder();
    let data = open(folder.path());
    PrivatePostgres::start(&data, 16).await.unwrap().stop().await;
    let place = Place::prepare(data.layout()).unwrap();
    let mut stranger = std::process::Command::new("sleep");
    if let Some(account) = &place.account {
        std::os::unix::process::CommandExt::uid(&mut stranger, account.uid);
    }
    let mut stranger = stranger.arg("60").spawn().unwrap();
    let pid_file = place.cluster.join("postmaster.pid");
    fs::write(&pid_file, format!("{}\n{}\n", stranger.id(), place.cluster.display())).unwrap();
    fs::write(place.socket.join(".s.PGSQL.5432.lock"), format!("{}\n", stranger.id())).unwrap();
    let postgres = PrivatePostgres::start(&data, 16).await.unwrap();
    assert_eq!(number(&postgres.options(), "SELECT 1").await.unwrap(), 1);
    postgres.stop().await;
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_data_folder_with_a_long_path_gets_its_socket_elsewhere() {
    let folder = folder();
    let data = open(&folder.path().join("long".repeat(40)));
    let postgres = PrivatePostgres::start(&data, 16).await.unwrap();
    assert_eq!(number(&postgres.options(), "SELECT 1").await.unwrap(), 1);
    let socket = socket_folder(data.layout());
    assert!(!socket.starts_with(folder.path()));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    postgres.stop().await;
    fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn half_a_cluster_that_a_killed_first_start_left_is_made_again() {
    let folder = folder();
    let data = open(folder.path());
    make_folder(&data.layout().postgres().join("data.new/base")).unwrap();
    let postgres = PrivatePostgres::start(&data, 16).await.unwrap();
    assert_eq!(number(&postgres.options(), "SELECT 1").await.unwrap(), 1);
    postgres.stop().await;
}

#[test]
fn a_folder_that_the_account_cannot_pass_is_named() {
    let folder = folder();
    let closed = folder.path().join("closed");
    make_folder(&closed.join("data")).unwrap();
    let account = Account { name: "postgres".to_owned(), uid: 4_000_000, gid: 4_000_000 };
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(closed.join("data"), Permissions::from_mode(0o711)).unwrap();
    let error = check_reachable(&closed.join("data"), &account).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot pass {}:", closed.display())), "{error}");
}
