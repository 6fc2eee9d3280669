//! The repository that an app follows, the web hooks that came from there, and what each led to.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::admission::Visitor;
use super::history::may;
use super::mark::Mark;
use super::page::{Failure, Frame, Here, show};
use super::question::Question;
use super::review_apps;
use super::text::{When, query, short};
use crate::db::apps::App;
use crate::db::deliveries::{self, Rows};
use crate::domain::access::Action;
use crate::domain::hook::Access;
use crate::hooks::connect;
use crate::platform::Platform;
use crate::web::api::{connection, deliveries as api, shapes};

/// Deliveries of a page.
const PAGE: usize = 25;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Key {
    /// Deliveries before this one.
    #[serde(default)]
    before: String,
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "hooks.html")]
struct Page {
    frame: Frame,
    app: String,
    connection: Option<Connected>,
    reviews: Vec<review_apps::Line>,
    deliveries: Vec<Shown>,
    can_deploy: bool,
    /// Whom the app tells is for those who may read its config.
    sees_receivers: bool,
    newest: Option<String>,
    next: Option<String>,
}

/// The connection as the page says it.
struct Connected {
    /// Whose web hooks they are, such as `GitHub`.
    host: &'static str,
    state: Mark,
    by_github_app: bool,
    about: shapes::Connection,
    watched: Option<String>,
    head: Option<String>,
    looked: Option<When>,
    old_secret_until: Option<String>,
    refused: Option<(String, When)>,
}

struct Shown {
    id: Uuid,
    mark: Mark,
    source: String,
    event: String,
    /// The branch or tag it told of.
    git_ref: Option<String>,
    actor: Option<String>,
    commit: Option<String>,
    reason: Option<String>,
    build: Option<i64>,
    /// Whose build it is, if a review app's.
    build_of: Option<String>,
    received: When,
    /// It has its verdict, and was more than a ping.
    can_be_redelivered: bool,
}

pub(super) async fn page(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Query(key): Query<Key>,
) -> Result<Response, Failure> {
    let connection = connection::of(&platform, &app).await?.map(Connected::from);
    let reviews = review_apps::lines(&platform, &app).await?;
    let before = key.before.parse().ok();
    let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut conn = platform.pool.acquire().await?;
    let mut rows = deliveries::ledger(&mut conn, app.id, Rows::Newest { before, limit }).await?;
    let can_deploy = may(&mut conn, &visitor, &app, Action::Deploy).await?;
    let sees_receivers = may(&mut conn, &visitor, &app, Action::ReadConfig).await?;
    drop(conn);
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let here = format!("/ui/apps/{}/hooks", app.name);
    let last = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let notice = match key.done.as_str() {
        "redeliver" => Some("The web hook is worked on once more."),
        "approve" => Some("The commit is built now."),
        "remove-review-app" => Some("The review app is gone."),
        _ => None,
    };
    show(&Page {
        frame: Frame::new(&visitor, Here::Apps, format!("Web hooks of {}", app.name)).noting(notice),
        can_deploy: can_deploy && connection.is_some(),
        sees_receivers,
        connection,
        reviews,
        deliveries: rows.into_iter().map(|row| Shown::from(api::shape(row))).collect(),
        newest: before.is_some().then(|| here.clone()),
        next: last.map(|last| format!("{here}{}", query(&[("before", &last)]))),
        app: app.name.to_string(),
    })
}

impl From<shapes::Connection> for Connected {
    fn from(about: shapes::Connection) -> Self {
        Self {
            host: about.provider.title(),
            state: state(&about),
            by_github_app: about.access == Access::GithubApp,
            watched: (!about.watched.is_empty()).then(|| about.watched.join(" ")),
            head: about.head.as_deref().map(short),
            looked: about.looked_at.map(When::new),
            old_secret_until: about.old_secret_until.map(exactly),
            refused: about.refused.clone().zip(about.refused_at.map(When::new)),
            about,
        }
    }
}

fn state(about: &shapes::Connection) -> Mark {
    let (word, look) = match (&about.trouble, about.looked_at, about.automatic) {
        (Some(_), ..) => ("not reached", "bad"),
        (None, _, false) => ("automatic deploys off", "calm"),
        (None, None, true) => ("not looked at yet", "busy"),
        (None, Some(_), true) => ("follows", "good"),
    };
    Mark { word, look }
}

fn exactly(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

impl From<shapes::HookDelivery> for Shown {
    fn from(delivery: shapes::HookDelivery) -> Self {
        Self {
            id: delivery.id,
            mark: Mark::of_verdict(delivery.verdict.as_deref()),
            can_be_redelivered: delivery.verdict.as_deref().is_some_and(|verdict| verdict != "pong"),
            source: delivery.source,
            event: delivery.event,
            git_ref: delivery.git_ref,
            actor: delivery.actor,
            commit: delivery.commit.as_deref().map(short),
            reason: delivery.reason,
            build_of: delivery.review_app,
            build: delivery.build.map(|build| build.number),
            received: When::new(delivery.created_at),
        }
    }
}

pub(super) async fn ask(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let delivery = api::one(&platform, &app, api::parse(&which)?).await?;
    let back = format!("/ui/apps/{}/hooks", app.name);
    Question {
        title: format!("Work on this web hook of {} once more?", app.name),
        consequences: format!(
            "The branch is looked at again, as if {} had just told of it. Its head is built and released if that was not \
             done, or if its build came to nothing.",
            delivery.source
        ),
        action: format!("{back}/{}/redeliver", delivery.id),
        back,
        button: "Redeliver".to_owned(),
    }
    .ask(&visitor, &app)
}

pub(super) async fn redeliver(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    connect::redeliver(&platform, &app, &visitor.principal, api::parse(&which)?).await?;
    Ok(Redirect::to(&format!("/ui/apps/{}/hooks?done=redeliver", app.name)).into_response())
}
