//! For the other languages: an app of theirs with a package.json builds its assets with Node.js.
//!
//! Either as a stage of its own, `assets(app)?.map(|assets| assets.stage())`, from which `/app/public/build` or so is copied
//! back; or inside the language's build stage, where a tool of the language calls Node.js:
//! `assets.install_in(assets.bring_node(stage))`, then the tree, then `.run(assets.build())` or the tool.

use super::manager::Manager;
use super::manifests::{self, Manifests};
use super::package::Package;
use super::{install, version, workspaces};
use crate::error::DetectError;
use crate::languages::App;
use crate::recipe::{Run, Stage};
use crate::version::Chosen;

/// How an app's assets are built.
#[derive(Debug, Clone)]
pub(crate) struct Assets {
    pub(crate) version: Chosen,
    /// For people: `pnpm`.
    pub(crate) package_manager: &'static str,
    /// The image with Node.js and npm.
    pub(crate) image: String,
    manager: Manager,
    manifests: Manifests,
    /// The script of package.json, if there is one that builds.
    script: Option<&'static str>,
}

/// How the app's assets are built with Node.js; `None` without a package.json.
///
/// One without a `build` script is of use where the language's own tool calls Node.js: see [`Assets::has_build`].
pub(crate) fn assets(app: &App<'_>) -> Result<Option<Assets>, DetectError> {
    let Some(package) = Package::of(app.tree, "")? else { return Ok(None) };
    let manager = Manager::of(app.tree, &package)?;
    let version = version::of(app, &package)?;
    let packages = workspaces::with_root(app.tree, &package)?;
    Ok(Some(Assets {
        package_manager: manager.name(),
        image: app.bases.image(&format!("node:{}", version.series)),
        manifests: manifests::of(app.tree, &manager, &packages),
        script: package.build_script(),
        version,
        manager,
    }))
}

impl Assets {
    /// The name of its own stage.
    pub(crate) const STAGE: &'static str = "assets";

    pub(crate) fn has_build(&self) -> bool {
        self.script.is_some()
    }

    /// A stage that builds the assets in /app.
    pub(crate) fn stage(&self) -> Stage {
        self.install_in(Stage::new(Self::STAGE, self.image.as_str())).copy_all().run(self.build())
    }

    /// Adds Node.js and npm to a stage on another language's image.
    pub(crate) fn bring_node(&self, stage: Stage) -> Stage {
        stage
            .comment("Node.js and npm, for the assets.")
            .copy_from(self.image.as_str(), "/usr/local/bin/node", "/usr/local/bin/node")
            .copy_from(self.image.as_str(), "/usr/local/lib/node_modules", "/usr/local/lib/node_modules")
            .run(Run::new(["npm", "npx"].map(|name| {
                format!("ln -sf ../lib/node_modules/npm/bin/{name}-cli.js /usr/local/bin/{name}")
            })))
    }

    /// Installs the package manager and the packages, dev dependencies too, in a stage that has Node.js.
    pub(crate) fn install_in(&self, stage: Stage) -> Stage {
        let stage = install::tool(stage, &self.manager);
        install::manifests(stage, &self.manifests).run(install::all(&self.manager))
    }

    /// Runs the `build` script; nothing without one.
    pub(crate) fn build(&self) -> Run {
        Run::build(self.script.map(|script| self.manager.script(script)))
    }
}
