//! Web hooks of our own: whom an app tells of its builds and releases.

use axum::http::Method;
use serde_json::json;

use super::client::path;
use super::failure::Failure;
use super::grammar::{Newest, WebhooksAdd, WebhooksUpdate};
use super::run::Session;
use super::text::when;
use crate::domain::webhook;
use crate::web::api::shapes::{NewWebhook, Webhook, WebhookChange, WebhookDelivery, WebhookEvent};

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let found: Vec<Webhook> = session.client.get(&path(&["apps", app.as_str(), "webhooks"])).await?;
    if session.options.json {
        return session.terminal.json(&found).await;
    }
    if found.is_empty() {
        let hint = session.typed("webhooks:add -i api:release -l sync -u https://hooks.example.com/in");
        return session.terminal.line(format!("{app} has no web hooks. `{hint}` adds one.")).await;
    }
    session.terminal.heading(format!("{app} Web Hooks")).await?;
    session.terminal.rows(&found.iter().map(row).collect::<Vec<_>>()).await
}

fn row(webhook: &Webhook) -> [String; 4] {
    [
        webhook.id.to_string(),
        webhook.url.clone(),
        webhook.include.join(","),
        webhook.level.as_str().to_owned(),
    ]
}

pub(super) async fn add(session: &mut Session, args: WebhooksAdd) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let new = NewWebhook { url: args.url, include: args.include, level: args.level, secret: args.secret };
    let made: Webhook =
        session.client.send(Method::POST, &path(&["apps", app.as_str(), "webhooks"]), &new).await?;
    if session.options.json {
        return session.terminal.json(&made).await;
    }
    let text = format!("{} is told of {} of {app} ({})", made.url, made.include.join(" and "), made.id);
    session.terminal.line(text).await?;
    let Some(secret) = made.secret else { return Ok(()) };
    session
        .terminal
        .line(format!("\nThe secret that deliveries are signed with, shown this once:\n    {secret}"))
        .await
}

pub(super) async fn update(session: &mut Session, args: WebhooksUpdate) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let change =
        WebhookChange { url: args.url, include: args.include, level: args.level, secret: args.secret };
    let one = path(&["apps", app.as_str(), "webhooks", &args.webhook]);
    let changed: Webhook = session.client.send(Method::PATCH, &one, &change).await?;
    if session.options.json {
        return session.terminal.json(&changed).await;
    }
    let text = format!(
        "{} is told of {} of {app} ({}, {})",
        changed.url,
        changed.include.join(" and "),
        changed.level.as_str(),
        changed.id
    );
    session.terminal.line(text).await
}

pub(super) async fn remove(session: &mut Session, webhook: &str) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let gone: Webhook = session.client.delete(&path(&["apps", app.as_str(), "webhooks", webhook])).await?;
    if session.options.json {
        return session.terminal.json(&gone).await;
    }
    session.terminal.line(format!("{} is not told of {app} any more", gone.url)).await
}

pub(super) async fn deliveries(session: &mut Session, args: Newest) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let all = path(&["apps", app.as_str(), "webhook-deliveries"]);
    let rows = session.client.newest::<WebhookDelivery>(&all, args.num).await?;
    if session.options.json {
        return session.terminal.json(&rows).await;
    }
    if rows.is_empty() {
        return session.terminal.line(format!("Nothing has happened that web hooks of {app} tell of.")).await;
    }
    session.terminal.heading(format!("{app} Web Hook Deliveries")).await?;
    session.terminal.rows(&rows.iter().map(delivery_row).collect::<Vec<_>>()).await
}

pub(super) async fn redeliver(session: &mut Session, delivery: &str) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let again = path(&["apps", app.as_str(), "webhook-deliveries", delivery, "redeliver"]);
    let reopened: WebhookDelivery = session.client.send(Method::POST, &again, &json!({})).await?;
    if session.options.json {
        return session.terminal.json(&reopened).await;
    }
    let about = about(&reopened.event);
    session.terminal.line(format!("{} is told of {about} of {app} once more", reopened.webhook.url)).await
}

fn about(event: &WebhookEvent) -> String {
    webhook::what(&event.include, event.number, event.state.as_deref())
}

fn delivery_row(delivery: &WebhookDelivery) -> [String; 7] {
    let last = delivery.last_attempt.as_ref();
    [
        delivery.number.to_string(),
        about(&delivery.event),
        delivery.status.clone(),
        last.and_then(|last| last.code).map(|code| code.to_string()).unwrap_or_default(),
        webhook::tries(delivery.num_attempts),
        last.and_then(|last| last.error.clone()).unwrap_or_default(),
        when(delivery.created_at),
    ]
}
