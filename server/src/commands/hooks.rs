//! Connections to repositories elsewhere, and the ledger of their web hooks.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use tokio::time::Instant;

use super::client::path;
use super::failure::Failure;
use super::grammar::{HooksConnect, HooksSet, Ledger, OnOff};
use super::run::Session;
use super::text::{short, when};
use crate::domain::hook::{Access, Provider};
use crate::domain::names::AppName;
use crate::web::api::shapes::{Connection, ConnectionChange, HookDelivery, NewConnection};

/// How long a verdict is waited for, and how often it is asked for.
const VERDICT: Duration = Duration::from_secs(90);
const ASK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn list(session: &mut Session, args: Ledger) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let (all, num) = (of(&app, &["hook-deliveries"]), args.newest.num);
    let rows: Vec<HookDelivery> = session.client.newest_before(&all, num, args.before).await?;
    if session.options.json {
        return session.terminal.json(&rows).await;
    }
    if rows.is_empty() && args.before.is_some() {
        return session.terminal.line(format!("No web hook has come for {app} before that one.")).await;
    }
    if rows.is_empty() {
        let hint = session.typed("hooks:info");
        return session
            .terminal
            .line(format!("No web hook has come for {app} yet. `{hint}` says where they are to be sent."))
            .await;
    }
    session.terminal.heading(format!("{app} Web Hooks")).await?;
    session.terminal.rows(&rows.iter().map(row).collect::<Vec<_>>()).await?;
    let Some(last) = rows.last().filter(|_| rows.len() == usize::from(num)) else { return Ok(()) };
    let hint = session.typed(&format!("hooks --before {}", last.id));
    session.terminal.line(format!("\nOlder ones: `{hint}`")).await
}

fn row(delivery: &HookDelivery) -> [String; 7] {
    [
        delivery.id.to_string(),
        delivery.source.clone(),
        delivery.event.clone(),
        verdict(delivery).to_owned(),
        delivery.commit.as_deref().map(short).unwrap_or_default().to_owned(),
        led_to(delivery),
        when(delivery.created_at),
    ]
}

fn verdict(delivery: &HookDelivery) -> &str {
    delivery.verdict.as_deref().unwrap_or("waiting")
}

/// The build, else the reason why there is none.
fn led_to(delivery: &HookDelivery) -> String {
    match (&delivery.build, &delivery.reason) {
        (Some(build), _) => match &delivery.review_app {
            Some(app) => format!("build #{} of {app}", build.number),
            None => format!("build #{}", build.number),
        },
        (None, Some(reason)) => reason.clone(),
        (None, None) => String::new(),
    }
}

pub(super) async fn connect(session: &mut Session, args: HooksConnect) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let token = read_token(session, args.token_stdin).await?;
    let HooksConnect { url, provider, branch, github_app, .. } = args;
    let access = github_app.then_some(Access::GithubApp);
    let new = NewConnection { url, provider, branch, access, token };
    let made: Connection = session.client.send(Method::POST, &of(&app, &["connection"]), &new).await?;
    if session.options.json {
        return session.terminal.json(&made).await;
    }
    session.terminal.line(format!("Connected {app} to {} ({})", made.url, made.branch)).await?;
    tell_what_to_enter(session, &made).await
}

/// What is left to do at the host, in the order in which one does it.
async fn tell_what_to_enter(session: &mut Session, made: &Connection) -> Result<(), Failure> {
    let host = made.provider.title();
    if let Some(key) = &made.deploy_key {
        let text =
            format!("\nAdd this key to the repository's deploy keys, to read only:\n    {}", key.trim());
        session.terminal.line(text).await?;
    }
    if made.access == Access::GithubApp {
        session
            .terminal
            .line("\nThe platform's GitHub App lets it in: no key and no token are needed.")
            .await?;
    }
    let secret = made.secret.as_deref().unwrap_or("(shown when it was made)");
    let kind = match made.provider {
        Provider::Github => "\n    Content type: application/json",
        Provider::Gitea | Provider::Forgejo => "\n    POST content type: application/json",
        Provider::Gitlab | Provider::Generic => "",
    };
    session
        .terminal
        .line(format!(
            "\nAdd a web hook for pushes at {host}. Its secret is shown this once:\n    URL: {}\n    Secret: {secret}{kind}",
            made.hook_url
        ))
        .await?;
    let hint = session.typed("hooks:check");
    session
        .terminal
        .line(format!("\nThen `{hint}` deploys what is there, and every push from then on does."))
        .await
}

pub(super) async fn info(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let found: Connection = session.client.get(&of(&app, &["connection"])).await?;
    if session.options.json {
        return session.terminal.json(&found).await;
    }
    session.terminal.heading(format!("{app} Connection")).await?;
    session.terminal.rows(&facts(&found)).await
}

fn facts(found: &Connection) -> Vec<[String; 2]> {
    let watched = match found.watched.as_slice() {
        [] => "everything".to_owned(),
        paths => paths.join(" "),
    };
    let refused = found.refused.as_ref().zip(found.refused_at);
    let known = [
        ("Repository:", Some(found.url.clone())),
        ("Branch:", Some(found.branch.clone())),
        ("Host:", Some(found.provider.as_str().to_owned())),
        ("Automatic:", Some(if found.automatic { "on" } else { "off" }.to_owned())),
        ("Watched:", Some(watched)),
        ("Checks:", found.wait_for_checks.then(|| "waited for".to_owned())),
        ("Web hook:", Some(found.hook_url.clone())),
        ("Old secret:", found.old_secret_until.map(|until| format!("counts until {until:.0}"))),
        ("Deploy key:", found.deploy_key.as_ref().map(|key| key.trim().to_owned())),
        ("Let in by:", (found.access == Access::GithubApp).then(|| "the platform's GitHub App".to_owned())),
        ("Token:", found.has_token.then(|| "set".to_owned())),
        ("Host key:", found.host_key.clone()),
        ("Head:", found.head.as_deref().map(|head| short(head).to_owned())),
        ("Looked at:", found.looked_at.map(when)),
        ("Trouble:", found.trouble.clone()),
        ("Not reported:", found.report_trouble.clone()),
        ("Turned away:", refused.map(|(why, at)| format!("{why} {}", when(at)))),
    ];
    known.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?])).collect()
}

pub(super) async fn set(session: &mut Session, args: HooksSet) -> Result<(), Failure> {
    let token = read_token(session, args.token_stdin).await?;
    let said = match (&args.branch, args.github_app) {
        (Some(branch), _) => format!("follows {branch}"),
        (None, true) => "is let in by the platform's GitHub App".to_owned(),
        (None, false) => "has a new token".to_owned(),
    };
    let access = args.github_app.then_some(Access::GithubApp);
    let change = ConnectionChange { branch: args.branch, access, token, ..ConnectionChange::default() };
    send_change(session, change, &said).await
}

pub(super) async fn automatic(session: &mut Session, state: OnOff) -> Result<(), Failure> {
    let (automatic, said) = match state {
        OnOff::On => (true, "is deployed by every push to its branch"),
        OnOff::Off => (false, "is not deployed by pushes any more; `hooks:check` deploys once"),
    };
    let change = ConnectionChange { automatic: Some(automatic), ..ConnectionChange::default() };
    send_change(session, change, said).await
}

pub(super) async fn checks(session: &mut Session, state: OnOff) -> Result<(), Failure> {
    let (wait_for_checks, said) = match state {
        OnOff::On => {
            (true, "is deployed when the checks of a commit are good; `hooks:check` deploys in spite of them")
        }
        OnOff::Off => (false, "is deployed without waiting for checks"),
    };
    let change = ConnectionChange { wait_for_checks: Some(wait_for_checks), ..ConnectionChange::default() };
    send_change(session, change, said).await
}

pub(super) async fn watch(session: &mut Session, paths: Vec<String>) -> Result<(), Failure> {
    let said = match paths.as_slice() {
        [] => "is deployed whatever changes".to_owned(),
        paths => format!("is deployed when something changes in {}", paths.join(" ")),
    };
    let change = ConnectionChange { watched: Some(paths), ..ConnectionChange::default() };
    send_change(session, change, &said).await
}

async fn send_change(session: &mut Session, change: ConnectionChange, said: &str) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let changed: Connection = session.client.send(Method::PATCH, &of(&app, &["connection"]), &change).await?;
    if session.options.json {
        return session.terminal.json(&changed).await;
    }
    session.terminal.line(format!("{app} {said}")).await
}

pub(super) async fn rotate(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let changed: Connection =
        session.client.send(Method::POST, &of(&app, &["connection", "secret"]), &json!({})).await?;
    if session.options.json {
        return session.terminal.json(&changed).await;
    }
    let secret = changed.secret.as_deref().unwrap_or_default();
    session
        .terminal
        .line(format!(
            "The new secret, shown this once; enter it at the host. The old one counts for seven more days:\n    {secret}"
        ))
        .await
}

pub(super) async fn disconnect(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let gone: Connection = session.client.delete(&of(&app, &["connection"])).await?;
    if session.options.json {
        return session.terminal.json(&gone).await;
    }
    let host = gone.provider.title();
    session
        .terminal
        .line(format!(
            "Disconnected {app} from {}. Remove the web hook and the deploy key at {host} too; they lead nowhere now.",
            gone.url
        ))
        .await
}

pub(super) async fn check(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let asked: HookDelivery =
        session.client.send(Method::POST, &of(&app, &["hook-deliveries"]), &json!({})).await?;
    until_judged(session, &app, asked).await
}

pub(super) async fn redeliver(session: &mut Session, delivery: &str) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let again = of(&app, &["hook-deliveries", delivery, "redeliver"]);
    let asked: HookDelivery = session.client.send(Method::POST, &again, &json!({})).await?;
    until_judged(session, &app, asked).await
}

/// Waits for the verdict and says it.
async fn until_judged(session: &mut Session, app: &AppName, asked: HookDelivery) -> Result<(), Failure> {
    let id = asked.id.to_string();
    let (mut delivery, end) = (asked, Instant::now() + VERDICT);
    while delivery.verdict.is_none() && Instant::now() < end {
        tokio::time::sleep(ASK_EVERY).await;
        delivery = session.client.get(&of(app, &["hook-deliveries", &id])).await?;
    }
    if session.options.json {
        return session.terminal.json(&delivery).await;
    }
    let commit = delivery.commit.as_deref().map(short).unwrap_or_default();
    let reason = delivery.reason.clone().unwrap_or_default();
    let said = match (delivery.verdict.as_deref(), &delivery.build) {
        (Some("deployed"), Some(build)) => {
            let of = delivery.review_app.as_deref().unwrap_or(app.as_str());
            let watch = session.typed(&format!("builds:output {} --app {of}", build.number));
            format!("{commit} is build {}; `{watch}` follows it", build.number)
        }
        (Some("current"), Some(build)) => {
            format!("Nothing to do: {commit} is build {} already", build.number)
        }
        (Some("current"), None) => format!("Nothing to do: {commit} has had its turn already"),
        (Some("ignored"), _) => format!("Nothing is deployed: {reason}"),
        (Some("failed"), _) => return Err(Failure::refused(reason)),
        (Some(other), _) => other.to_owned(),
        (None, _) => format!("No verdict yet; `{}` shows it later", session.typed("hooks")),
    };
    session.terminal.line(said).await
}

async fn read_token(session: &mut Session, wanted: bool) -> Result<Option<String>, Failure> {
    if !wanted {
        return Ok(None);
    }
    Ok(Some(session.terminal.read_input().await?.trim().to_owned()))
}

fn of(app: &AppName, rest: &[&str]) -> String {
    path(&[&["apps", app.as_str()], rest].concat())
}
