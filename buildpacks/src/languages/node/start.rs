//! What an app's processes run: the `start` script, a framework's own command, or the main file.

use super::manager::{Kind, Manager};
use super::package::Package;
use super::site;
use crate::recipe::executed;
use crate::source::{Tree, in_folder};

/// Scripts that start the app, the first that does no development's work.
const SCRIPTS: [&str; 3] = ["start", "start:prod", "start:production"];

/// Files that are started if nothing else says what is.
const MAIN: [&str; 9] = [
    "server.js",
    "server.mjs",
    "server.cjs",
    "index.js",
    "index.mjs",
    "index.cjs",
    "app.js",
    "app.mjs",
    "main.js",
];

/// Commands that serve while somebody develops: slow, large, and gone with the dev dependencies.
const DEVELOPMENT: [&str; 25] = [
    "react-scripts start",
    "react-app-rewired start",
    "craco start",
    "ng serve",
    "vite preview",
    "vite dev",
    "vite serve",
    "vue-cli-service serve",
    "webpack serve",
    "webpack-dev-server",
    "rsbuild dev",
    "astro dev",
    "astro preview",
    "gatsby develop",
    "gatsby serve",
    "next dev",
    "nuxt dev",
    "nuxi dev",
    "nest start",
    "docusaurus start",
    "docusaurus serve",
    "eleventy --serve",
    "ember serve",
    "remix dev",
    "react-router dev",
];

/// Package, and the command of an app that is built with it.
const FRAMEWORKS: [(&str, &str); 7] = [
    ("next", "next start"),
    ("nuxt", "node .output/server/index.mjs"),
    ("@astrojs/node", "HOST=0.0.0.0 node ./dist/server/entry.mjs"),
    ("@sveltejs/adapter-node", "node build"),
    ("@react-router/serve", "react-router-serve ./build/server/index.js"),
    ("@remix-run/serve", "remix-serve ./build/server/index.js"),
    ("@nestjs/core", "node dist/main"),
];

/// The command of an app in the folder of `package`, which runs with node_modules/.bin on its path; `None` if there is none.
pub(super) fn command(tree: &Tree<'_>, package: &Package, manager: &Manager) -> Option<String> {
    script(package, manager)
        .or_else(|| framework(tree, package))
        .or_else(|| main(tree, package, &["server.js"]))
        .map(|command| started_in(&package.folder, &command))
}

/// The same, for an app that is no single-page app either.
pub(super) fn main_command(tree: &Tree<'_>, package: &Package, manager: &Manager) -> Option<String> {
    main(tree, package, &MAIN)
        .or_else(|| bun_main(tree, package, manager))
        .or_else(|| built_main(package))
        .map(|command| started_in(&package.folder, &command))
}

/// bun runs TypeScript as it is; its own `bun init` names the file in `module`.
fn bun_main(tree: &Tree<'_>, package: &Package, manager: &Manager) -> Option<String> {
    let named = package.text(&["module"]).map(|file| file.trim_start_matches("./"));
    let mut files = named.into_iter().chain(["index.ts", "server.ts", "src/index.ts"]);
    let file = files.find(|file| tree.has(&in_folder(&package.folder, file)))?;
    (manager.kind == Kind::Bun && is_word(file)).then(|| format!("bun {file}"))
}

fn script(package: &Package, manager: &Manager) -> Option<String> {
    let name =
        SCRIPTS.into_iter().find(|name| package.script(name).is_some_and(|text| !is_development(text)))?;
    let before = package
        .script(&format!("pre{name}"))
        .map(|before| format!("{} && ", inlined(package, manager, before)));
    let command = inlined(package, manager, package.script(name)?);
    Some(before.map_or(command.clone(), |before| before + &executed(&command)))
}

fn is_development(script: &str) -> bool {
    let is_plain_vite = |script: &str| script == "vite" || script.starts_with("vite -");
    DEVELOPMENT.iter().any(|command| script.contains(command)) || is_plain_vite(script.trim())
}

/// A script that only calls another by the package manager becomes that: the manager is not needed then, and signals
/// reach the app itself.
pub(super) fn inlined(package: &Package, manager: &Manager, script: &str) -> String {
    let mut script = script.trim();
    // Scripts that call one another in a circle come to an end here.
    for _ in 0..5 {
        let words: Vec<&str> = script.split_whitespace().collect();
        let called = match words.as_slice() {
            ["npm" | "yarn" | "pnpm" | "bun", "run", name] => Some(*name),
            ["npm" | "yarn" | "pnpm", name] => Some(*name),
            _ => None,
        };
        match called.and_then(|name| package.script(name)) {
            Some(text) if words[0] == manager.program() || words[0] == "npm" => script = text.trim(),
            _ => break,
        }
    }
    script.to_owned()
}

fn framework(tree: &Tree<'_>, package: &Package) -> Option<String> {
    let build = package.script(package.build_script()?)?;
    // Then the build makes files for the browser, and no server.
    let exports = build.contains("generate") || site::is_next_export(tree, package).unwrap_or_default();
    let found = FRAMEWORKS.iter().find(|(name, _)| package.depends_on(name) && !exports);
    found.map(|(_, command)| (*command).to_owned())
}

fn main(tree: &Tree<'_>, package: &Package, names: &[&str]) -> Option<String> {
    let at = |file: &str| in_folder(&package.folder, file);
    let named = package.text(&["main"]).map(|file| file.trim_start_matches("./").to_owned());
    let named = named.filter(|file| tree.has(&at(file)) || tree.has(&at(&format!("{file}.js"))));
    let file =
        named.or_else(|| names.iter().find(|file| tree.has(&at(file))).map(|file| (*file).to_owned()))?;
    is_word(&file).then(|| format!("node {file}"))
}

/// A main file that the build makes.
fn built_main(package: &Package) -> Option<String> {
    let file = package.text(&["main"])?.trim_start_matches("./");
    (package.build_script().is_some() && is_word(file)).then(|| format!("node {file}"))
}

fn is_word(file: &str) -> bool {
    file.chars().all(|c| c.is_ascii_alphanumeric() || "/._-@".contains(c))
}

fn started_in(folder: &str, command: &str) -> String {
    match folder {
        "" => command.to_owned(),
        _ => format!("cd {folder} && {}", executed(command)),
    }
}

/// A note for a main file that listens on a port of its own, where the router would not look for it.
pub(super) fn ignored_port(tree: &Tree<'_>, command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let file =
        words.windows(2).find(|pair| pair[0] == "node" && !pair[1].starts_with('-')).map(|pair| pair[1])?;
    let file = file.trim_start_matches("./");
    let text = tree.text(file).ok()??;
    let rest = text.split(".listen(").nth(1)?.trim_start();
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!port.is_empty() && !text.contains("PORT")).then(|| {
        format!(
            "{file} listens on port {port} whatever PORT says; the platform sends requests to $PORT. \
             Write process.env.PORT || {port} in place of {port}"
        )
    })
}
