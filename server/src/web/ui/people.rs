//! People, for admins: who has an account, what they may, and links that let them in; done by the API's own handlers.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgPool;

use super::Ui;
use super::admission::Visitor;
use super::page::{Failure, Frame, Here, show};
use super::text::When;
use crate::db::people::{self, Overview, Standing};
use crate::db::{audit, sessions};
use crate::domain::access::Role;
use crate::domain::token;
use crate::web::api::{shapes, users};
use crate::web::body::Body;
use crate::web::error::ApiError;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "people.html")]
struct Page {
    frame: Frame,
    people: Vec<Shown>,
    teams: Vec<String>,
    roles: [Role; 3],
    /// A link that has just been made: shown this once.
    fresh: Option<Fresh>,
}

/// A link that signs somebody in once.
struct Fresh {
    name: String,
    link: String,
}

struct Shown {
    name: String,
    admin: bool,
    email: Option<String>,
    signed_in: Option<When>,
    tokens: i64,
    keys: i64,
}

pub(super) async fn list(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let notice =
        (done.done == "removed").then_some("They are removed: their tokens, keys and sessions have ended.");
    whole(&ui, &visitor, (notice, None)).await
}

async fn whole(
    ui: &Ui,
    visitor: &Visitor,
    (notice, fresh): (Option<&str>, Option<Fresh>),
) -> Result<Response, Failure> {
    let mut conn = ui.web.platform.pool.acquire().await?;
    let people = people::overview(&mut conn, None).await?;
    let teams = people::teams(&mut conn).await?;
    drop(conn);
    show(&Page {
        frame: Frame::new(visitor, Here::People, "People").noting(notice),
        people: people.into_iter().map(Shown::from).collect(),
        teams: teams.into_iter().map(|team| team.name).collect(),
        roles: [Role::Viewer, Role::Deployer, Role::Owner],
        fresh,
    })
}

impl From<Overview> for Shown {
    fn from(person: Overview) -> Self {
        Self {
            name: person.name,
            admin: person.admin,
            email: person.email,
            signed_in: person.signed_in_at.map(|at| When::new(at.to_jiff())),
            tokens: person.tokens,
            keys: person.keys,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct NewPerson {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    team: String,
    role: Option<Role>,
}

/// Answers with the page itself: a link that went through a redirect would have to be kept somewhere.
pub(super) async fn add(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Form(sent): Form<NewPerson>,
) -> Result<Response, Failure> {
    let new = shapes::NewUser {
        name: sent.name.trim().to_lowercase(),
        admin: false,
        team: Some(sent.team).filter(|team| !team.is_empty()),
        role: sent.role,
        sign_in_email: Some(sent.email.trim().to_owned()).filter(|email| !email.is_empty()),
    };
    let mut tx = ui.web.platform.pool.begin().await?;
    let made = users::make(&mut tx, &visitor.principal, new).await?;
    let link = link_of(&ui, &mut tx, &made).await?;
    tx.commit().await?;
    let notice = format!("The account of {} is made.", made.name);
    whole(&ui, &visitor, (Some(&notice), Some(Fresh { name: made.name, link }))).await
}

async fn link_of(ui: &Ui, conn: &mut sqlx::PgConnection, user: &people::User) -> Result<String, ApiError> {
    let secret = token::generate();
    let hash = token::hash(secret.expose_secret()).expect("invariant: a generated token has its checksum");
    sessions::add_link(conn, user.id, &hash).await?;
    let page = ui.web.platform.settings.http.base_url();
    Ok(format!("{page}/ui/sign-in?once={}", secret.expose_secret()))
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    frame: Frame,
    person: Shown,
    created: When,
    standings: Vec<Standing>,
    fresh: Option<String>,
}

pub(super) async fn info(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let notice = (done.done == "changed").then_some("It is changed.");
    one(&ui, &visitor, &name, (notice, None)).await
}

async fn one(
    ui: &Ui,
    visitor: &Visitor,
    name: &str,
    (notice, fresh): (Option<&str>, Option<String>),
) -> Result<Response, Failure> {
    let mut conn = ui.web.platform.pool.acquire().await?;
    let user = people::user_named(&mut conn, name).await?.ok_or_else(|| users::nobody(name))?;
    let person =
        people::overview(&mut conn, Some(user.id)).await?.pop().ok_or_else(|| users::nobody(name))?;
    let standings = people::standings(&mut conn, user.id).await?;
    drop(conn);
    show(&PersonPage {
        frame: Frame::new(visitor, Here::People, &person.name).noting(notice),
        created: When::new(user.created_at),
        person: Shown::from(person),
        standings,
        fresh,
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    email: String,
    /// `admin` or `member`, and which of them the page has shown.
    #[serde(default)]
    role: String,
    #[serde(default)]
    was: String,
}

pub(super) async fn change(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    Form(sent): Form<Change>,
) -> Result<Response, Failure> {
    let user =
        people::user_named(&mut *pool.acquire().await?, &name).await?.ok_or_else(|| users::nobody(&name))?;
    let email = Some(sent.email.trim().to_ascii_lowercase()).filter(|email| !email.is_empty());
    let change = shapes::UserChange {
        // Only another one: setting the same anew would forget what the provider calls them.
        sign_in_email: (email != user.email).then_some(email),
        // Only what was changed: somebody else may have changed it since.
        admin: match sent.role.as_str() {
            role if role == sent.was => None,
            "admin" => Some(true),
            "member" => Some(false),
            _ => None,
        },
    };
    let principal = Extension(visitor.principal);
    let _changed = users::change(State(pool), principal, Path(user.name.clone()), Body(change)).await?;
    Ok(Redirect::to(&format!("/ui/people/{}?done=changed", user.name)).into_response())
}

/// A fresh link for somebody who has lost their password, or never had one.
pub(super) async fn add_link(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let mut tx = ui.web.platform.pool.begin().await?;
    let user = people::user_named(&mut tx, &name).await?.ok_or_else(|| users::nobody(&name))?;
    let link = link_of(&ui, &mut tx, &user).await?;
    audit::note(&mut tx, &visitor.principal, None, "users:link", json!({ "user": user.name })).await?;
    tx.commit().await?;
    one(
        &ui,
        &visitor,
        &user.name,
        (Some("The link is made: copy it now, it is not shown again."), Some(link)),
    )
    .await
}

#[derive(Template)]
#[template(path = "remove_person.html")]
struct Question {
    frame: Frame,
    name: String,
}

pub(super) async fn ask_to_remove(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let user =
        people::user_named(&mut *pool.acquire().await?, &name).await?.ok_or_else(|| users::nobody(&name))?;
    let frame = Frame::new(&visitor, Here::People, format!("Remove {}?", user.name));
    show(&Question { frame, name: user.name })
}

pub(super) async fn remove(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let _removed = users::remove(State(pool), Extension(visitor.principal), Path(name)).await?;
    Ok(Redirect::to("/ui/people?done=removed").into_response())
}
