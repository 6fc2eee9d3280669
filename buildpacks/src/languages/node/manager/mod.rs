//! Package managers: which one an app uses, and how each is told to install, prune and run.

mod berry;
mod bun;
mod npm;
mod pnpm;
mod yarn;

use super::error::NodeError;
use super::package::Package;
use crate::error::DetectError;
use crate::recipe::Run;
use crate::source::Tree;

/// A package manager as an app uses it.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) kind: Kind,
    /// The version, or a range of it, that is installed; `None` for the one that the image has.
    pub(super) version: Option<String>,
    /// The lockfile that it reads, if it is committed.
    pub(crate) lockfile: Option<&'static str>,
    /// Berry's own program in the tree.
    program: Option<String>,
    /// It can take dev dependencies away; Yarn 2 and 3 can with a plugin only.
    pub(crate) prunes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Npm,
    Yarn,
    /// Yarn 2 and later.
    Berry {
        plug_and_play: bool,
    },
    Pnpm,
    Bun,
}

/// What is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Production,
}

/// Lockfiles; where several are committed and nothing else decides, the first found is taken.
const LOCKFILES: [(&str, &str); 6] = [
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    ("npm-shrinkwrap.json", "npm"),
    ("package-lock.json", "npm"),
];

impl Manager {
    pub(crate) fn of(tree: &Tree<'_>, package: &Package) -> Result<Self, DetectError> {
        let asked = package.text(&["packageManager"]);
        let (name, version) = match asked {
            Some(asked) => named(asked)?,
            None => (by_files(tree, package), None),
        };
        let lockfile =
            LOCKFILES.iter().find(|(file, of)| *of == name && tree.has(file)).map(|(file, _)| *file);
        // Older apps pin it where Heroku looks.
        let version = version.or_else(|| {
            package.text(&["engines", name]).filter(|text| name != "npm" && is_range(text)).map(str::to_owned)
        });
        let (kind, version, program) = match name {
            "pnpm" => {
                (Kind::Pnpm, version.map_or_else(|| pnpm::version(tree), |version| Ok(Some(version)))?, None)
            }
            "yarn" => yarn(tree, version)?,
            "bun" => (Kind::Bun, Some(version.unwrap_or_else(|| "1".to_owned())), None),
            _ => (Kind::Npm, version, None),
        };
        let prunes = !matches!(kind, Kind::Berry { .. })
            || berry::can_focus(tree, version.as_deref().or(program.as_deref()).unwrap_or_default());
        Ok(Self { kind, version, lockfile, program, prunes })
    }

    /// As people write it.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "npm",
            Kind::Yarn => "yarn",
            Kind::Berry { plug_and_play: false } => "yarn (berry)",
            Kind::Berry { plug_and_play: true } => "yarn (berry, Plug'n'Play)",
            Kind::Pnpm => "pnpm",
            Kind::Bun => "bun",
        }
    }

    /// The program's name.
    pub(super) fn program(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "npm",
            Kind::Yarn | Kind::Berry { .. } => "yarn",
            Kind::Pnpm => "pnpm",
            Kind::Bun => "bun",
        }
    }

    /// The folder that the program is installed below, if the image's npm is not enough.
    pub(crate) fn folder(&self) -> Option<&'static str> {
        self.version.as_ref()?;
        Some(match self.kind {
            Kind::Npm => "/opt/npm",
            Kind::Yarn | Kind::Berry { .. } => "/opt/yarn",
            Kind::Pnpm => "/opt/pnpm",
            Kind::Bun => "/opt/bun",
        })
    }

    /// Installs the package manager itself, as the npm package that it is.
    pub(crate) fn tool(&self) -> Option<Run> {
        let (folder, version) = (self.folder()?, self.version.as_ref()?);
        let package = match self.kind {
            Kind::Berry { .. } => "@yarnpkg/cli-dist",
            _ => self.program(),
        };
        let spec = format!("{package}@{version}");
        let spec =
            if version.contains(|c: char| "<>=^~*| ".contains(c)) { format!("'{spec}'") } else { spec };
        // npm 12 runs only such scripts as are allowed, and bun's puts the program in its place.
        let scripts = if self.kind == Kind::Bun { " --allow-scripts=bun" } else { "" };
        let command = format!("npm install --global --no-audit --no-fund{scripts} --prefix {folder} {spec}");
        // It comes before the app is looked at, so no config var of the app's can matter to it.
        Some(Run { downloads: true, ..Run::new([command]) }.cache("npm", npm::CACHE))
    }

    /// Installs what the lockfile says.
    pub(super) fn install(&self, wanted: Wanted) -> Run {
        match self.kind {
            Kind::Npm => npm::install(self.lockfile.is_some(), wanted),
            Kind::Yarn => yarn::install(self.lockfile.is_some(), wanted),
            Kind::Berry { plug_and_play } => berry::install(self, plug_and_play, wanted),
            Kind::Pnpm => pnpm::install(self.lockfile.is_some(), wanted),
            Kind::Bun => bun::install(self.lockfile.is_some(), wanted),
        }
    }

    /// Removes the dev dependencies.
    pub(super) fn prune(&self) -> Run {
        match self.kind {
            Kind::Npm => npm::prune(),
            Kind::Yarn => yarn::prune(),
            Kind::Berry { .. } => berry::prune(self),
            Kind::Pnpm => pnpm::prune(),
            Kind::Bun => bun::prune(self.lockfile.is_some()),
        }
    }

    /// The command that runs a script of package.json, in the folder of that.
    pub(super) fn script(&self, name: &str) -> String {
        match (&self.program, self.kind) {
            (Some(program), Kind::Berry { .. }) => format!("node /app/{program} run {name}"),
            _ => format!("{} run {name}", self.program()),
        }
    }

    /// Whether a command calls a package manager that the slim image has not.
    pub(super) fn is_run_by(&self, command: &str) -> bool {
        let names: &[&str] = match self.kind {
            Kind::Npm => return false,
            Kind::Yarn | Kind::Berry { .. } => &["yarn"],
            Kind::Pnpm => &["pnpm", "pnpx"],
            Kind::Bun => &["bun", "bunx"],
        };
        command.split_whitespace().any(|word| names.contains(&word))
    }

    /// Lockfiles that are committed beside the one that is read.
    pub(crate) fn ignored_lockfiles(&self, tree: &Tree<'_>) -> Vec<&'static str> {
        let others = LOCKFILES.iter().map(|(file, _)| *file).filter(|file| Some(*file) != self.lockfile);
        others.filter(|file| tree.has(file)).collect()
    }
}

/// `pnpm@9.1.0+sha512.…` as name and version.
fn named(asked: &str) -> Result<(&'static str, Option<String>), DetectError> {
    let (name, version) = asked.split_once('@').unwrap_or((asked, ""));
    let version = version.split('+').next().unwrap_or_default();
    let known = ["npm", "yarn", "pnpm", "bun"].into_iter().find(|known| *known == name);
    let is_version = version.chars().all(|c| c.is_ascii_alphanumeric() || ".-^~".contains(c));
    match known {
        Some(name) if is_version => {
            Ok((name, Some(version.to_owned()).filter(|version| !version.is_empty())))
        }
        _ => Err(NodeError::UnknownManager { asked: asked.to_owned() }.into()),
    }
}

fn is_range(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || ".-<>=^~*| ".contains(c))
}

fn by_files(tree: &Tree<'_>, package: &Package) -> &'static str {
    let by_lockfile = LOCKFILES.iter().find(|(file, _)| tree.has(file)).map(|(_, name)| *name);
    let others = [("pnpm-workspace.yaml", "pnpm"), (".yarnrc.yml", "yarn"), ("bunfig.toml", "bun")];
    let by_file = others.into_iter().find(|(file, _)| tree.has(file)).map(|(_, name)| name);
    let by_engines =
        ["pnpm", "yarn", "bun"].into_iter().find(|name| package.text(&["engines", name]).is_some());
    by_lockfile.or(by_file).or(by_engines).unwrap_or("npm")
}

type Found = (Kind, Option<String>, Option<String>);

/// Yarn 1 or berry, by version, by settings, or by the lockfile's form.
fn yarn(tree: &Tree<'_>, version: Option<String>) -> Result<Found, DetectError> {
    let program = berry::program(tree)?;
    let is_one =
        version.as_deref().map(|version| version.trim_start_matches(['^', '~', '=', '>']).starts_with("1."));
    let form = berry::lockfile_form(tree)?;
    let is_berry =
        program.is_some() || is_one.map_or(form.is_some() || tree.has(".yarnrc.yml"), |is_one| !is_one);
    if !is_berry {
        return Ok((Kind::Yarn, Some(version.unwrap_or_else(|| yarn::LAST.to_owned())), None));
    }
    let kind = Kind::Berry { plug_and_play: berry::is_plug_and_play(tree)? };
    let version = version.unwrap_or_else(|| berry::version_of(form).to_owned());
    Ok((kind, Some(version).filter(|_| program.is_none()), program))
}
