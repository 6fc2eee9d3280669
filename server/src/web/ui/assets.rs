//! The few files beside the pages, part of the program.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::page::Failure;
use crate::web::error::ApiError;

const STYLE: &str = include_str!("../../../static/page.css");
const SCRIPT: &str = include_str!("../../../static/page.js");
const ICON: &str = include_str!("../../../static/icon.svg");

/// Part of the files' addresses: another build has other addresses.
pub(super) fn stamp() -> &'static str {
    static STAMP: LazyLock<String> = LazyLock::new(|| {
        let hash = Sha256::digest([STYLE, SCRIPT, ICON].concat());
        hex::encode(hash)[..12].to_owned()
    });
    &STAMP
}

pub(super) async fn file(Path(file): Path<String>) -> Result<Response, Failure> {
    let (kind, text) = match file.as_str() {
        "page.css" => ("text/css; charset=utf-8", STYLE),
        "page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(ApiError::NotFound("there is no such file".to_owned()).into()),
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=86400")];
    Ok((headers, text).into_response())
}
