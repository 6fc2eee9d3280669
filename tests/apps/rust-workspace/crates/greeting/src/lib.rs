//! What both programs say.

/// Names the app.
pub fn text(app: &str) -> String {
    format!("Hello from {app}\n")
}

/// A count, as text.
pub fn count(number: u64) -> String {
    itoa::Buffer::new().format(number).to_owned()
}
