//! Signing in and out: by password, by a token in its place, or by a link that the server's own machine has made and
//! that works once. By a provider: [`super::openid`].

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tracing::info;

use super::Ui;
use super::admission::{Visitor, Way};
use super::cookie::{Jar, Line, signature};
use super::page::{Failure, Frame, Here, show};
use super::text::query;
use crate::db::sessions::{self, Place};
use crate::db::{audit, credentials};
use crate::domain::access::Principal;
use crate::domain::token;
use crate::doors::neighbourhood;
use crate::passwords;
use crate::web::auth::NotAdmitted;
use crate::web::error::ApiError;
use crate::web::throttle::Throttle;

/// Wrong passwords from one address in a window.
const MOST_BY_ADDRESS: u32 = 20;
/// Wrong passwords for one person from one address in a window.
const MOST_BY_PAIR: u32 = 5;
/// Wrong passwords for one person from anywhere in a window: many addresses may guess together. The sign-in link works
/// all the same, so that nobody can lock the last admin out.
const MOST_BY_PERSON: u32 = 50;
/// Sign-ins by the provider that one address may begin in a window.
const MOST_BEGUN: u32 = 120;
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// What is kept of a browser's description, in characters.
const LONGEST_BROWSER: usize = 200;

/// Counts who guesses.
pub(super) struct SignIns {
    addresses: Throttle<IpAddr>,
    pairs: Throttle<(String, IpAddr)>,
    people: Throttle<String>,
    /// Sign-ins by the provider that have begun: each is remembered for a while.
    pub(super) begun: Throttle<IpAddr>,
}

impl Default for SignIns {
    fn default() -> Self {
        Self {
            addresses: Throttle::new(MOST_BY_ADDRESS, WINDOW),
            pairs: Throttle::new(MOST_BY_PAIR, WINDOW),
            people: Throttle::new(MOST_BY_PERSON, WINDOW),
            begun: Throttle::new(MOST_BEGUN, WINDOW),
        }
    }
}

impl SignIns {
    pub(super) fn wait(&self, name: &str, address: IpAddr) -> Option<Duration> {
        let waits = [
            self.addresses.wait(&address),
            self.pairs.wait(&(name.to_owned(), address)),
            self.people.wait(&name.to_owned()),
        ];
        waits.into_iter().flatten().max()
    }

    /// The same for who comes back from the provider, where no person is named yet.
    pub(super) fn wait_at(&self, address: IpAddr) -> Option<Duration> {
        self.addresses.wait(&address)
    }

    pub(super) fn failed_at(&self, address: IpAddr) {
        self.addresses.failed(address);
    }

    pub(super) fn failed(&self, name: &str, address: IpAddr) {
        self.addresses.failed(address);
        self.pairs.failed((name.to_owned(), address));
        self.people.failed(name.to_owned());
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    next: String,
    #[serde(default)]
    once: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    frame: Frame,
    next: String,
    /// The secret of a link.
    once: String,
    name: String,
    problem: Option<String>,
    /// Whether a name and a password are taken.
    passwords: bool,
    /// The provider, and the link that begins there.
    provider: Option<(String, String)>,
}

impl Page {
    fn new(ui: &Ui, frame: Frame, next: &str) -> Self {
        let settings = &ui.web.platform.settings.openid;
        let begin = format!("/ui/sign-in/openid{}", query(&[("next", next)]));
        Self {
            frame,
            next: next.to_owned(),
            once: String::new(),
            name: String::new(),
            problem: None,
            passwords: settings.passwords,
            provider: ui.openid.is_some().then(|| (settings.label.clone(), begin)),
        }
    }
}

pub(super) async fn form(
    State(ui): State<Ui>,
    Extension(way): Extension<Way>,
    visitor: Option<Extension<Visitor>>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let next = local(&wish.next);
    if let Some(Extension(visitor)) = visitor {
        if wish.once.is_empty() {
            return Ok(Redirect::to(next).into_response());
        }
        // Somebody else's link, perhaps: it takes the place of this session.
        let frame = Frame::new(&visitor, Here::Elsewhere, "Sign in");
        return show(&Page { once: wish.once, ..Page::new(&ui, frame, next) });
    }
    fresh(way, &headers, |frame| Page { once: wish.once, ..Page::new(&ui, frame, next) })
}

/// The page for a browser that may come here the first time: it gets what its form is signed with.
fn fresh(way: Way, headers: &HeaderMap, page: impl FnOnce(Frame) -> Page) -> Result<Response, Failure> {
    let known = Jar::Form.read(way.line, headers).filter(|cookie| token::hash(cookie).is_some());
    let cookie = known.unwrap_or_else(|| token::generate().expose_secret().to_owned());
    let mut response = show(&page(Frame::of_nobody("Sign in", signature(&cookie))))?;
    if let Some(set) = Jar::Form.set(way.line, &cookie) {
        response.headers_mut().append(header::SET_COOKIE, set);
    }
    Ok(response)
}

/// The page with why somebody was not let in by the provider.
pub(super) fn refused(
    ui: &Ui,
    (way, headers): (Way, &HeaderMap),
    visitor: Option<&Visitor>,
    (status, problem): (StatusCode, String),
) -> Result<Response, Failure> {
    let page = |frame| Page { problem: Some(problem), ..Page::new(ui, frame, "/ui/apps") };
    let mut response = match visitor {
        // Their forms are signed with the session that goes on.
        Some(visitor) => show(&page(Frame::new(visitor, Here::Elsewhere, "Sign in")))?,
        None => fresh(way, headers, page)?,
    };
    *response.status_mut() = status;
    Ok(response)
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    once: String,
    #[serde(default)]
    next: String,
    csrf: String,
}

pub(super) async fn sign_in(
    State(ui): State<Ui>,
    Extension(way): Extension<Way>,
    visitor: Option<Extension<Visitor>>,
    headers: HeaderMap,
    Form(sent): Form<Credentials>,
) -> Result<Response, Failure> {
    let pool = &ui.web.platform.pool;
    let address = neighbourhood(way.address);
    let by_link = !sent.once.is_empty();
    let name = sent.name.trim().to_lowercase();
    // A link has 256 random bits: nobody guesses one, and nobody is kept from theirs.
    if let Some(wait) = ui.sign_ins.wait(&name, address).filter(|_| !by_link) {
        return Err(ApiError::from(NotAdmitted::TooMany(wait)).into());
    }
    if !by_link && !ui.web.platform.settings.openid.passwords {
        let why = "Passwords are not taken here: sign in by the provider.";
        return Err(ApiError::Refused(why.to_owned()).into());
    }
    let found = match by_link {
        true => by_link_of(pool, &sent.once).await?,
        false => by_password(pool, &name, sent.password.into()).await?,
    };
    let Some(principal) = found else {
        info!(address = %way.address, "Refused a sign-in");
        if !by_link {
            ui.sign_ins.failed(&name, address);
        }
        let problem = match by_link {
            true => {
                "This link does not work any more. `slipway admin <name> --link` on the server makes a new one."
            }
            false => "The name or the password is not right.",
        };
        let frame = Frame::of_nobody("Sign in", sent.csrf);
        let page = Page::new(&ui, frame, local(&sent.next));
        let mut response = show(&Page { name, problem: Some(problem.to_owned()), ..page })?;
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(response);
    };
    let before = visitor.map(|Extension(visitor)| visitor);
    let mut tx = pool.begin().await?;
    let entered = enter(&mut tx, &principal, way, (&headers, before)).await?;
    tx.commit().await?;
    // Who came by a link has no password, or does not know it.
    let next = if by_link { "/ui/account?done=link" } else { &sent.next };
    Ok(entered.leading_to(next))
}

/// Somebody whose session has begun.
pub(super) struct Entered {
    cookie: SecretString,
    line: Line,
}

impl Entered {
    /// Gives the session to the browser, and leads it to a page of ours.
    pub(super) fn leading_to(&self, next: &str) -> Response {
        let mut response = Redirect::to(local(next)).into_response();
        let set = Jar::Session.set(self.line, self.cookie.expose_secret());
        for cookie in [set, Jar::Form.clear(self.line)].into_iter().flatten() {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

pub(super) async fn sign_out(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(way): Extension<Way>,
) -> Result<Response, Failure> {
    sessions::end(&mut *pool.acquire().await?, visitor.principal.user, visitor.session).await?;
    let mut response = Redirect::to("/ui/sign-in").into_response();
    if let Some(clear) = Jar::Session.clear(way.line) {
        response.headers_mut().append(header::SET_COOKIE, clear);
    }
    Ok(response)
}

async fn by_password(
    pool: &PgPool,
    name: &str,
    password: SecretString,
) -> Result<Option<Principal>, ApiError> {
    // A token may do what its owner may: it is how they come in who have no password yet.
    if let Some(hash) = token::hash(password.expose_secret()) {
        let found = credentials::principal_by_token(&mut *pool.acquire().await?, &hash).await?;
        return Ok(found.filter(|principal| principal.name == name));
    }
    let claimed = sessions::claimed(&mut *pool.acquire().await?, name).await?;
    let (principal, hash) = claimed.map(|claimed| (claimed.principal, claimed.password)).unzip();
    // No connection is held meanwhile: this takes its time, for names that nobody has too.
    let right = passwords::is_right(password, hash.flatten()).await;
    Ok(principal.filter(|_| right))
}

async fn by_link_of(pool: &PgPool, once: &str) -> Result<Option<Principal>, ApiError> {
    let Some(hash) = token::hash(once) else { return Ok(None) };
    Ok(sessions::take_link(&mut *pool.acquire().await?, &hash).await?)
}

/// Begins a session, in place of the one that the browser had.
pub(super) async fn enter(
    conn: &mut PgConnection,
    principal: &Principal,
    way: Way,
    (headers, before): (&HeaderMap, Option<Visitor>),
) -> Result<Entered, ApiError> {
    let cookie = token::generate();
    let hash = token::hash(cookie.expose_secret()).expect("invariant: a generated token has its checksum");
    let browser = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let browser: String = browser.chars().filter(|c| !c.is_control()).take(LONGEST_BROWSER).collect();
    let address = way.address.to_string();
    if let Some(before) = before {
        sessions::end(conn, before.principal.user, before.session).await?;
    }
    let place = Place { address: &address, browser: &browser };
    sessions::begin(conn, principal.user, &hash, &place).await?;
    audit::note(conn, principal, None, "sessions:create", json!({ "address": address })).await?;
    Ok(Entered { cookie, line: way.line })
}

/// Where to go afterwards: a page of ours.
pub(super) fn local(next: &str) -> &str {
    let ours = next.starts_with("/ui/")
        && !next.starts_with("/ui/sign-")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if ours { next } else { "/ui/apps" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_nobody_is_sent_elsewhere() {
        for bad in
            ["", "//evil.example", "https://evil.example", "/ui", "/ui/\\evil", "/ui/a\r\nX: y", "/apps"]
        {
            assert_eq!(local(bad), "/ui/apps", "{bad:?}");
        }
        assert_eq!(local("/ui/apps/blog?text=a"), "/ui/apps/blog?text=a");
    }

    #[test]
    fn guesses_are_counted_by_person_and_by_address() {
        let (sign_ins, home) = (SignIns::default(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..MOST_BY_PAIR {
            assert_eq!(sign_ins.wait("ada", home), None);
            sign_ins.failed("ada", home);
        }
        assert!(sign_ins.wait("ada", home).is_some());
        assert_eq!(sign_ins.wait("ada", IpAddr::from([192, 0, 2, 2])), None);
        assert_eq!(sign_ins.wait("eve", home), None);
    }
}
