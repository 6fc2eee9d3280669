//! What a pusher of a Go app is told.

/// Why no plan could be made for a Go app.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GoError {
    #[error(
        "there is Go code in the root (`{found}`) but no go.mod, so nothing says which modules it needs.\n\
         Make one and commit it: go mod init example.com/{folder} && go mod tidy && git add go.mod go.sum"
    )]
    NoModule { found: String, folder: &'static str },
    #[error(
        "`{found}` is the file of a package manager that Go has left behind; modules took its place.\n\
         Make a go.mod and commit it: go mod init example.com/app && go mod tidy && git add go.mod go.sum"
    )]
    OldManager { found: &'static str },
    #[error(
        "`{manifest}` requires modules, but there is no `{sum}` beside it, and without their checksums Go builds nothing.\n\
         Make it and commit it: {command}"
    )]
    NoSum { manifest: String, sum: String, command: String },
    #[error(
        "go.work uses the folder `{folder}`, and there is no go.mod in it.\n\
         Commit it, or take the line out: go work edit -dropuse=./{folder}"
    )]
    NoModuleInFolder { folder: String },
    #[error(
        "there is no program to run: no folder has a `package main` with a `func main`{where_}.\n\
         Write one in main.go of the root or of cmd/<name>; a library alone can be built, but nothing starts."
    )]
    NoMain { where_: String },
}
