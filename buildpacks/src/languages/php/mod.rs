//! PHP: the official image with Apache, which serves the document root on $PORT; packages by Composer.

mod apache;
mod composer;
mod error;
mod extensions;
mod install;
mod root;
mod version;

use crate::error::DetectError;
use crate::languages::node;
use crate::languages::{App, Buildpack, Made};
use crate::recipe::Stage;
use composer::Composer;
use error::PhpError;

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "php",
    language: "PHP",
    aliases: &["laravel", "symfony", "composer"],
    looks_for: "composer.json, index.php in the root, in public/ or web/",
    files: &["composer.json", "composer.lock", "index.php"],
    detect,
    plan,
};

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    let all = ["composer.json", "composer.lock", "index.php", "public/index.php", "web/index.php"];
    Ok(app.tree.first_of(&all).map(str::to_owned))
}

fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    let composer = Composer::read(app.tree)?;
    let version = version::choose(app, &composer)?;
    let root = root::find(app, &composer)?;
    let is_named = app.has_web() || app.procfile.keys().any(|kind| kind != "release");
    if root.is_none() && !is_named {
        return Err(root::missing());
    }
    if let Some(command) = app.procfile.get("web").filter(|command| command.contains("heroku-php-")) {
        return Err(PhpError::ServerOfHeroku { command: command.clone() }.into());
    }
    let image = app.bases.image(&format!("php:{}-apache", version.series));
    let extensions = extensions::wanted(app.tree, &composer)?;
    let mut stages = Vec::new();
    let from = if extensions.is_empty() {
        image
    } else {
        let stage = Stage { name: extensions::STAGE, from: image, steps: Vec::new() };
        stages.push(extensions::install(stage, &extensions));
        extensions::STAGE.to_owned()
    };
    let assets = node::assets(app)?.filter(node::Assets::has_build);
    let mut run = Stage::new("run", from.as_str());
    run = composer.environment().into_iter().fold(run, |run, (name, value)| run.env([(name, value)]));
    if let Some(root) = &root {
        run = apache::configure(run, root);
    }
    let run = match install::build(app, &composer, &from, assets.as_ref()) {
        Some(built) => {
            let run = built.bring(run);
            stages.extend(built.stages);
            run
        }
        None => run.copy_all(),
    };
    stages.push(run);
    let web = root.is_some().then(|| ("web".to_owned(), "apache2-foreground".to_owned()));
    Ok(Made {
        version: Some(version),
        package_manager: composer.is_there.then_some("composer"),
        stages,
        processes: web.filter(|_| !is_named).into_iter().collect(),
        notes: composer.notes(),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/php/fixtures");
    }
}
