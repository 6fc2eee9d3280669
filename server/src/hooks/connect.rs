//! What people do to a connection: make it, change it, rotate its secret, end it. One transaction each.

use jiff::{SignedDuration, Timestamp};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use secrecy::SecretString;
use serde_json::json;

use super::address::{Address, Scheme};
use super::github_app::{AppError, Place};
use super::secrets::{self, What};
use super::signature;
use super::watch::Watch;
use crate::actions::ActionError;
use crate::config::OpenTo;
use crate::db::apps::App;
use crate::db::connections::{self, Change, Connection, NewConnection};
use crate::db::deliveries::{self, Again};
use crate::db::{audit, jobs, pull_requests, reports};
use crate::domain::access::{self, Action, Principal};
use crate::domain::hook::{Access, Provider};
use crate::domain::ids::DeliveryId;
use crate::platform::Platform;

/// How long a secret counts after it was replaced: time to paste the new one at the host.
const OLD_SECRET_COUNTS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Bytes of a branch's name and of a token at most.
const LONGEST_BRANCH: usize = 200;
const LONGEST_TOKEN: usize = 4096;

/// What an app is to follow.
pub(crate) struct Wish {
    pub(crate) url: String,
    pub(crate) provider: Option<Provider>,
    pub(crate) branch: Option<String>,
    pub(crate) access: Access,
    pub(crate) token: Option<SecretString>,
}

/// What is to be changed; `None` leaves it as it is.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) automatic: Option<bool>,
    pub(crate) watched: Option<Vec<String>>,
    pub(crate) wait_for_checks: Option<bool>,
    pub(crate) branch: Option<String>,
    /// A token that is given is gone by, in place of the GitHub App.
    pub(crate) access: Option<Access>,
    pub(crate) token: Option<SecretString>,
}

/// Connects the app; the secret is shown this once.
pub(crate) async fn connect(
    platform: &Platform,
    app: &App,
    principal: &Principal,
    wish: Wish,
) -> Result<(Connection, SecretString), ActionError> {
    let invalid = |error: &dyn std::fmt::Display| ActionError::Invalid(error.to_string());
    let address = Address::parse(&wish.url).map_err(|error| invalid(&error))?;
    // Refused at once rather than in a job; the job looks again, for names are pointed elsewhere.
    address.resolve(&platform.settings.hooks.networks).await.map_err(|error| invalid(&error))?;
    let branch = branch(wish.branch.as_deref().unwrap_or(&app.deploy_branch))?;
    let provider = wish.provider.unwrap_or_else(|| Provider::of_host(&address.host));
    if wish.access == Access::GithubApp {
        one_way_in(wish.token.as_ref())?;
        may_use_the_github_app(platform, principal, provider, &address).await?;
    }
    let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
    let secret = signature::new_secret();
    let pair = (address.scheme == Scheme::Ssh).then(|| deploy_key(app));
    let token = wish.token.map(token).transpose()?;
    let private_key = pair.as_ref().map(|(private, _)| secrets::seal(&key, app.id, What::DeployKey, private));
    let sealed_token = token.map(|token| secrets::seal(&key, app.id, What::Token, &token));
    let sealed_secret = secrets::seal(&key, app.id, What::Secret, &secret);
    let url = address.to_string();
    let new = NewConnection {
        app_id: app.id,
        provider,
        url: &url,
        branch: &branch,
        access: wish.access,
        secret: &sealed_secret,
        public_key: pair.as_ref().map(|(_, public)| public.as_str()),
        private_key: private_key.as_deref(),
        token: sealed_token.as_deref(),
    };
    let mut tx = platform.pool.begin().await?;
    if !connections::add(&mut tx, &new).await? {
        return Err(ActionError::Conflict(
            "the app is connected already: `hooks:info` shows to what, `hooks:disconnect` ends it".to_owned(),
        ));
    }
    let detail = json!({ "url": url, "provider": provider, "branch": branch, "access": wish.access });
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "hooks:connect", detail).await?;
    let made = connections::of_app(&mut tx, app.id).await?.ok_or_else(not_connected)?;
    tx.commit().await?;
    Ok((made, secret))
}

pub(crate) async fn change(
    platform: &Platform,
    app: &App,
    principal: &Principal,
    changes: Changes,
) -> Result<Connection, ActionError> {
    if let Some(watched) = &changes.watched {
        Watch::new(watched).map_err(|error| ActionError::Invalid(error.to_string()))?;
    }
    let branch = changes.branch.as_deref().map(branch).transpose()?;
    if changes.access == Some(Access::GithubApp) {
        one_way_in(changes.token.as_ref())?;
        let now = connections::of_app(&mut *platform.pool.acquire().await?, app.id).await?;
        let now = now.ok_or_else(not_connected)?;
        let address = Address::parse(&now.url).map_err(|error| ActionError::Invalid(error.to_string()))?;
        may_use_the_github_app(platform, principal, now.provider, &address).await?;
    }
    let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
    let token = changes.token.map(token).transpose()?;
    let access = changes.access.or(token.as_ref().map(|_| Access::Own));
    let detail = json!({
        "automatic": changes.automatic, "watched": changes.watched, "branch": branch, "token": token.is_some(),
        "wait_for_checks": changes.wait_for_checks, "access": access,
    });
    let token = token.map(|token| secrets::seal(&key, app.id, What::Token, &token));
    let change = Change {
        automatic: changes.automatic,
        watched: changes.watched.as_deref(),
        wait_for_checks: changes.wait_for_checks,
        branch: branch.as_deref(),
        access,
        token: token.as_deref(),
    };
    let mut tx = platform.pool.begin().await?;
    if !connections::change(&mut tx, app.id, &change).await? {
        return Err(not_connected());
    }
    if access.is_some() {
        reports::try_again(&mut tx, app.id).await?;
    }
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "hooks:set", detail).await?;
    let changed = connections::of_app(&mut tx, app.id).await?.ok_or_else(not_connected)?;
    if changes.wait_for_checks == Some(true) {
        can_be_asked(&changed)?;
    }
    tx.commit().await?;
    Ok(changed)
}

/// Whether there is somebody to be asked for checks, and something to be let in by.
fn can_be_asked(connection: &Connection) -> Result<(), ActionError> {
    if connection.provider == Provider::Generic {
        return Err(ActionError::Invalid(
            "only GitHub, GitLab, Gitea and Forgejo can be asked for checks: `hooks:connect --provider` says which it is"
                .to_owned(),
        ));
    }
    if connection.token.is_none() && connection.access != Access::GithubApp {
        return Err(ActionError::Invalid(
            "the host is asked for checks with a token: give one with `hooks:set --token-stdin` first"
                .to_owned(),
        ));
    }
    Ok(())
}

fn one_way_in(token: Option<&SecretString>) -> Result<(), ActionError> {
    match token {
        None => Ok(()),
        Some(_) => Err(ActionError::Invalid(
            "either the platform's GitHub App lets it in or a token of your own: leave one of them out"
                .to_owned(),
        )),
    }
}

/// Whether the GitHub App lets us in there, for whoever asks. It is asked for at once, so that a repository on which it
/// is not installed is told of here; a host that does not answer just now is asked again by the first look.
async fn may_use_the_github_app(
    platform: &Platform,
    principal: &Principal,
    provider: Provider,
    address: &Address,
) -> Result<(), ActionError> {
    let hooks = &platform.settings.hooks;
    let invalid = |error: AppError| ActionError::Invalid(error.to_string());
    let place = Place::of(&hooks.github_app, provider, address).map_err(invalid)?;
    // The installation says what the platform may read, not who of its people may.
    let open = hooks.github_app.open_to == OpenTo::Owners;
    if !open && access::authorise(principal, None, Action::Administer).is_err() {
        return Err(ActionError::Invalid(
            "connecting by the platform's GitHub App takes an admin of the platform, for the App opens every repository on \
             which it is installed: ask one, or connect with a token or a deploy key"
                .to_owned(),
        ));
    }
    match platform.github_app.token(hooks, &place).await {
        Err(error) if !error.may_pass() => Err(invalid(error)),
        _ => Ok(()),
    }
}

/// Puts a new secret in place, which is shown this once; the old one counts for a while.
pub(crate) async fn rotate(
    platform: &Platform,
    app: &App,
    principal: &Principal,
) -> Result<(Connection, SecretString), ActionError> {
    let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
    let secret = signature::new_secret();
    let sealed = secrets::seal(&key, app.id, What::Secret, &secret);
    let mut tx = platform.pool.begin().await?;
    let until = Timestamp::now() + OLD_SECRET_COUNTS;
    if !connections::rotate_secret(&mut tx, app.id, &sealed, until).await? {
        return Err(not_connected());
    }
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "hooks:secret:rotate", json!({})).await?;
    let changed = connections::of_app(&mut tx, app.id).await?.ok_or_else(not_connected)?;
    tx.commit().await?;
    Ok((changed, secret))
}

pub(crate) async fn disconnect(
    platform: &Platform,
    app: &App,
    principal: &Principal,
) -> Result<Connection, ActionError> {
    let mut conn = platform.pool.acquire().await?;
    let gone = connections::of_app(&mut conn, app.id).await?.ok_or_else(not_connected)?;
    // First of all, so that the host can be told; and turned off, so that no hook makes one meanwhile.
    pull_requests::turn_off(&mut conn, app.id).await?;
    drop(conn);
    platform.remove_review_apps(app, principal.into()).await?;
    let mut tx = platform.pool.begin().await?;
    if !connections::remove(&mut tx, app.id).await? {
        return Err(not_connected());
    }
    let detail = json!({ "url": gone.url });
    audit::note(&mut tx, principal, Some((app.id, &app.name)), "hooks:disconnect", detail).await?;
    tx.commit().await?;
    Ok(gone)
}

/// Has a delivery judged once more. One whose verdict is still awaited is left alone.
pub(crate) async fn redeliver(
    platform: &Platform,
    app: &App,
    principal: &Principal,
    delivery: DeliveryId,
) -> Result<(), ActionError> {
    let mut tx = platform.pool.begin().await?;
    let found = deliveries::by_id(&mut tx, delivery).await?.filter(|found| found.app_id == app.id);
    if found.is_none() {
        return Err(ActionError::NotFound("the app has had no such delivery: `hooks` lists them".to_owned()));
    }
    if deliveries::reopen(&mut tx, delivery, Again::ByPerson).await? {
        jobs::enqueue(&mut tx, super::job(app.id, delivery).as_new()).await?;
        let detail = json!({ "delivery": delivery });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "hooks:redeliver", detail).await?;
    }
    tx.commit().await?;
    platform.queue.wake();
    Ok(())
}

pub(crate) fn not_connected() -> ActionError {
    ActionError::NotFound(
        "the app is not connected to a repository: `hooks:connect <url>` does that".to_owned(),
    )
}

/// A key for one repository to let us in by: the private half, and the line to paste there.
fn deploy_key(app: &App) -> (SecretString, String) {
    let mut seed = [0; 32];
    rand::fill(&mut seed);
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment(format!("slipway-{}", app.name));
    let private = key.to_openssh(LineEnding::LF).expect("invariant: an ed25519 key has a text form");
    let public = key.public_key().to_openssh().expect("invariant: an ed25519 key has a text form");
    (private.to_string().into(), public)
}

/// What git allows in a branch's name is more; what hosts have fits here.
fn branch(name: &str) -> Result<String, ActionError> {
    let name = name.strip_prefix("refs/heads/").unwrap_or(name);
    let good = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+' | '#' | '@');
    let whole = !name.is_empty() && name.len() <= LONGEST_BRANCH && name.chars().all(good);
    let parts = name.split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '-']));
    if whole && parts && !name.contains("..") && !name.contains("@{") && !name.ends_with(".lock") {
        return Ok(name.to_owned());
    }
    Err(ActionError::Invalid(
        "that is not the name of a branch: write it without refs/heads/, such as main".to_owned(),
    ))
}

/// It goes into a header: one line, no blanks.
fn token(token: SecretString) -> Result<SecretString, ActionError> {
    use secrecy::ExposeSecret;
    let text = token.expose_secret().trim();
    if text.is_empty() || text.len() > LONGEST_TOKEN || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(ActionError::Invalid(
            "that is not a token: it is one line of letters, digits and signs, without blanks".to_owned(),
        ));
    }
    Ok(text.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_branches_cannot_be_taken_for_anything_else() {
        for good in ["main", "feature/x-1", "v1.2", "refs/heads/main", "größe"] {
            assert!(branch(good).is_ok(), "{good}");
        }
        for bad in
            ["", "-x", "a..b", "a b", "a/", "/a", "a//b", ".a", "a.lock", "a:b", "a*", "a\n", "a/-x", "@{1}"]
        {
            assert!(branch(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_one_word() {
        assert!(token("ghp_abc\n".to_owned().into()).is_ok());
        for bad in ["", "a b", "a\r\nX-Evil: 1", "ä"] {
            assert!(token(bad.to_owned().into()).is_err(), "{bad:?}");
        }
    }
}
