//! What all pages share: the frame around them, the headers that defend them, and the page that says no.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::admission::Visitor;
use super::assets;
use crate::actions::ActionError;
use crate::web::error::{ApiError, Fault};

/// Scripts, styles and connections of our own only; no frame around us, no form to elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Where in the page somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Apps,
    People,
    Activity,
    System,
    Account,
    Elsewhere,
}

/// What stands around every page's own part.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) here: Here,
    /// Who is signed in.
    pub(super) user: Option<String>,
    pub(super) admin: bool,
    /// What forms carry.
    pub(super) csrf: String,
    /// What has just been done.
    pub(super) notice: Option<String>,
    /// Tells browsers when the files beside the page are new.
    pub(super) build: &'static str,
}

impl Frame {
    pub(super) fn new(visitor: &Visitor, here: Here, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            here,
            user: Some(visitor.principal.name.clone()),
            admin: visitor.principal.admin,
            csrf: visitor.signature.clone(),
            notice: None,
            build: assets::stamp(),
        }
    }

    /// For who is not signed in; `csrf` is what a form of the page carries.
    pub(super) fn of_nobody(title: &str, csrf: String) -> Self {
        Self {
            title: title.to_owned(),
            here: Here::Elsewhere,
            user: None,
            admin: false,
            csrf,
            notice: None,
            build: assets::stamp(),
        }
    }

    pub(super) fn noting(self, notice: Option<impl Into<String>>) -> Self {
        Self { notice: notice.map(Into::into), ..self }
    }
}

/// A page as an answer.
pub(super) fn show(page: &impl Template) -> Result<Response, Failure> {
    let text = page.render().map_err(|error| ApiError::Internal(error.into()))?;
    Ok(Html(text).into_response())
}

/// Why a page is not shown, as a page.
#[derive(Debug)]
pub(super) struct Failure(pub(super) ApiError);

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self(error.into())
    }
}

impl From<ActionError> for Failure {
    fn from(error: ActionError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = trouble(self.0.status(), &self.0.to_string());
        if let ApiError::NotAdmitted(refused) = &self.0 {
            refused.decorate(response.headers_mut());
            // A browser would ask for a name and a password of its own.
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
        }
        if let ApiError::Internal(fault) = self.0 {
            response.extensions_mut().insert(Fault(fault.into()));
        }
        response
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct Trouble<'a> {
    frame: Frame,
    message: &'a str,
}

/// The page that says what went wrong.
pub(in crate::web) fn trouble(status: StatusCode, message: &str) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::UNPROCESSABLE_ENTITY => "This cannot be taken",
        StatusCode::CONFLICT => "Not as things stand",
        _ => "This did not work",
    };
    let page = Trouble { frame: Frame::of_nobody(title, String::new()), message };
    let text = page.render().unwrap_or_else(|_| title.to_owned());
    let mut response = (status, Html(text)).into_response();
    shield(&mut response);
    response
}

pub(super) async fn not_found() -> Response {
    trouble(StatusCode::NOT_FOUND, "there is no page at this address")
}

pub(super) async fn no_such_method() -> Response {
    trouble(StatusCode::METHOD_NOT_ALLOWED, "this page takes no request of this kind")
}

pub(super) fn panicked() -> Response {
    Failure(ApiError::Internal(anyhow::anyhow!("a handler panicked"))).into_response()
}

/// Middleware: what every answer of the page carries.
pub(super) async fn defend(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    shield(&mut response);
    response
}

fn shield(response: &mut Response) {
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With less, browsers would not say where a form comes from.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
