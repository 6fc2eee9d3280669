//! The stages of a Node.js app.
//!
//! `dependencies` installs all packages from the manifests alone; `production` takes the dev dependencies away again; `build`
//! has the tree and sees the packages of the first without copying them, so that a changed line costs the build script and
//! one small layer.

use super::manager::{Kind, Manager, Wanted};
use super::manifests::Manifests;
use super::package::Package;
use super::{caches, install};
use crate::recipe::{Run, Stage};
use crate::source::in_folder;

/// Everything about an app that its stages depend on.
pub(super) struct Parts<'a> {
    pub(super) manager: &'a Manager,
    pub(super) manifests: Manifests,
    /// The root's and the workspaces'.
    pub(super) packages: &'a [Package],
    /// The folders whose programs the processes use: that of the package that runs, and the root.
    pub(super) started: Vec<String>,
    /// The full image and the slim one.
    pub(super) images: [String; 2],
    /// The commands that build.
    pub(super) builds: Vec<String>,
    /// Development's packages stay, because a process runs one of them.
    pub(super) keeps_dev: bool,
    /// The package manager is needed where the app runs.
    pub(super) runs_manager: bool,
}

const TOOLS: &str = "tools";
const DEPENDENCIES: &str = "dependencies";
const PRODUCTION: &str = "production";
pub(super) const BUILD: &str = "build";
const FILES: &str = "files";

impl Parts<'_> {
    /// The stages of a server, the one that runs last.
    pub(super) fn server(&self) -> Vec<Stage> {
        let mut stages = self.until_built();
        let builds = !self.builds.is_empty();
        // What the build leaves among the packages is part of the app, so there they are taken after it.
        let mut installed = if builds && self.generates() { BUILD } else { DEPENDENCIES };
        if self.has_packages() && self.prunes() {
            let stage = Stage { steps: Vec::new(), ..Stage::new(PRODUCTION, installed) };
            stages.push(stage.run(self.made_whole(self.manager.prune())));
            installed = PRODUCTION;
        }
        let files = if builds && self.builds_in_place() {
            let gone = self.installed().join(" ");
            stages.push(
                Stage { steps: Vec::new(), ..Stage::new(FILES, BUILD) }
                    .run(Run::new([format!("rm -rf {gone}")])),
            );
            FILES
        } else {
            BUILD
        };
        let mut run = self.running();
        if self.has_packages() {
            run = self.layer_of_packages(run, installed);
        }
        stages.push(if builds { run.copy_from(files, "/app", "./") } else { run.copy_all() });
        stages
    }

    /// The stages up to the one that has built.
    pub(super) fn until_built(&self) -> Vec<Stage> {
        let mut stages = Vec::new();
        let has_tools = self.manager.folder().is_some()
            && (self.has_packages() || !self.builds.is_empty() || self.runs_manager);
        if has_tools {
            stages.push(install::tool(Stage::new(TOOLS, self.images[0].as_str()), self.manager));
        }
        let base = || if has_tools { TOOLS.to_owned() } else { self.images[0].clone() };
        if self.has_packages() {
            let stage = install::manifests(Stage::new(DEPENDENCIES, base()), &self.manifests);
            let wanted = if self.installs_production_only() { Wanted::Production } else { Wanted::All };
            stages.push(stage.run(self.made_whole(self.manager.install(wanted))));
        }
        if !self.builds.is_empty() {
            let base = if self.builds_in_place() { DEPENDENCIES.to_owned() } else { base() };
            let stage = Stage::new(BUILD, base).env([("NODE_ENV", "production")]).copy_all();
            let stage = if self.has_packages() && !self.builds_in_place() {
                stage.comment("The installed packages are seen here, not copied.")
            } else {
                stage
            };
            stages.push(stage.run(self.build()));
        }
        stages
    }

    fn has_packages(&self) -> bool {
        self.packages.iter().any(|package| package.dependencies().next().is_some())
    }

    fn has_dev_dependencies(&self) -> bool {
        self.packages.iter().any(Package::has_dev_dependencies)
    }

    /// Whether nothing needs the dev dependencies from the start.
    fn installs_production_only(&self) -> bool {
        self.builds.is_empty() && !self.has_scripts() && !self.keeps_dev && self.manager.prunes
    }

    fn prunes(&self) -> bool {
        // bun installs again, and the app's own scripts may need what is left out then.
        let can = self.manager.prunes && !(self.manager.kind == Kind::Bun && self.has_scripts());
        can && self.has_dev_dependencies() && !self.keeps_dev && !self.installs_production_only()
    }

    fn has_scripts(&self) -> bool {
        self.packages.iter().any(Package::has_lifecycle_scripts)
    }

    /// Whether the build writes among the packages what the app needs.
    fn generates(&self) -> bool {
        let generates = |package: &Package| {
            let build = package.build_script().and_then(|name| package.script(name));
            package.depends_on("@prisma/client")
                && build.is_some_and(|build| build.contains("prisma generate"))
        };
        self.packages.iter().any(generates)
    }

    /// Whether the build runs where the packages are: it writes among them, or they lie in no folder of their own.
    fn builds_in_place(&self) -> bool {
        let has_no_folder = self.manager.kind == (Kind::Berry { plug_and_play: true });
        self.has_packages() && (has_no_folder || self.generates())
    }

    /// Folders and files, relative to /app, that an install makes.
    fn installed(&self) -> Vec<String> {
        match self.manager.kind {
            Kind::Berry { plug_and_play: true } => {
                let loader = self.has_modules().then_some(".pnp.loader.mjs");
                [".yarn", ".pnp.cjs"].into_iter().chain(loader).map(str::to_owned).collect()
            }
            _ => self.packages.iter().map(|package| in_folder(&package.folder, "node_modules")).collect(),
        }
    }

    /// With an empty folder where nothing was installed, for the steps that name it.
    fn made_whole(&self, mut run: Run) -> Run {
        if self.manager.kind != (Kind::Berry { plug_and_play: true }) {
            run.commands.push(format!("mkdir -p {}", self.installed().join(" ")));
        }
        run
    }

    /// Whether Plug'n'Play makes a loader for `import`.
    fn has_modules(&self) -> bool {
        self.packages.iter().any(|package| package.text(&["type"]) == Some("module"))
    }

    fn layer_of_packages(&self, run: Stage, from: &str) -> Stage {
        self.installed()
            .iter()
            .fold(run, |run, path| run.copy_from(from, format!("/app/{path}"), format!("./{path}")))
    }

    fn build(&self) -> Run {
        let mut run = Run::build(self.builds.iter().map(String::as_str));
        if self.has_packages() && !self.builds_in_place() {
            // Berry's `yarn run` wants to see that it has installed.
            let state = matches!(self.manager.kind, Kind::Berry { .. }).then(|| ".yarn".to_owned());
            for path in self.installed().into_iter().chain(state) {
                run = run.bind(DEPENDENCIES, format!("/app/{path}"));
            }
        }
        for (name, path) in caches::of(self.packages, self.manager.kind) {
            run = run.cache(name, format!("/app/{path}"));
        }
        run
    }

    /// The image that runs, without the app.
    fn running(&self) -> Stage {
        let run = Stage::new("run", self.images[1].as_str());
        let needs_openssl = self.packages.iter().any(Package::needs_openssl);
        let run = if needs_openssl { run.packages(["openssl"]) } else { run };
        let manager = self.manager.folder().filter(|_| self.runs_manager);
        let mut path: Vec<String> = self
            .started
            .iter()
            .map(|folder| format!("/app/{}", in_folder(folder, "node_modules/.bin")))
            .collect();
        path.extend(manager.map(|folder| format!("{folder}/bin")));
        path.push("$PATH".to_owned());
        let path = path.join(":");
        let run = match self.manager.kind {
            Kind::Berry { plug_and_play: true } => {
                let loader =
                    if self.has_modules() { " --experimental-loader /app/.pnp.loader.mjs" } else { "" };
                let options = format!("--require /app/.pnp.cjs{loader}");
                run.env([
                    ("NODE_ENV", "production"),
                    ("NODE_OPTIONS", options.as_str()),
                    ("PATH", path.as_str()),
                ])
            }
            _ => run.env([("NODE_ENV", "production"), ("PATH", path.as_str())]),
        };
        manager.into_iter().fold(run, |run, folder| run.copy_from(TOOLS, folder, folder))
    }
}
