//! What people do to web hooks of ours: add, change and remove them, have something told again. One transaction each.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::PgConnection;
use url::Url;

use crate::actions::ActionError;
use crate::crypto::{self, AppKey, CryptoError, Label};
use crate::db::apps::App;
use crate::db::history::{Order, Page};
use crate::db::webhooks::{self, Entry, NewWebhook, Webhook};
use crate::db::{app_lock, audit};
use crate::domain::access::Principal;
use crate::domain::ids::{AppId, WebhookDeliveryId, WebhookId};
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
    let (url, host) = reachable(platform, &wish.url).await?;
    let include = included(wish.include)?;
    let made = wish.secret.is_none().then(signature::new_secret);
    let secret = match &wish.secret {
        Some(secret) => checked(secret)?,
        None => made.clone().expect("invariant: one is made where none was given"),
    };
    let sealed = seal(platform, app, &secret)?;
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
        return Err(told_already());
    }
    let detail = json!({ "id": id, "host": host, "include": include, "level": wish.level });
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "webhooks:add", detail).await?;
    let added = find(webhooks::of_app(&mut tx, app.id).await?, &id.to_string())?;
    tx.commit().await?;
    Ok((added, made))
}

/// What is to be different; what is left out stays.
pub(crate) struct Change {
    pub(crate) url: Option<String>,
    pub(crate) include: Option<Vec<String>>,
    pub(crate) level: Option<Level>,
    pub(crate) secret: Option<SecretString>,
}

/// Changes a web hook, named by its id or its address. What is on its way goes by what is set when it is tried.
pub(crate) async fn change(
    platform: &Platform,
    app: &App,
    principal: &Principal,
    (named, change): (&str, Change),
) -> Result<Webhook, ActionError> {
    let url = match &change.url {
        Some(url) => Some(reachable(platform, url).await?),
        None => None,
    };
    let include = change.include.map(included).transpose()?;
    let secret = change.secret.as_ref().map(checked).transpose()?;
    let sealed = secret.map(|secret| seal(platform, app, &secret)).transpose()?;
    let mut tx = platform.pool.begin().await?;
    app_lock::lock(&mut tx, app.id).await?;
    let all = webhooks::of_app(&mut tx, app.id).await?;
    let mut changed = find(all.clone(), named)?;
    let detail = json!({
        "id": changed.id, "host": url.as_ref().map(|(_, host)| host), "include": include, "level": change.level,
        "secret": sealed.is_some(),
    });
    if let Some((url, _)) = url {
        changed.url = url.into();
    }
    if all.iter().any(|other| other.id != changed.id && other.url == changed.url) {
        return Err(told_already());
    }
    changed.include = include.unwrap_or(changed.include);
    changed.level = change.level.unwrap_or(changed.level);
    webhooks::change(&mut tx, &changed, sealed.as_deref()).await?;
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "webhooks:update", detail).await?;
    tx.commit().await?;
    Ok(changed)
}

/// Has something told once more, or now in place of later; `named` is the delivery's number or id.
pub(crate) async fn redeliver(
    platform: &Platform,
    app: &App,
    principal: &Principal,
    named: &str,
) -> Result<Entry, ActionError> {
    let mut tx = platform.pool.begin().await?;
    let id = delivery(&mut tx, app, named).await?.id;
    webhooks::reopen(&mut tx, id).await?;
    let detail = json!({ "delivery": id });
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "webhooks:redeliver", detail).await?;
    let reopened = delivery(&mut tx, app, &id.to_string()).await?;
    tx.commit().await?;
    Ok(reopened)
}

/// A delivery of the app, by its number or its id.
pub(crate) async fn delivery(conn: &mut PgConnection, app: &App, named: &str) -> Result<Entry, ActionError> {
    let page = |least, most| Page { least, most, order: Order::Ascending, limit: 1 };
    let (id, page) = match (named.parse(), named.parse()) {
        (Ok(id), _) => (Some(WebhookDeliveryId(id)), page(0, i64::MAX)),
        (_, Ok(number)) => (None, page(number, number)),
        _ => return Err(no_delivery()),
    };
    webhooks::deliveries(conn, app.id, id, page).await?.pop().ok_or_else(no_delivery)
}

fn no_delivery() -> ActionError {
    ActionError::NotFound("the app has no such delivery: `webhooks:deliveries` lists them".to_owned())
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

fn told_already() -> ActionError {
    ActionError::Conflict(
        "this address is told already: `webhooks` lists them, `webhooks:remove` ends one".to_owned(),
    )
}

fn unknown() -> ActionError {
    ActionError::NotFound("the app has no such web hook: `webhooks` lists them".to_owned())
}

/// An address that deliveries may go to as things are, and its host. Refused at once rather than later; each try looks
/// again, for names are pointed elsewhere.
async fn reachable(platform: &Platform, text: &str) -> Result<(Url, String), ActionError> {
    let url = parse(text)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    address::resolve(&host, url.port_or_known_default().unwrap_or(443), &platform.settings.hooks.networks)
        .await
        .map_err(|error| ActionError::Invalid(error.to_string()))?;
    Ok((url, host))
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

fn seal(platform: &Platform, app: &App, secret: &SecretString) -> Result<Vec<u8>, CryptoError> {
    let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
    Ok(crypto::seal(&key, label(app.id, &name()), secret))
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
