//! API tokens of whoever asks.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::AuthorizationsCreate;
use super::run::Session;
use super::text::when;
use crate::web::api::shapes::{Authorization, NewAuthorization};

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let tokens: Vec<Authorization> = session.client.get("/oauth/authorizations").await?;
    if session.options.json {
        return session.terminal.json(&tokens).await;
    }
    if tokens.is_empty() {
        let hint = session.typed("authorizations:create");
        return session.terminal.line(format!("You have no API tokens. `{hint}` makes one.")).await;
    }
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let used =
                token.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {}", when(at)));
            let ends = token
                .expires_at
                .map_or_else(String::new, |at| format!("until {}", at.strftime("%Y/%m/%d %H:%M:%S +0000")));
            [token.id.to_string(), token.description.clone(), used, ends]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn create(session: &mut Session, args: AuthorizationsCreate) -> Result<(), Failure> {
    let expires_in = match args.expires_in.map(|life| i64::try_from(life.as_secs())) {
        None => None,
        Some(Ok(seconds)) => Some(seconds),
        Some(Err(_)) => {
            return Err(Failure::refused("such a long time cannot be counted: leave --expires-in out"));
        }
    };
    let new = NewAuthorization { description: Some(args.description), expires_in };
    let made: Authorization = session.client.send(Method::POST, "/oauth/authorizations", &new).await?;
    if session.options.json {
        return session.terminal.json(&made).await;
    }
    let token = made.access_token.map(|access| access.token).unwrap_or_default();
    session.terminal.line(token).await?;
    session.terminal.note("This token is shown once: keep it where you keep passwords.\n").await;
    Ok(())
}

pub(super) async fn revoke(session: &mut Session, id: &str) -> Result<(), Failure> {
    let gone: Authorization = session.client.delete(&path(&["oauth", "authorizations", id])).await?;
    if session.options.json {
        return session.terminal.json(&gone).await;
    }
    session.terminal.line(format!("Revoked {} {}", gone.id, gone.description).trim_end()).await
}
