//! What a pusher of a Java app is told.

/// Why no plan could be made for a Java app.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JavaError {
    #[error(
        "`{script}` is there, but not `{file}`, without which it cannot fetch {tool}; a .gitignore with *.jar or .mvn keeps it back.\n\
         Commit it: git add --force {file}; or make it anew: {command}"
    )]
    WrapperIncomplete { script: &'static str, file: &'static str, tool: &'static str, command: &'static str },
    #[error(
        "{list} names the modules {modules}, of which none is in the commit.\n\
         Commit their folders, or correct the list."
    )]
    NoModules { list: &'static str, modules: String },
}
