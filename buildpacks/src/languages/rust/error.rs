//! What a pusher of a Rust app is told.

/// Why no plan could be made for a Rust app.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RustError {
    #[error(
        "there is no program to run: {looked_at} has no src/main.rs, nothing in src/bin/ and no [[bin]] that is built by default.\n\
         Write one in src/main.rs; a library alone can be built, but nothing starts."
    )]
    NoProgram { looked_at: String },
    #[error(
        "Cargo.toml has neither a [package] nor a [workspace] with members that are in the commit ({members}).\n\
         Commit the members' folders, or correct the list: cargo metadata --no-deps says what Cargo sees."
    )]
    NoPackage { members: String },
}
