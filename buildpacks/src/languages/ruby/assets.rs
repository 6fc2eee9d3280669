//! What is built for browsers: Rails' assets, and the `build` script of a package.json.

use crate::error::DetectError;
use crate::languages::node::{self, Assets};
use crate::languages::ruby::{Project, install};
use crate::recipe::{Run, Stage};

/// Gems that come with the task assets:precompile, or hook into it.
const PIPELINES: [&str; 5] = ["sprockets-rails", "propshaft", "vite_rails", "shakapacker", "webpacker"];

#[derive(Debug)]
pub(super) struct Precompiled {
    pub(super) by_rails: bool,
    pub(super) node: Option<Assets>,
}

impl Precompiled {
    pub(super) fn is_some(&self) -> bool {
        self.by_rails || self.node.is_some()
    }
}

/// Rails' task runs the tools of Node.js itself; elsewhere only a `build` script is a reason for Node.js.
pub(super) fn of(project: &Project<'_>) -> Result<Precompiled, DetectError> {
    let by_rails = project.is_rails() && project.lock.has_any(&PIPELINES);
    let node = node::assets(project.app)?.filter(|assets| by_rails || assets.has_build());
    Ok(Precompiled { by_rails, node })
}

/// Node.js and its packages, before the tree is there.
pub(super) fn install(build: Stage, precompiled: &Precompiled) -> Stage {
    match &precompiled.node {
        Some(assets) => assets.install_in(assets.bring_node(build)),
        None => build,
    }
}

/// Builds, when the tree is there, and brings into the image what it made and the app's files.
pub(super) fn build(
    mut build: Stage,
    run: Stage,
    precompiled: &Precompiled,
    project: &Project<'_>,
) -> (Stage, Stage) {
    if precompiled.by_rails {
        let rails = if project.app.tree.has("bin/rails") { "ruby bin/rails" } else { "bundle exec rails" };
        // The first is of Rails 7.1 and later, the second of those before.
        let keys = "SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=\"${SECRET_KEY_BASE:-for-this-step-only}\"";
        let precompile =
            Run::build([format!("{keys} \\\n      {rails} assets:precompile"), "mkdir -p public".to_owned()]);
        let run = run
            .comment("Assets change seldom: a layer of their own.")
            .copy_from("build", "/app/public", "./public")
            .copy_all();
        return (build.run(precompile.cache("assets", "/app/tmp/cache/assets")), run);
    }
    let mut unneeded = Vec::new();
    if let Some(assets) = &precompiled.node {
        build = build.run(assets.build());
        unneeded.push("node_modules");
    }
    if install::is_vendored(project) {
        unneeded.push(install::VENDORED);
    }
    if unneeded.is_empty() {
        return (build, run.copy_all());
    }
    build = build.run(Run::new([format!("rm -rf {}", unneeded.join(" "))]));
    (build, run.copy_from("build", "/app", "./"))
}
