//! Where no host is needed; the stories fetch from a real one.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::net::TcpListener;

use super::*;

async fn repository() -> (tempfile::TempDir, Repository) {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::init(&folder.path().join("app.git")).await.expect("a repository");
    (folder, repository)
}

fn https(port: u16) -> Remote {
    Remote {
        url: format!("https://git.example.com:{port}/ada/blog.git"),
        host: "git.example.com".to_owned(),
        port,
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        access: Access::Https { authorization: Some("Basic c2VjcmV0".to_owned().into()), authorities: None },
    }
}

fn ssh() -> Remote {
    Remote {
        url: "ssh://git@git.example.com/ada/blog.git".to_owned(),
        host: "git.example.com".to_owned(),
        port: 22,
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        access: Access::Ssh { private_key: "a private key".to_owned().into(), host_key: None },
    }
}

fn environment(command: &Command) -> Vec<(String, String)> {
    let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    command.as_std().get_envs().filter_map(|(name, value)| Some((text(name), text(value?)))).collect()
}

#[tokio::test]
async fn no_word_of_a_command_is_a_secret_and_each_child_speaks_one_protocol() {
    let (_folder, repository) = repository().await;
    for (remote, protocol) in [(https(443), "https"), (ssh(), "ssh")] {
        let identity = Identity::of(&repository, &remote).expect("an identity");
        let mut command = command::git(repository.path(), "fetch");
        guard(&mut command, &remote, identity.as_ref());
        let words: Vec<String> =
            command.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert!(!words.join(" ").contains("c2VjcmV0") && !words.join(" ").contains("private"), "{words:?}");
        let environment = environment(&command);
        assert!(environment.contains(&("GIT_ALLOW_PROTOCOL".to_owned(), protocol.to_owned())));
        let setting = |name: &str| {
            let key = environment.iter().find(|(_, value)| value == name).map(|(key, _)| key);
            let value = key.map(|key| key.replace("KEY", "VALUE"));
            environment.iter().find(|(key, _)| Some(key) == value.as_ref()).map(|(_, value)| value.clone())
        };
        assert_eq!(setting("http.followRedirects").as_deref(), Some("false"));
        assert_eq!(setting("fetch.recurseSubmodules").as_deref(), Some("false"));
    }
}

#[tokio::test]
async fn a_name_is_not_looked_up_a_second_time_and_nobody_there_is_told_apart_from_refused() {
    let (_folder, repository) = repository().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let remote = https(port);
    let look = look(&repository, &remote, "refs/heads/main");
    // git.example.com leads nowhere in this test; the address that was looked up beforehand does.
    let (found, met) = tokio::join!(look, async {
        let (stream, _) = listener.accept().await.expect("a connection");
        drop(stream);
        drop(listener);
        true
    });
    assert!(met && found.is_err(), "{found:?}");
    let nobody = super::look(&repository, &remote, "refs/heads/main").await.expect_err("nobody listens");
    assert!(matches!(nobody, FetchError::Unreachable(_)), "{nobody:?}");
}

#[tokio::test]
async fn the_files_of_an_identity_are_ours_alone_and_gone_with_it() {
    let (_folder, repository) = repository().await;
    let identity = Identity::of(&repository, &ssh()).expect("an identity").expect("of SSH");
    let objects = repository.path().join("objects");
    let left = || {
        let entries = std::fs::read_dir(&objects).expect("a folder").flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(receive::QUARANTINE_PREFIX)).count()
    };
    assert_eq!((left(), identity.met()), (1, None));
    drop(identity);
    assert_eq!(left(), 0);
}

#[test]
fn what_git_says_becomes_a_sentence_with_the_next_step() {
    let said = |remote: &Remote, stderr: &str| {
        let output =
            Output { status: ExitStatus::from_raw(128 << 8), stdout: Vec::new(), stderr: stderr.to_owned() };
        said_by_us(&output, remote).to_string()
    };
    for (stderr, words) in [
        (
            "git@git.example.com: Permission denied (publickey).\nfatal: Could not read from remote",
            "deploy keys",
        ),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", "stands in between"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection refused", "does not answer"),
        ("remote: certificate\nfatal: repository 'ssh://x' not found", "no repository at this address"),
    ] {
        assert!(said(&ssh(), stderr).contains(words), "{stderr}: {}", said(&ssh(), stderr));
    }
    for (stderr, words) in [
        ("fatal: unable to access 'https://x/': The requested URL returned error: 301", "sends on"),
        ("fatal: Authentication failed for 'https://x/'", "hooks:set --token-stdin"),
        ("fatal: unable to access 'x': server certificate verification failed.", "SLIPWAY_HOOK_CA"),
        ("fatal: protocol error: \u{1b}[31mbad line", "protocol error: [31mbad line"),
    ] {
        assert!(said(&https(443), stderr).contains(words), "{stderr}: {}", said(&https(443), stderr));
    }
}
