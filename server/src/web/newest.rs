//! Heroku's paging of lists that are the newest first: `Range: id ]<id>..; max=50, order=desc`.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use super::error::ApiError;
use super::range;

/// The page that a request asks for, of rows whose ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newest {
    /// Only rows before this one.
    pub(super) before: Option<Uuid>,
    limit: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for Newest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::parse(range::asked(parts)).ok_or_else(|| {
            ApiError::InvalidRange(
                "the Range header is not understood: this list is the newest first, so write it like \
                 `id ]<id>..; max=50, order=desc`, with the id of the last row that you have"
                    .to_owned(),
            )
        })
    }
}

impl Newest {
    /// One row more than the page has, to see whether there is a next page.
    pub(super) fn limit_and_one(&self) -> i64 {
        self.limit + 1
    }

    fn parse(text: &str) -> Option<Self> {
        let (bounds, options) = text.split_once(';').unwrap_or((text, ""));
        let (field, bounds) = bounds.trim().split_once(' ').unwrap_or((bounds.trim(), ".."));
        let mut limit = range::USUAL;
        for option in options.split([',', ';']).map(str::trim).filter(|option| !option.is_empty()) {
            match option.split_once('=')? {
                ("max", number) => limit = range::limit(number)?,
                ("order", "desc") => {}
                _ => return None,
            }
        }
        let (first, last) = bounds.trim().split_once("..")?;
        let before = match first.trim() {
            "" => None,
            first => Some(first.strip_prefix(']')?.parse().ok()?),
        };
        let known = field == "id" || (matches!(field, "" | "created_at") && before.is_none());
        (known && last.trim().is_empty()).then_some(Self { before, limit })
    }

    /// The answer: 206 with `Next-Range` while there is more, else 200. `rows` are [`Self::limit_and_one`] at most.
    pub(super) fn answer<T: Serialize>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> Response {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let ends = rows.first().map(&id).zip(rows.last().map(&id));
        let status = if more { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut response = (status, Json(rows)).into_response();
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        };
        set("accept-ranges", "id".to_owned());
        if let Some((first, last)) = ends {
            set("content-range", format!("id {first}..{last}"));
            if more {
                set("next-range", format!("id ]{last}..; max={limit}, order=desc"));
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_newest_rows_or_those_before_one() {
        let id = Uuid::now_v7();
        let page = |before, limit| Some(Newest { before, limit });
        assert_eq!(Newest::parse(""), page(None, 200));
        assert_eq!(Newest::parse("id ..; max=15, order=desc"), page(None, 15));
        assert_eq!(Newest::parse("created_at ..; order=desc"), page(None, 200));
        assert_eq!(Newest::parse(&format!("id ]{id}..; max=2,order=desc")), page(Some(id), 2));
        let from = format!("id {id}..");
        let until = format!("id ..{id}");
        for bad in [
            "id ..; order=asc",
            "id ]x..",
            "version ..",
            "id ..; max=0",
            "id ..; max=1001",
            "?",
            &from,
            &until,
        ] {
            let parsed = Newest::parse(bad);
            assert_eq!(parsed, None, "{bad}");
        }
    }

    #[test]
    fn the_next_range_starts_behind_the_last_row() {
        let page = Newest { before: None, limit: 2 };
        let ids = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
        let first = page.answer(ids.to_vec(), |id| *id);
        assert_eq!(first.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(first.headers()["next-range"], format!("id ]{}..; max=2, order=desc", ids[1]));
        let last = page.answer(ids[..2].to_vec(), |id| *id);
        assert_eq!(last.status(), StatusCode::OK);
        assert!(!last.headers().contains_key("next-range"));
    }
}
