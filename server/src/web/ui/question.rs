//! The page that asks before something is done to an app.

use askama::Template;
use axum::response::Response;

use super::admission::Visitor;
use super::page::{Failure, Frame, Here, show};
use crate::db::apps::App;

/// A question, and what becomes of either answer.
pub(super) struct Question {
    pub(super) title: String,
    /// What will happen.
    pub(super) consequences: String,
    /// Where the form goes, and where who does not want it.
    pub(super) action: String,
    pub(super) back: String,
    pub(super) button: String,
}

#[derive(Template)]
#[template(path = "question.html")]
struct Page<'a> {
    frame: Frame,
    app: &'a str,
    question: &'a Question,
}

impl Question {
    pub(super) fn ask(self, visitor: &Visitor, app: &App) -> Result<Response, Failure> {
        let frame = Frame::new(visitor, Here::Apps, &*self.title);
        show(&Page { frame, app: app.name.as_str(), question: &self })
    }
}
