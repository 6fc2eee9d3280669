//! Heroku's paging: `Range: version ..; max=15, order=desc`, answered with `Content-Range` and `Next-Range`.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::ApiError;
use crate::db::history::{Order, Page};

/// Rows of a page when the request names no number.
pub(super) const USUAL: i64 = 200;
/// Rows of a page at most.
const MOST: i64 = 1000;

/// What a request asks for; nothing if it has no such header, and nothing that is understood if it is no text.
pub(super) fn asked(parts: &Parts) -> &str {
    parts.headers.get(header::RANGE).map_or("", |value| value.to_str().unwrap_or("?"))
}

/// The number of `max=`, if it is one that a page may have.
pub(super) fn limit(number: &str) -> Option<i64> {
    number.parse().ok().filter(|number| (1..=MOST).contains(number))
}

/// The range that a request asks for, in numbers (versions of releases, numbers of builds).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    page: Page,
}

impl<S: Send + Sync> FromRequestParts<S> for Range {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::parse(asked(parts)).ok_or_else(|| {
            ApiError::InvalidRange(
                "the Range header is not understood: write it like `version ..; max=15, order=desc`"
                    .to_owned(),
            )
        })
    }
}

impl Range {
    /// One row more than the page has, to see whether there is a next page.
    pub(super) fn page_and_one(&self) -> Page {
        Page { limit: self.page.limit + 1, ..self.page }
    }

    fn parse(text: &str) -> Option<Self> {
        let (bounds, options) = text.split_once(';').unwrap_or((text, ""));
        let (field, bounds) = bounds.trim().split_once(' ').unwrap_or((bounds.trim(), ".."));
        let (first, last) = bounds.trim().split_once("..")?;
        let mut page = Page { least: 0, most: i64::MAX, order: Order::Ascending, limit: USUAL };
        for option in options.split([',', ';']).map(str::trim).filter(|option| !option.is_empty()) {
            match option.split_once('=')? {
                ("max", number) => page.limit = limit(number)?,
                ("order", "asc") => page.order = Order::Ascending,
                ("order", "desc") => page.order = Order::Descending,
                _ => return None,
            }
        }
        start_at(&mut page, first)?;
        end_at(&mut page, last)?;
        let bounded = page.least > 0 || page.most < i64::MAX;
        match field {
            // Fields that sort as the numbers do, but cannot be compared with them.
            "id" | "created_at" | "started_at" if !bounded => {}
            "" | "version" | "number" => {}
            _ => return None,
        }
        Some(Self { page })
    }

    /// The answer: 206 with `Next-Range` while there is more, else 200. `rows` come from [`Self::page_and_one`];
    /// `field` is what they are numbered by.
    pub(super) fn answer<T: Serialize>(
        &self,
        field: &str,
        mut rows: Vec<T>,
        number: impl Fn(&T) -> i64,
    ) -> Response {
        let limit = usize::try_from(self.page.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let ends = rows.first().map(&number).zip(rows.last().map(&number));
        let status = if more { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut response = (status, Json(rows)).into_response();
        set(&mut response, "accept-ranges", format!("id,{field}"));
        if let Some((first, last)) = ends {
            set(&mut response, "content-range", format!("{field} {first}..{last}"));
            if more {
                set(&mut response, "next-range", self.after(field, last));
            }
        }
        response
    }

    fn after(&self, field: &str, last: i64) -> String {
        let Page { least, most, order, limit } = self.page;
        let (order, end) = match order {
            Order::Ascending if most < i64::MAX => ("asc", most.to_string()),
            Order::Ascending => ("asc", String::new()),
            Order::Descending if least > 0 => ("desc", least.to_string()),
            Order::Descending => ("desc", String::new()),
        };
        format!("{field} ]{last}..{end}; max={limit}, order={order}")
    }
}

/// `first` is where the list starts, in its order; `]` in front leaves that one out.
fn start_at(page: &mut Page, first: &str) -> Option<()> {
    let (first, step) = match first.trim().strip_prefix(']') {
        Some(first) => (first, 1),
        None => (first.trim(), 0),
    };
    if first.is_empty() {
        return (step == 0).then_some(());
    }
    let first = number(first)?;
    match page.order {
        Order::Ascending => page.least = first + step,
        Order::Descending => page.most = first - step,
    }
    Some(())
}

fn end_at(page: &mut Page, last: &str) -> Option<()> {
    let last = last.trim();
    if last.is_empty() {
        return Some(());
    }
    match page.order {
        Order::Ascending => page.most = number(last)?,
        Order::Descending => page.least = number(last)?,
    }
    Some(())
}

/// Versions and numbers stay far below this; the margin keeps sums within bounds.
fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number| (0..i64::MAX / 2).contains(number))
}

fn set(response: &mut Response, name: &'static str, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(i64, i64, Order, i64)> {
        Range::parse(text).map(|Range { page }| (page.least, page.most, page.order, page.limit))
    }

    #[test]
    fn herokus_ranges_are_read() {
        use Order::{Ascending, Descending};
        assert_eq!(parse(""), Some((0, i64::MAX, Ascending, 200)));
        assert_eq!(parse("version ..; max=15, order=desc"), Some((0, i64::MAX, Descending, 15)));
        assert_eq!(parse("version ]23..; max=15, order=desc"), Some((0, 22, Descending, 15)));
        assert_eq!(parse("version 5..9"), Some((5, 9, Ascending, 200)));
        assert_eq!(parse("version ]5..; max=2,order=asc"), Some((6, i64::MAX, Ascending, 2)));
        assert_eq!(parse("version 9..5; order=desc"), Some((5, 9, Descending, 200)));
        assert_eq!(parse("id ..; max=1000"), Some((0, i64::MAX, Ascending, 1000)));
        assert_eq!(parse("started_at ..; order=desc;max=10"), Some((0, i64::MAX, Descending, 10)));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "version",
            "bytes=0-5",
            "version ..; max=0",
            "version ..; max=1001",
            "version ..; order=up",
            "colour ..",
            "id abc..",
            "version ]..",
            "version -1..",
            "version 9223372036854775807..",
            "?",
        ] {
            let parsed = parse(bad);
            assert!(parsed.is_none() || bad == "version", "{bad:?} was read as {parsed:?}");
        }
    }

    #[test]
    fn the_next_range_starts_behind_the_last_row() {
        let range = Range::parse("version ..; max=2, order=desc").expect("parses");
        let response = range.answer("version", vec![9_i64, 8, 7], |n| *n);
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(response.headers()["next-range"], "version ]8..; max=2, order=desc");
        assert_eq!(response.headers()["content-range"], "version 9..8");
        let last = range.answer("version", vec![1_i64], |n| *n);
        assert_eq!(last.status(), StatusCode::OK);
        assert!(!last.headers().contains_key("next-range"));
    }
}
