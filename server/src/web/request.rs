//! Every request gets an id, a span that carries it, and an answer that shows it.

use axum::Json;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, error, info_span};
use uuid::Uuid;

use super::api::shapes::Refusal;
use super::error::Fault;
use super::ui;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Middleware: names the request, logs a fault of ours once and shows the user the id to quote.
pub(super) async fn identify(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    let span =
        info_span!("request", request.id = %id, method = %request.method(), path = request.uri().path());
    async move {
        let response = next.run(request).await;
        let mut response = match response.extensions().get::<Fault>() {
            Some(Fault(fault)) => {
                error!("A request was not served: {fault:#}");
                with_id_to_quote(id, response)
            }
            None => response,
        };
        if let Ok(value) = HeaderValue::try_from(id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

fn with_id_to_quote(id: Uuid, response: Response) -> Response {
    let message = format!(
        "something went wrong on the platform's side, and its log says what: tell its admin this id: {id}"
    );
    let content = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content.is_some_and(|content| content.starts_with("text/html")) {
        return ui::trouble(response.status(), &message);
    }
    let refusal = Refusal { id: "internal_server_error".to_owned(), message, url: None };
    (response.status(), Json(refusal)).into_response()
}
