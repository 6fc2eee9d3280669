//! The Dockerfile of a recipe.
//!
//! Invariant: what is written works on Docker Engine 20.10: no `# syntax=` line, no heredoc, no `COPY --link`.

use std::fmt::Write as _;

use super::{Bind, Recipe, Run, Stage, Step, environment, keystore};

/// Who the processes run as. A number, so that Kubernetes can tell that it is not root.
const USER: &str = "10001:10001";
/// Where the secrets are mounted.
const CONFIG: &str = "/run/secrets/config";
pub(super) const CA: &str = "/run/secrets/ca";
/// Variables by which tools that do not go by the system's certificates are told of a file with all that they are to trust.
/// Not Yarn's: Node.js reads its own for it, and Yarn 3 stops at a setting that it does not know.
pub const BUNDLE_VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "BUNDLE_SSL_CA_CERT",
];
/// Node.js adds the certificates of this file to its own.
pub const ADDED_VARIABLE: &str = "NODE_EXTRA_CA_CERTS";

/// What the written Dockerfile depends on beside the recipe.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// Goes before the names of cache mounts, to keep apps apart on one engine.
    pub cache_scope: &'a str,
    /// Steps that download trust the secret `ca` besides the usual certificates.
    pub extra_ca: bool,
}

impl Recipe {
    /// The Dockerfile.
    #[must_use]
    pub fn dockerfile(&self, with: Writing<'_>) -> String {
        let mut text = format!("# {} on Slipway: {}.\n", self.language, self.because);
        for (index, stage) in self.stages.iter().enumerate() {
            let is_last = index + 1 == self.stages.len();
            self.write_stage(&mut text, stage, is_last, with);
        }
        text
    }

    fn write_stage(&self, text: &mut String, stage: &Stage, is_last: bool, with: Writing<'_>) {
        let mut lines = vec![String::new()];
        let builds_on_a_stage = self.stages.iter().any(|other| other.name == stage.from);
        lines.push(if is_last && stage.name == "run" {
            format!("FROM {}", stage.from)
        } else {
            format!("FROM {} AS {}", stage.from, stage.name)
        });
        if !builds_on_a_stage && !self.packages.is_empty() {
            lines.push(run(&packages(&self.packages, with.extra_ca), with));
        }
        if !self.environment.is_empty() && self.takes_environment(stage) {
            lines.push(environment::literal(&self.environment));
        }
        let mut is_keyed = false;
        for (index, step) in stage.steps.iter().enumerate() {
            if let Step::Run(Run { sees_config: true, .. }) = step
                && !is_keyed
            {
                lines.push("# Another config var, another value: the steps below run again.".to_owned());
                lines.push("ARG CONFIG_VERSION".to_owned());
                is_keyed = true;
            }
            if is_last && index == 0 && *step == Step::Workdir("/app") {
                lines.extend(own_folder(&stage.steps));
            } else {
                lines.push(written(step, is_last, with));
            }
        }
        if is_last {
            lines.push(environment::with_references(&[pair("HOME", "/app"), pair("PORT", "8080")]));
            lines.extend(needs_root(&stage.steps).then(|| format!("USER {USER}")));
            lines.extend(self.command.as_deref().map(command));
        }
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
    }
}

impl Recipe {
    /// Whether a stage is told the build's environment: those that build on it have it then.
    fn takes_environment(&self, stage: &Stage) -> bool {
        let run = self.run();
        let base = self.stages.iter().find(|other| other.name == stage.from);
        !run.contains(&stage.name) && base.is_none_or(|base| run.contains(&base.name))
    }

    /// The last stage, and those that it is made of.
    fn run(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let mut from = self.stages.last().map(|last| last.name);
        for stage in self.stages.iter().rev() {
            if Some(stage.name) == from {
                names.push(stage.name);
                from = Some(&stage.from);
            }
        }
        names
    }
}

/// /app, made by the user that it is to belong to: the app may write in it.
fn own_folder(steps: &[Step]) -> Vec<String> {
    let mut lines = vec![format!("USER {USER}"), "WORKDIR /app".to_owned()];
    lines.extend(needs_root(steps).then(|| "USER root".to_owned()));
    lines
}

fn needs_root(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Run(_) | Step::Packages(_)))
}

fn written(step: &Step, is_last: bool, with: Writing<'_>) -> String {
    match step {
        Step::Comment(text) => format!("# {text}"),
        Step::Env(pairs) => environment::with_references(pairs),
        Step::Workdir(path) => format!("WORKDIR {path}"),
        Step::Copy { from, paths, to } => {
            let words = words(paths, to);
            let from = from.as_ref().map(|from| format!("--from={from} ")).unwrap_or_default();
            // Whoever the process is may write below /app, as on Heroku.
            let owner = if is_last && !to.starts_with("/usr") && !to.starts_with("/etc") {
                format!("--chown={USER} ")
            } else {
                String::new()
            };
            format!("COPY {from}{owner}{words}")
        }
        Step::Run(step) => run(step, with),
        Step::Packages(names) => run(&packages(names, with.extra_ca), with),
    }
}

/// In the form of a list if a path would be taken for several words.
fn words(paths: &[String], to: &str) -> String {
    let mut all: Vec<String> = paths.iter().map(|path| unmatched(path)).collect();
    all.push(unexpanded(to));
    if all.iter().any(|word| word.contains([' ', '\t'])) {
        serde_json::json!(all).to_string()
    } else {
        all.join(" ")
    }
}

/// A path that COPY takes to the letter, and for no pattern.
fn unmatched(path: &str) -> String {
    let as_class = |c: char| if matches!(c, '[' | '*' | '?') { format!("[{c}]") } else { c.to_string() };
    unexpanded(&path.chars().map(as_class).collect::<String>())
}

/// A word that no variable is filled into, and no quote is taken from.
fn unexpanded(word: &str) -> String {
    let is_special = |c: char| matches!(c, '$' | '"' | '\'' | '\\');
    word.chars().flat_map(|c| is_special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn run(step: &Run, with: Writing<'_>) -> String {
    let bound = |bind: &Bind| {
        format!("--mount=type=bind,from={},source={path},target={path},rw", bind.from, path = bind.path)
    };
    // The outer ones first: a cache may lie in a folder of another stage.
    let mut mounts: Vec<String> = step.binds.iter().map(bound).collect();
    for cache in &step.caches {
        let sharing = if cache.exclusive { ",sharing=locked" } else { "" };
        let (scope, name, path) = (with.cache_scope, cache.name, &cache.path);
        mounts.push(format!("--mount=type=cache,id={scope}-{name},target={path}{sharing}"));
    }
    let mut before = Vec::new();
    if step.sees_config {
        mounts.push("--mount=type=secret,id=config".to_owned());
        before.push(format!("if [ -f {CONFIG} ]; then . {CONFIG}; fi"));
    }
    if step.downloads && with.extra_ca {
        mounts.push("--mount=type=secret,id=ca".to_owned());
        let variables = BUNDLE_VARIABLES.into_iter().chain([ADDED_VARIABLE]);
        let variables: Vec<String> = variables.map(|name| format!("{name}={CA}")).collect();
        before.push(format!("if [ -f {CA} ]; then export \\\n      {}; fi", variables.join(" \\\n      ")));
        if step.is_java {
            before.push(format!("if [ -f {CA} ]; then {}; fi", keystore::commands()));
        }
    }
    let commands = before.iter().chain(&step.commands).cloned().collect::<Vec<_>>().join(" && \\\n    ");
    let mounts: String = mounts.iter().map(|mount| format!("{mount} \\\n    ")).collect();
    format!("RUN {mounts}{commands}")
}

/// Debian packages; the lists of packages stay out of the image.
fn packages(names: &[String], extra_ca: bool) -> Run {
    // apt knows no variable for certificates.
    let ca = if extra_ca { format!(" -o Acquire::https::CAInfo={CA}") } else { String::new() };
    let install = format!("apt-get{ca} install --yes --no-install-recommends {}", names.join(" "));
    let run = Run::new([
        format!("apt-get{ca} update"),
        install,
        "apt-get clean".to_owned(),
        "rm -rf /var/lib/apt/lists/*".to_owned(),
    ]);
    Run { downloads: true, ..run }
}

/// Run by a shell, so that variables are filled in.
fn command(command: &str) -> String {
    format!("CMD {}", serde_json::json!(["/bin/sh", "-c", executed(command)]))
}

/// With `exec`, so that signals reach the program itself; after the variables that are set for the command alone.
pub(crate) fn executed(command: &str) -> String {
    if command.contains([';', '&', '|']) {
        return command.to_owned();
    }
    let is_setting = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let mut rest = command;
    while let Some((word, after)) = rest.split_once(' ') {
        if !is_setting(word) || word.contains(['"', '\'', '\\']) {
            break;
        }
        rest = after.trim_start();
    }
    format!("{}exec {rest}", &command[..command.len() - rest.len()])
}
