//! Why there is no plan. The texts are for the pusher: what, why, and what to do.

use crate::source::Unreadable;

/// Why no plan could be made; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    #[error(
        "the Dockerfile that this app is set to build with, `{path}`, is not in the pushed commit.\n\
         Commit it there, or choose another path: slipway apps:set dockerfile=<path>"
    )]
    ChosenIsMissing { path: String },
    #[error(
        "there is no Dockerfile, but there is `{found}`: names are case-sensitive and stand alone.\n\
         Rename it: git mv {found} Dockerfile"
    )]
    Misspelt { found: String },
    #[error(
        "there is no Dockerfile, but there is `{found}` in a sub-folder.\n\
         If that is the one: slipway apps:set dockerfile={found}"
    )]
    InSubFolder { found: String },
    #[error(
        "`{found}` looks like a misspelt `{meant}`, without which this is no {language} app.\n\
         Rename it: git mv {found} {meant}"
    )]
    NearlyLanguage { found: String, meant: &'static str, language: &'static str },
    #[error(
        "there is no app in the root of the commit, but `{found}` is that of a {language} app in a sub-folder.\n\
         If that is the one: slipway apps:set folder={folder}"
    )]
    LanguageInSubFolder { found: String, folder: String, language: &'static str },
    #[error(
        "`{found}` is a file of {language}, and there is no buildpack for that.\n\
         Bring a Dockerfile, or build with a builder image that knows it: slipway apps:set builder=<image>"
    )]
    OtherLanguage { found: String, language: &'static str },
    #[error(
        "{file} asks for the buildpack `{name}`, and there is none of that name.\n\
         There are: {known}. For others, build with their builder image: slipway apps:set builder=<image>"
    )]
    UnknownBuildpack { name: String, file: String, known: String },
    #[error(
        "{file} asks for the buildpack `{name}`, but the commit has none of its files: {looked_for}.\n\
         Commit one, or take the wish away."
    )]
    NotOfBuildpack { name: &'static str, file: String, looked_for: &'static str },
    #[error(
        "`{name}` is asked for as a Debian package, and no package has such a name: correct it in Aptfile, app.json or project.toml"
    )]
    NoPackageName { name: String },
    #[error(
        "`{name}` is asked for as an environment variable of the build, and none can have that name: use letters, digits and _"
    )]
    NoVariable { name: String },
    #[error(
        "the commit sets the build's environment variable `{name}` to a text of several lines or with control characters, \
         which a Dockerfile cannot hold.\n\
         Take it out of project.toml or app.json and make it a config var, which the build sees too: slipway config:set {name}=<value>"
    )]
    UnwritableValue { name: String },
    #[error(
        "the commit sets PATH for the build, and by the PATH of the images the build finds its own programs.\n\
         Take it out of project.toml or app.json, and call your programs by their paths."
    )]
    PathOfBuild,
    #[error(
        "the Procfile has no `web` line, and a {language} app has no start command of its own that we know.\n{next}"
    )]
    NoStart { language: &'static str, next: String },
    #[error(
        "{from} asks for {runtime} {asked}, and there is no base image of it here: there are {offered}.\nAsk for one of those, or bring a Dockerfile."
    )]
    Unsupported { runtime: &'static str, asked: String, from: String, offered: String },
    #[error(
        "{from} asks for {runtime} `{asked}`, which is no version that we understand.\nWrite a version such as {example} there."
    )]
    NoVersion { runtime: &'static str, asked: String, from: String, example: &'static str },
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A language's own: its text follows the same pattern.
    #[error(transparent)]
    Language(Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "nothing in the root of the pushed commit says how to build it. Looked for, in this order:\n{looked_for}\nAdd one of these, commit it and push again."
    )]
    Nothing { looked_for: String },
}

impl DetectError {
    pub(crate) fn language(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Language(Box::new(error))
    }
}
