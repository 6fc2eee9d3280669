//! What OpenSSH's client would not do: a client of the library's own.

use super::*;
use crate::doors::testing::{PATIENCE, run};
use russh::client::{self, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, load_secret_key};
use russh::{Channel, ChannelMsg};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Takes any server for the right one.
struct Anyone;

impl client::Handler for Anyone {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn connect(open: &Open) -> Handle<Anyone> {
    client::connect(Arc::default(), open.address, Anyone).await.unwrap()
}

async fn enter(open: &Open) -> Handle<Anyone> {
    let mut client = connect(open).await;
    let key = PrivateKeyWithHashAlg::new(Arc::new(load_secret_key(&open.key, None).unwrap()), None);
    assert!(client.authenticate_publickey("ada", key).await.unwrap().success());
    client
}

async fn wait_for_end(channel: &mut Channel<client::Msg>) {
    let ended = async { while channel.wait().await.is_some() {} };
    timeout(PATIENCE, ended).await.expect("the channel is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_over_sha_1_is_refused_even_if_the_client_insists() {
    let open = Open::new().await;
    let path = open.neighbours.make_key("rsa", &["-t", "rsa", "-b", "3072", "-m", "PEM"]).await;
    open.neighbours.add_key(&path).await;
    let key = Arc::new(load_secret_key(&path, None).unwrap());
    assert!(matches!(key.algorithm(), Algorithm::Rsa { .. }));
    for (hash, good) in [(None, false), (Some(HashAlg::Sha256), true)] {
        let mut client = connect(&open).await;
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&key), hash);
        let entered = client.authenticate_publickey("ada", key).await.unwrap().success();
        assert_eq!(entered, good, "{hash:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_and_no_password_lets_anybody_in() {
    let open = Open::new().await;
    let mut client = connect(&open).await;
    assert!(!client.authenticate_none("ada").await.unwrap().success());
    assert!(!client.authenticate_password("ada", "ada").await.unwrap().success());
    client.authenticate_keyboard_interactive_start("ada", None).await.unwrap();
    let answer = client.authenticate_keyboard_interactive_respond(Vec::new()).await.unwrap();
    assert!(matches!(answer, client::KeyboardInteractiveAuthResponse::Failure { .. }), "{answer:?}");
    assert!(client.channel_open_session().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_channel_at_the_same_time_is_refused() {
    let open = Open::new().await;
    let client = enter(&open).await;
    let first = client.channel_open_session().await.unwrap();
    first.exec(true, "hang").await.unwrap();
    assert!(client.channel_open_session().await.is_err());
    first.close().await.unwrap();
    let mut next = client.channel_open_session().await.unwrap();
    next.exec(true, "exit 7").await.unwrap();
    let status = async {
        loop {
            if let ChannelMsg::ExitStatus { exit_status } = next.wait().await.expect("ended without a status")
            {
                return exit_status;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, status).await.unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_takes_one_command_in_good_time() {
    let settings = Settings { command_deadline: Duration::from_millis(300), ..Settings::default() };
    let open = Open::with(settings).await;
    let client = enter(&open).await;
    let mut silent = client.channel_open_session().await.unwrap();
    wait_for_end(&mut silent).await;
    // More than there is room for, before the command: it is read past.
    let mut wordy = client.channel_open_session().await.unwrap();
    for n in 0..1000 {
        wordy.set_env(false, format!("NAME_{n}"), "value").await.unwrap();
        wordy.data(b"data".as_slice()).await.unwrap();
    }
    wait_for_end(&mut wordy).await;
    let twice = client.channel_open_session().await.unwrap();
    twice.exec(true, "hang").await.unwrap();
    twice.exec(true, "exit 0").await.unwrap();
    let mut twice = twice;
    let refused = async { while !matches!(twice.wait().await.expect("ended"), ChannelMsg::Failure) {} };
    timeout(PATIENCE, refused).await.expect("the second command was not refused");
    assert_eq!(run(open.ssh().arg("whoami")).await, "ada");
}
