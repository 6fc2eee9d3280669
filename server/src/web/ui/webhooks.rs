//! Whom an app tells of its builds and releases, and how each delivery was taken.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::admission::Visitor;
use super::mark::Mark;
use super::page::{Failure, Frame, Here, show};
use super::question::Question;
use super::text::{When, query};
use crate::db::apps::App;
use crate::db::history::{Order, Page as Rows};
use crate::db::webhooks::{self, Entry, Webhook};
use crate::domain::webhook::tries;
use crate::platform::Platform;
use crate::webhooks::manage;

/// Deliveries of a page.
const PAGE: usize = 25;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Key {
    /// Deliveries with lower numbers than this one.
    #[serde(default)]
    below: String,
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct Page {
    frame: Frame,
    app: String,
    receivers: Vec<Receiver>,
    deliveries: Vec<Delivery>,
    newest: Option<String>,
    next: Option<String>,
}

struct Receiver {
    id: String,
    url: String,
    told_of: String,
    tried: &'static str,
    since: When,
}

struct Delivery {
    number: i64,
    what: String,
    /// The page of what it tells of.
    link: Option<String>,
    mark: Mark,
    url: String,
    answer: String,
    when: When,
}

pub(super) async fn page(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Query(key): Query<Key>,
) -> Result<Response, Failure> {
    let below = key.below.parse::<i64>().ok();
    let rows = Rows {
        least: 0,
        most: below.map_or(i64::MAX, |below| below.saturating_sub(1)),
        order: Order::Descending,
        limit: i64::try_from(PAGE + 1).unwrap_or(i64::MAX),
    };
    let mut conn = platform.pool.acquire().await?;
    let receivers = webhooks::of_app(&mut conn, app.id).await?;
    let mut entries = webhooks::deliveries(&mut conn, app.id, None, rows).await?;
    drop(conn);
    let more = entries.len() > PAGE;
    entries.truncate(PAGE);
    let here = home(&app);
    let last = entries.last().filter(|_| more).map(|entry| entry.number.to_string());
    let notice = match key.done.as_str() {
        "redeliver" => Some("It is told once more."),
        "remove" => Some("This address is not told any more."),
        _ => None,
    };
    show(&Page {
        frame: Frame::new(&visitor, Here::Apps, format!("Whom {} tells", app.name)).noting(notice),
        receivers: receivers.into_iter().map(Receiver::from).collect(),
        deliveries: entries.into_iter().map(|entry| Delivery::of(entry, &app)).collect(),
        newest: below.is_some().then(|| here.clone()),
        next: last.map(|last| format!("{here}{}", query(&[("below", &last)]))),
        app: app.name.to_string(),
    })
}

impl From<Webhook> for Receiver {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id.to_string(),
            url: webhook.url,
            told_of: webhook.include.join(", "),
            tried: webhook.level.in_words(),
            since: When::new(webhook.created_at.to_jiff()),
        }
    }
}

impl Delivery {
    fn of(entry: Entry, app: &App) -> Self {
        let page = match entry.include.as_str() {
            "api:build" => "builds",
            _ => "releases",
        };
        Self {
            number: entry.number,
            what: entry.what(),
            link: entry.about.map(|about| format!("/ui/apps/{}/{page}/{about}", app.name)),
            mark: Mark::of_delivery(&entry.status),
            answer: answer(&entry),
            url: entry.url,
            when: When::new(entry.attempted_at.unwrap_or(entry.created_at).to_jiff()),
        }
    }
}

/// What came of its tries.
fn answer(entry: &Entry) -> String {
    if entry.tries == 0 {
        return "not tried yet".to_owned();
    }
    let tries = tries(entry.tries);
    match (&entry.error, entry.code) {
        (Some(error), _) => format!("{error} ({tries})"),
        (None, Some(code)) => format!("the receiver answered {code} ({tries})"),
        (None, None) => tries,
    }
}

pub(super) async fn ask_to_redeliver(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, delivery)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let entry = manage::delivery(&mut *platform.pool.acquire().await?, &app, &delivery).await?;
    Question {
        title: format!("Tell of {} once more?", entry.what()),
        consequences: format!("{} gets the same event again, under the same id.", entry.url),
        action: format!("{}/deliveries/{}/redeliver", home(&app), entry.number),
        back: home(&app),
        button: "Redeliver".to_owned(),
    }
    .ask(&visitor, &app)
}

pub(super) async fn redeliver(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, delivery)): Path<(String, String)>,
) -> Result<Response, Failure> {
    manage::redeliver(&platform, &app, &visitor.principal, &delivery).await?;
    Ok(Redirect::to(&format!("{}?done=redeliver", home(&app))).into_response())
}

pub(super) async fn ask_to_remove(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, webhook)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let all = webhooks::of_app(&mut *platform.pool.acquire().await?, app.id).await?;
    let found = manage::find(all, &webhook)?;
    Question {
        title: format!("Stop telling {}?", found.url),
        consequences: "What is on its way to it is not sent any more, and the log of what was is gone."
            .to_owned(),
        action: format!("{}/{}/remove", home(&app), found.id),
        back: home(&app),
        button: "Remove".to_owned(),
    }
    .ask(&visitor, &app)
}

pub(super) async fn remove(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, webhook)): Path<(String, String)>,
) -> Result<Response, Failure> {
    manage::remove(&platform, &app, &visitor.principal, &webhook).await?;
    Ok(Redirect::to(&format!("{}?done=remove", home(&app))).into_response())
}

fn home(app: &App) -> String {
    format!("/ui/apps/{}/webhooks", app.name)
}
