//! The pull requests of a connected repository and their apps: a part of the page of web hooks.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::admission::Visitor;
use super::mark::Mark;
use super::page::Failure;
use super::question::Question;
use super::text::{When, short};
use crate::actions::review_apps::find;
use crate::db::apps::App;
use crate::db::connections;
use crate::db::pull_requests::PullRequest;
use crate::hooks::commit_page;
use crate::platform::Platform;
use crate::web::api::{review_apps as api, shapes};
use crate::web::error::ApiError;

/// A line of the list.
pub(super) struct Line {
    pub(super) number: i64,
    pub(super) title: String,
    /// Where it comes from: a branch, or a fork's.
    pub(super) from: String,
    pub(super) mark: Mark,
    pub(super) app: Option<String>,
    pub(super) web_url: Option<String>,
    pub(super) message: Option<String>,
    pub(super) commit: Option<String>,
    /// The whole commit, if it waits for somebody's approval.
    pub(super) to_be_approved: Option<String>,
    pub(super) updated: When,
}

/// The open pull requests of an app, the newest first.
pub(super) async fn lines(platform: &Platform, app: &App) -> Result<Vec<Line>, Failure> {
    Ok(api::all(platform, app).await?.into_iter().map(Line::from).collect())
}

impl From<shapes::ReviewApp> for Line {
    fn from(review: shapes::ReviewApp) -> Self {
        let (word, look) = match review.status.as_str() {
            "created" => ("has an app", "good"),
            "approval" => ("to be approved", "busy"),
            "room" => ("waits for room", "busy"),
            "skipped" => ("left out", "calm"),
            _ => ("no app", "calm"),
        };
        let from = match review.fork_repo {
            Some(fork) => format!("{fork}, {}", review.branch),
            None => review.branch,
        };
        Self {
            number: review.pr_number,
            title: review.title,
            from,
            mark: Mark { word, look },
            app: review.app.map(|app| app.name),
            web_url: review.web_url,
            message: review.message,
            to_be_approved: review.commit.clone().filter(|_| review.status == "approval"),
            commit: review.commit.as_deref().map(short),
            updated: When::new(review.updated_at),
        }
    }
}

pub(super) async fn ask_to_approve(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, number, commit)): Path<(String, String, String)>,
) -> Result<Response, Failure> {
    let pull = of(&platform, &app, &number).await?;
    let place = connections::place_of(&mut *platform.pool.acquire().await?, app.id).await?;
    let page = place.and_then(|(provider, url)| commit_page(provider, &url, &commit));
    let at = page.map(|page| format!(" It is at {page}.")).unwrap_or_default();
    Question {
        title: format!("Build {} of pull request {number}?", short(&commit)),
        consequences: format!(
            "It comes from {}, and building it runs what is in it. Look at the commit first.{at} Its app is built and run \
             without config vars of {}; a newer commit needs an approval of its own.",
            pull.fork.as_deref().unwrap_or("the repository itself"),
            app.name
        ),
        action: format!("/ui/apps/{}/review-apps/{number}/{commit}/approve", app.name),
        back: back(&app),
        button: "Approve".to_owned(),
    }
    .ask(&visitor, &app)
}

pub(super) async fn approve(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, number, commit)): Path<(String, String, String)>,
) -> Result<Response, Failure> {
    platform.approve_pull_request(&app, &visitor.principal, (api::parse(&number)?, &commit)).await?;
    Ok(Redirect::to(&format!("{}?done=approve", back(&app))).into_response())
}

pub(super) async fn ask_to_remove(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let pull = of(&platform, &app, &number).await?;
    let name =
        pull.app_name.ok_or_else(|| ApiError::NotFound(format!("pull request {number} has no app")))?;
    Question {
        title: format!("Remove the review app {name}?"),
        consequences: format!(
            "It ends with all that is stored of it. The next push to pull request {number} makes it again."
        ),
        action: format!("/ui/apps/{}/review-apps/{number}/remove", app.name),
        back: back(&app),
        button: "Remove".to_owned(),
    }
    .ask(&visitor, &app)
}

pub(super) async fn remove(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let pull = of(&platform, &app, &number).await?;
    platform.remove_review_app(&pull, (&visitor.principal).into(), None).await?;
    Ok(Redirect::to(&format!("{}?done=remove-review-app", back(&app))).into_response())
}

async fn of(platform: &Platform, app: &App, number: &str) -> Result<PullRequest, Failure> {
    Ok(find(&mut *platform.pool.acquire().await?, app, api::parse(number)?).await?)
}

fn back(app: &App) -> String {
    format!("/ui/apps/{}/hooks", app.name)
}
