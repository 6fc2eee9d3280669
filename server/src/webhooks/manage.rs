//! What people do to web hooks of ours: add and remove them. One transaction each.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use crate::actions::ActionError;
use crate::crypto::{self, AppKey, CryptoError, Label};
use crate::db::apps::App;
use crate::db::webhooks::{self, NewWebhook, Webhook};
use crate::db::{app_lock, audit};
use crate::domain::access::Principal;
use crate::domain::ids::{AppId, WebhookId};
use crate::domain::names::ConfigKey;
use crate::domain::webhook::{INCLUDES, Level};
use crate::hooks::{address, signature};
use crate::platform::Platform;

/// Web hooks of one app.
const MOST: usize = 20;
/// Characters of an address and of a secret.
const LONGEST_URL: usize = 500;
const LONGEST_SECRET: usize = 200;
/// Config vars have versions from 1 on, so that no value of one opens as a secret of ours, nor the other way round.
const SEALED_AS: i64 = 0;

/// Whom to tell of what.
pub(crate) struct Wish {
    pub(crate) url: String,
    pub(crate) include: Vec<String>,
    pub(crate) level: Level,
    /// One is made if it is left out.
    pub(crate) secret: Option<SecretString>,
}

/// Adds a web hook; with its secret, which is shown this once if it was made here.
pub(crate) async fn add(
    platform: &Platform,
    app: &App,
    principal: &Principal,
    wish: Wish,
) -> Result<(Webhook, Option<SecretString>), ActionError> {
    let url = parse(&wish.url)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    // Refused at once rather than later; each try looks again, for names are pointed elsewhere.
    address::resolve(&host, url.port_or_known_default().unwrap_or(443), &platform.settings.hooks.networks)
        .await
        .map_err(|error| ActionError::Invalid(error.to_string()))?;
    let include = included(wish.include)?;
    let made = wish.secret.is_none().then(signature::new_secret);
    let secret = match &wish.secret {
        Some(secret) => checked(secret)?,
        None => made.clone().expect("invariant: one is made where none was given"),
    };
    let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
    let sealed = crypto::seal(&key, label(app.id, &name()), &secret);
    let id = WebhookId::new();
    let new = NewWebhook {
        id,
        app_id: app.id,
        url: url.as_str(),
        include: &include,
        level: wish.level,
        secret: &sealed,
    };
    let mut tx = platform.pool.begin().await?;
    // Two at the same time do not both find a last place.
    app_lock::lock(&mut tx, app.id).await?;
    if webhooks::of_app(&mut tx, app.id).await?.len() >= MOST {
        return Err(ActionError::Conflict(format!(
            "an app has {MOST} web hooks at most: `webhooks:remove` one first"
        )));
    }
    if !webhooks::add(&mut tx, &new).await? {
        return Err(ActionError::Conflict(
            "this address is told already: `webhooks` lists them, `webhooks:remove` ends one".to_owned(),
        ));
    }
    let detail = json!({ "id": id, "host": host, "include": include, "level": wish.level });
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "webhooks:add", detail).await?;
    let added = find(webhooks::of_app(&mut tx, app.id).await?, &id.to_string())?;
    tx.commit().await?;
    Ok((added, made))
}

/// Ends a web hook, named by its id or its address, with what is on its way to it.
pub(crate) async fn remove(
    platform: &Platform,
    app: &App,
    principal: &Principal,
    named: &str,
) -> Result<Webhook, ActionError> {
    let mut tx = platform.pool.begin().await?;
    let found = find(webhooks::of_app(&mut tx, app.id).await?, named)?;
    if !webhooks::remove(&mut tx, found.id).await? {
        return Err(unknown());
    }
    let detail = json!({ "id": found.id });
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "webhooks:remove", detail).await?;
    tx.commit().await?;
    Ok(found)
}

/// By id or address.
pub(crate) fn find(webhooks: Vec<Webhook>, named: &str) -> Result<Webhook, ActionError> {
    // As it is written in the list: `https://host` has a path there.
    let address = Url::parse(named.trim()).map(String::from).unwrap_or_default();
    let meant = |webhook: &Webhook| webhook.id.to_string() == named || webhook.url == address;
    webhooks.into_iter().find(meant).ok_or_else(unknown)
}

fn unknown() -> ActionError {
    ActionError::NotFound("the app has no such web hook: `webhooks` lists them".to_owned())
}

/// An address that deliveries may go to.
pub(super) fn parse(text: &str) -> Result<Url, ActionError> {
    let refused = |why: &str| ActionError::Invalid(why.to_owned());
    let url = Url::parse(text.trim()).ok().filter(|url| {
        url.scheme() == "https" && url.host_str().is_some() && url.as_str().len() <= LONGEST_URL
    });
    let url = url.ok_or_else(|| {
        refused("web hooks are sent to addresses like https://host/path, for other ways prove nothing of who answers")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "leave name and password out of the address: the receiver knows us by the signature of the secret",
        ));
    }
    if url.fragment().is_some() {
        return Err(refused("leave out what follows the #: it is not sent"));
    }
    Ok(url)
}

/// The events, each once, in the order of the table.
fn included(wanted: Vec<String>) -> Result<Vec<String>, ActionError> {
    let known: Vec<String> = INCLUDES
        .iter()
        .filter(|name| wanted.iter().any(|w| w == *name))
        .map(|name| (*name).to_owned())
        .collect();
    if known.is_empty() || wanted.iter().any(|name| !INCLUDES.contains(&name.as_str())) {
        let all = INCLUDES.join(", ");
        return Err(ActionError::Invalid(format!(
            "say what to tell of: {all}, or several with commas between"
        )));
    }
    Ok(known)
}

fn checked(secret: &SecretString) -> Result<SecretString, ActionError> {
    let text = secret.expose_secret();
    if text.is_empty() || text.len() > LONGEST_SECRET || text.chars().any(char::is_control) {
        return Err(ActionError::Invalid(format!(
            "a secret has 1 to {LONGEST_SECRET} characters; without one, a good one is made"
        )));
    }
    Ok(secret.clone())
}

/// The secret of a web hook, from what is stored.
pub(super) fn open(key: &AppKey, app: AppId, sealed: &[u8]) -> Result<SecretString, CryptoError> {
    crypto::open(key, label(app, &name()), sealed)
}

fn label(app: AppId, name: &ConfigKey) -> Label<'_> {
    Label { app, name, version: SEALED_AS }
}

fn name() -> ConfigKey {
    "WEBHOOK_SECRET".parse().expect("invariant: capital letters make a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_https_and_hold_no_password() {
        assert!(parse("https://example.com/in?from=slipway").is_ok());
        for bad in [
            "http://example.com/",
            "https://",
            "ftp://x/",
            "https://a:b@x/",
            "https://a@x/",
            "https://x/#y",
            "x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn events_are_named_in_herokus_words() {
        let told = |names: &[&str]| included(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(told(&["api:release", "api:build", "api:release"]).expect("known"), INCLUDES);
        for bad in [&[][..], &["api:dyno"], &["api:release", "release"]] {
            assert!(told(bad).is_err(), "{bad:?}");
        }
    }
}
