//! Composer, and what is built for browsers.

use crate::languages::App;
use crate::languages::node::Assets;
use crate::languages::php::composer::Composer;
use crate::recipe::{Run, Stage};

const CACHE: &str = "/root/.cache/composer";
const COMPOSER: &str = "composer:2";
const DEPENDENCIES: &str = "dependencies";
/// Where the autoloader lies in the stage that builds: it changes with the app's classes, the packages do not.
const AUTOLOADER: &str = "/autoloader";

/// The stages that build, and what the image gets of them.
pub(super) struct Built {
    pub(super) stages: Vec<Stage>,
    copies: Vec<(&'static str, &'static str, &'static str)>,
}

/// `None` if nothing is built.
pub(super) fn build(
    app: &App<'_>,
    composer: &Composer,
    from: &str,
    assets: Option<&Assets>,
) -> Option<Built> {
    match (composer.is_there, assets) {
        (false, None) => None,
        (false, Some(assets)) => {
            let build = assets.install_in(assets.bring_node(Stage::new("build", from))).copy_all();
            let build = build.run(assets.build()).run(Run::new(["rm -rf node_modules"]));
            Some(Built { stages: vec![build], copies: vec![("build", "/app", "./")] })
        }
        (true, assets) => Some(Built {
            stages: vec![dependencies(app, composer, from), own(composer, assets)],
            copies: vec![
                (DEPENDENCIES, "/app/vendor", "./vendor"),
                ("build", AUTOLOADER, "./vendor"),
                ("build", "/app", "./"),
            ],
        }),
    }
}

impl Built {
    pub(super) fn bring(&self, run: Stage) -> Stage {
        self.copies.iter().fold(run, |run, (stage, path, to)| run.copy_from(*stage, *path, *to))
    }
}

/// Packages without what depends on the app's own files: the autoloader, and scripts.
fn dependencies(app: &App<'_>, composer: &Composer, from: &str) -> Stage {
    let mut stage = Stage::new(DEPENDENCIES, from)
        .env([("COMPOSER_ALLOW_SUPERUSER", "1"), ("COMPOSER_NO_INTERACTION", "1")])
        .packages(["git", "unzip"])
        .copy_from(app.bases.image(COMPOSER), "/usr/bin/composer", "/usr/local/bin/composer");
    if let Some((name, value)) = composer.environment() {
        stage = stage.env([(name, value)]);
    }
    let lock = composer.is_locked.then(|| "composer.lock".to_owned());
    stage = stage.copy_files(std::iter::once("composer.json".to_owned()).chain(lock));
    for folder in composer.folders().iter().filter(|folder| app.tree.has_folder(folder)) {
        stage = stage.copy_folder(folder);
    }
    let install = "composer install --no-dev --no-progress --prefer-dist --no-scripts --no-autoloader";
    stage.run(Run::install([install, "mkdir -p vendor"]).cache("composer", CACHE))
}

/// What depends on the app's own files.
fn own(composer: &Composer, assets: Option<&Assets>) -> Stage {
    let mut build = Stage { name: "build", from: DEPENDENCIES.to_owned(), steps: Vec::new() };
    if let Some(assets) = assets {
        build = assets.install_in(assets.bring_node(build));
    }
    let mut commands = vec!["composer dump-autoload --no-dev --optimize".to_owned()];
    if composer.has_script("post-install-cmd") {
        commands.push("composer run-script --no-dev post-install-cmd".to_owned());
    }
    build = build.copy_all().run(Run::build(commands).cache("composer", CACHE));
    build = assets.iter().fold(build, |build, assets| build.run(assets.build()));
    let part = [
        format!("mkdir {AUTOLOADER}"),
        format!("mv vendor/autoload.php vendor/composer {AUTOLOADER}/"),
        "rm -rf vendor node_modules".to_owned(),
    ];
    build.comment("Packages and autoloader are layers of their own.").run(Run::new(part))
}
