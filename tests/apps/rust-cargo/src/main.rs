use axum::{Router, routing::get};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let app = Router::new().route("/", get(|| async { "Hello from rust-cargo\n" }));
    let listener = tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await?;
    let mut ended = signal(SignalKind::terminate())?;
    axum::serve(listener, app).with_graceful_shutdown(async move { ended.recv().await.unwrap_or_default() }).await
}
