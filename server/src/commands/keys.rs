//! SSH keys of whoever asks.

use std::path::Path;

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::KeysAdd;
use super::run::{Door, Session};
use super::text::when;
use crate::web::api::shapes::{Key, NewKey};

/// A `.pub` file has one line; bigger files are something else. In bytes.
const LARGEST_FILE: u64 = 64 * 1024;

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let keys: Vec<Key> = session.client.get("/account/keys").await?;
    if session.options.json {
        return session.terminal.json(&keys).await;
    }
    let Some(first) = keys.first() else {
        let hint = session.typed("keys:add");
        return session
            .terminal
            .line(format!("You have no SSH keys. `{hint} < ~/.ssh/id_ed25519.pub` adds one."))
            .await;
    };
    session.terminal.heading(format!("{} Keys", first.email)).await?;
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let algorithm = key.public_key.split(' ').next().unwrap_or_default().to_owned();
            let used =
                key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {}", when(at)));
            [key.fingerprint.clone(), algorithm, key.comment.clone(), used]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn add(session: &mut Session, args: KeysAdd) -> Result<(), Failure> {
    let public_key = match args.key.as_slice() {
        [] => session.terminal.read_input().await?,
        [one] if one == "-" => session.terminal.read_input().await?,
        [file] if session.door == Door::CommandLine => read_key(Path::new(file)).await?,
        words => words.join(" "),
    };
    if public_key.trim().is_empty() {
        return Err(Failure::refused(format!(
            "no key came in: `{} < ~/.ssh/id_ed25519.pub` adds that one",
            session.typed("keys:add")
        )));
    }
    let key: Key = session.client.send(Method::POST, "/account/keys", &NewKey { public_key }).await?;
    if session.options.json {
        return session.terminal.json(&key).await;
    }
    session.terminal.line(format!("Added {} {}", key.fingerprint, key.comment).trim_end()).await
}

async fn read_key(file: &Path) -> Result<String, Failure> {
    let size = tokio::fs::metadata(file).await.map(|data| data.len());
    let text = match size {
        Ok(size) if size > LARGEST_FILE => {
            return Err(Failure::refused(format!("{} is too big to be a public key", file.display())));
        }
        Ok(_) => tokio::fs::read_to_string(file).await,
        Err(error) => Err(error),
    };
    text.map_err(|error| {
        Failure::refused(format!(
            "{} cannot be read ({error}): `ssh-keygen -t ed25519` makes a key, its `.pub` file is what to add",
            file.display()
        ))
    })
}

pub(super) async fn remove(session: &mut Session, which: &str) -> Result<(), Failure> {
    let key: Key = session.client.delete(&path(&["account", "keys", which])).await?;
    if session.options.json {
        return session.terminal.json(&key).await;
    }
    session.terminal.line(format!("Removed {} {}", key.fingerprint, key.comment).trim_end()).await
}
