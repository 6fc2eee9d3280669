//! The package managers: which one an app uses, and how it installs.

mod pdm;
mod pip;
mod pipenv;
mod poetry;
mod uv;

use crate::error::DetectError;
use crate::languages::python::error::PythonError;
use crate::languages::python::project::Project;
use crate::recipe::Run;
use crate::version::Series;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Uv,
    Poetry,
    Pdm,
    Pipenv,
    /// pip with requirements.txt.
    Pip,
    /// pip with pyproject.toml or setup.py.
    PipProject,
}

/// How dependencies get into /venv, in the stage that builds.
#[derive(Default)]
pub(super) struct Installation {
    /// The manager's name, and what pip installs it as.
    pub(super) tool: Option<(&'static str, String)>,
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Whether /venv is made beforehand; some make it themselves.
    pub(super) makes_venv: bool,
    /// What the dependencies are installed from.
    pub(super) files: Vec<String>,
    pub(super) folders: Vec<String>,
    pub(super) dependencies: Option<Run>,
    /// Installs the app's own package, when the whole tree is there.
    pub(super) own: Option<Run>,
}

/// Where pip keeps what it downloaded, and the wheels that it built.
pub(super) const PIP_CACHE: &str = "/root/.cache/pip";

/// Bytecode that holds no times, so that the same packages make the same layer; what does not compile is not used either.
const COMPILE: &str =
    "{ python -m compileall -qq -f -j 0 --invalidation-mode unchecked-hash /venv/lib || true; }";

impl Manager {
    /// The lockfiles decide, then the manifests; `None` if there is neither.
    pub(super) fn of(project: &Project<'_>) -> Result<Option<Self>, DetectError> {
        let locked = LOCKFILES.iter().find(|(file, _)| project.has(file));
        if let Some((_, manager)) = locked {
            return Ok(Some(*manager));
        }
        if project.requirements.is_some() {
            return Ok(Some(Self::Pip));
        }
        let tool = |name: &str| project.pyproject(&["tool", name]).is_some();
        let no_lock = |manifest, lock, command| Err(PythonError::NoLock { manifest, lock, command }.into());
        match () {
            () if project.has("Pipfile") => no_lock("Pipfile", "Pipfile.lock", "pipenv lock"),
            () if tool("poetry") => no_lock("pyproject.toml", "poetry.lock", "poetry lock"),
            () if tool("pdm") => no_lock("pyproject.toml", "pdm.lock", "pdm lock"),
            () if tool("uv") => no_lock("pyproject.toml", "uv.lock", "uv lock"),
            () if project.has("pyproject.toml") || project.has("setup.py") => Ok(Some(Self::PipProject)),
            () => Ok(None),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Poetry => "poetry",
            Self::Pdm => "pdm",
            Self::Pipenv => "pipenv",
            Self::Pip | Self::PipProject => "pip",
        }
    }

    /// How one adds a dependency.
    pub(super) fn adding(self, package: &str) -> String {
        match self {
            Self::Pip => format!("echo {package} >> requirements.txt"),
            Self::PipProject => format!("add \"{package}\" to `dependencies` in pyproject.toml"),
            Self::Pipenv => format!("pipenv install {package}"),
            Self::Uv | Self::Poetry | Self::Pdm => format!("{} add {package}", self.name()),
        }
    }

    pub(super) fn installation(
        self,
        project: &Project<'_>,
        series: &Series,
    ) -> Result<Installation, DetectError> {
        match self {
            Self::Uv => Ok(uv::installation(project)),
            Self::Poetry => Ok(poetry::installation(project)),
            Self::Pdm => Ok(pdm::installation(project)),
            Self::Pipenv => Ok(pipenv::installation(project)),
            Self::Pip => Ok(pip::with_requirements(project)),
            Self::PipProject => Ok(pip::with_project(project, series)),
        }
    }

    /// What the pusher should know of this choice.
    pub(super) fn notes(self, project: &Project<'_>) -> Vec<String> {
        let (name, mut notes) = (self.name(), Vec::new());
        let used = LOCKFILES
            .iter()
            .find(|(_, manager)| *manager == self)
            .map_or("requirements.txt", |(file, _)| file);
        let others = LOCKFILES.iter().map(|(file, _)| *file).chain(["requirements.txt"]);
        let unused: Vec<&str> = others.filter(|file| *file != used && project.has(file)).collect();
        if !unused.is_empty() {
            notes.push(format!(
                "{name} installs from {used}; {} is not used. Remove what is out of date",
                unused.join(", ")
            ));
        }
        if self == Self::PipProject {
            notes.push(
                "there is no lockfile, so every build takes the newest versions that are allowed. To pin them: pip freeze > requirements.txt"
                    .to_owned(),
            );
        }
        for (kind, command) in project.app.procfile {
            if command.contains(&format!("{name} run ")) {
                notes.push(format!(
                    "The Procfile's `{kind}` starts with `{name} run`, and {name} is not in the image that runs: \
                     the virtual environment is active there, so leave `{name} run` out"
                ));
            }
        }
        notes
    }
}

/// In the order in which they decide.
const LOCKFILES: [(&str, Manager); 4] = [
    ("uv.lock", Manager::Uv),
    ("poetry.lock", Manager::Poetry),
    ("pdm.lock", Manager::Pdm),
    ("Pipfile.lock", Manager::Pipenv),
];

/// The step that installs dependencies: afterwards their bytecode is made.
fn install<S: Into<String>>(commands: impl IntoIterator<Item = S>) -> Run {
    let mut run = Run::install(commands);
    run.commands.push(COMPILE.to_owned());
    run
}

/// What pip installs a manager as: the version that the project asks for, else the newest of the `usual` ones.
fn tool(name: &'static str, asked: Option<&str>, usual: &str) -> Option<(&'static str, String)> {
    let is_specifier =
        |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || "<>=!~,.* ".contains(c));
    let asked = asked.filter(is_specifier).map(|text| {
        let is_bare = text.starts_with(|c: char| c.is_ascii_digit());
        if is_bare { format!("=={text}") } else { text.to_owned() }
    });
    Some((name, format!("{name}{}", asked.as_deref().unwrap_or(usual))))
}
