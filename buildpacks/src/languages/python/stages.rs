//! The stages of a Python app: one that builds /venv and what is made of the app's files, and the one that runs.

use crate::languages::node::Assets;
use crate::languages::python::libraries;
use crate::languages::python::managers::{Installation, PIP_CACHE};
use crate::languages::python::project::Project;
use crate::languages::python::start::Start;
use crate::recipe::{Run, Stage, Step};
use crate::version::Series;

/// What was decided on.
pub(super) struct Parts<'a> {
    pub(super) project: &'a Project<'a>,
    pub(super) installation: Installation,
    pub(super) start: Start,
    /// For a package.json with a `build` script.
    pub(super) assets: Option<Assets>,
}

pub(super) fn of(parts: &Parts<'_>, series: &Series) -> Vec<Stage> {
    let image = |slim: &str| parts.project.app.bases.image(&format!("python:{series}{slim}"));
    let build = environment(Stage::new("build", image("")), &parts.installation);
    let build = own(dependencies(build, &parts.installation), parts);
    let mut run =
        Stage::new("run", image("-slim")).env([("PATH", "/venv/bin:$PATH"), ("PYTHONUNBUFFERED", "1")]);
    if let Some(path) = parts.start.python_path {
        run = run.env([("PYTHONPATH", path)]);
    }
    run = libraries::needed(run, parts.project).copy_from("build", "/venv", "/venv");
    vec![build, files(run, parts)]
}

impl Parts<'_> {
    /// Whether files of the app are made, or used, by the stage that builds.
    fn makes_files(&self) -> bool {
        self.installation.own.is_some() || self.start.collects_static || self.assets.is_some()
    }
}

/// The package manager, and the empty /venv.
fn environment(mut stage: Stage, installation: &Installation) -> Stage {
    let tool = installation.tool.as_ref().map(|(name, _)| format!("/opt/{name}/bin:")).unwrap_or_default();
    let path = format!("/venv/bin:{tool}$PATH");
    let pairs = [("PATH", path.as_str()), ("VIRTUAL_ENV", "/venv")];
    let pairs = pairs.iter().chain(installation.environment).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    stage.steps.push(Step::Env(pairs.collect()));
    if let Some((name, asked)) = &installation.tool {
        let venv = format!("python3 -m venv --without-pip /opt/{name}");
        let install = format!("pip --python /opt/{name} install --quiet '{asked}'");
        let why = format!(
            "{name} has an environment of its own, apart from the app's, and is not in the image that runs."
        );
        stage = stage.comment(why).run(Run::install([venv, install]).cache("pip", PIP_CACHE));
    }
    if installation.makes_venv {
        stage = stage.run(Run::new(["python3 -m venv --without-pip /venv"]));
    }
    stage
}

/// What lockfiles and manifests are enough for.
fn dependencies(stage: Stage, installation: &Installation) -> Stage {
    let stage = stage.copy_files(installation.files.iter().cloned());
    let stage = installation.folders.iter().fold(stage, |stage, folder| stage.copy_folder(folder));
    installation.dependencies.clone().into_iter().fold(stage, Stage::run)
}

/// What needs the whole tree.
fn own(mut build: Stage, parts: &Parts<'_>) -> Stage {
    if let Some(assets) = &parts.assets {
        build = assets.install_in(assets.bring_node(build));
    }
    if parts.makes_files() {
        build = build.copy_all();
    }
    build = parts.installation.own.clone().into_iter().fold(build, Stage::run);
    build = parts.assets.iter().fold(build, |build, assets| build.run(assets.build()));
    if parts.start.collects_static {
        build = collect_static(build);
    }
    if parts.assets.is_some() {
        build = build.run(Run::new(["rm -rf node_modules"]));
    }
    build
}

fn collect_static(build: Stage) -> Stage {
    let collect = "if [ -z \"$DISABLE_COLLECTSTATIC\" ]; then \\\n      \
         SECRET_KEY=\"${SECRET_KEY:-for-this-step-only}\" PYTHONDONTWRITEBYTECODE=1 \\\n      \
         python manage.py collectstatic --noinput; fi";
    build
        .comment("The settings have to load without a database; DISABLE_COLLECTSTATIC=1 leaves this out.")
        .run(Run::build([collect]))
}

/// The app's files, with what was made of them.
fn files(run: Stage, parts: &Parts<'_>) -> Stage {
    match &parts.start.static_folder {
        Some(folder) if parts.installation.own.is_none() && parts.assets.is_none() => run
            .comment("What was collected changes seldom: a layer of its own.")
            .copy_from("build", format!("/app/{folder}"), format!("./{folder}"))
            .copy_all(),
        _ if parts.makes_files() => run.copy_from("build", "/app", "./"),
        _ => run.copy_all(),
    }
}
