//! For the other languages: an app of theirs with a package.json builds its assets with Node.js.
//!
//! It happens in the language's build stage, where a tool of the language may call Node.js too:
//! `assets.install_in(assets.bring_node(stage))`, then the tree, then `.run(assets.build())` or the tool.

use super::manager::Manager;
use super::manifests::{self, Manifests};
use super::package::Package;
use super::{install, version, workspaces};
use crate::error::DetectError;
use crate::languages::App;
use crate::recipe::{Run, Stage};

/// How an app's assets are built.
#[derive(Debug, Clone)]
pub(crate) struct Assets {
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
        image: app.bases.image(&format!("node:{}", version.series)),
        manifests: manifests::of(app.tree, &manager, &packages),
        script: package.build_script(),
        manager,
    }))
}

impl Assets {
    pub(crate) fn has_build(&self) -> bool {
        self.script.is_some()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::source::Tree;
    use crate::{Bases, Choice, Files};

    fn with<T>(files: &[(&str, &str)], look: impl FnOnce(Option<Assets>) -> T) -> T {
        let mut tree = Files::default();
        for (path, text) in files {
            tree.add(*path, *text, false);
        }
        let (tree, choice) = (Tree::new(&tree), Choice::default());
        let (procfile, bases) = (BTreeMap::new(), Bases::default());
        let app = App { tree: &tree, choice: &choice, procfile: &procfile, bases: &bases };
        look(assets(&app).expect("plain files"))
    }

    #[test]
    fn an_app_of_another_language_gets_node_and_its_packages_in_its_build_stage() {
        let package = r#"{ "packageManager": "pnpm@10.34.8", "scripts": { "build": "vite build" } }"#;
        let stage = with(&[("package.json", package), ("pnpm-lock.yaml", ""), (".nvmrc", "22")], |assets| {
            let assets = assets.expect("a package.json");
            assert!(assets.has_build());
            assert_eq!(assets.image, "node:22");
            assets.install_in(assets.bring_node(Stage::new("build", "ruby:3.4")))
        });
        let install = "RUN npm install --global --no-audit --no-fund --prefix /opt/pnpm pnpm@10.34.8\n\
                       COPY package.json pnpm-lock.yaml ./\n\
                       RUN CI=true pnpm install --frozen-lockfile --prod=false --store-dir /root/.local/share/pnpm/store";
        let node = "COPY /usr/local/bin/node /usr/local/bin/node\n\
                    COPY /usr/local/lib/node_modules /usr/local/lib/node_modules\n\
                    RUN ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && \
                    ln -sf ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx";
        assert_eq!(summary(&stage), format!("{node}\n{install}"));
    }

    #[test]
    fn without_a_package_there_are_none_and_without_a_script_nothing_is_built() {
        assert!(with(&[("Gemfile", "")], |assets| assets.is_none()));
        assert!(with(&[("package.json", "{}")], |assets| assets.is_some_and(|assets| !assets.has_build())));
    }

    /// Each COPY and RUN in a line.
    fn summary(stage: &Stage) -> String {
        use crate::recipe::Step;
        let line = |step: &Step| match step {
            Step::Copy { paths, to, .. } => Some(format!("COPY {} {to}", paths.join(" "))),
            Step::Run(run) => Some(format!("RUN {}", run.commands.join(" && "))),
            _ => None,
        };
        stage.steps.iter().filter_map(line).collect::<Vec<_>>().join("\n")
    }
}
