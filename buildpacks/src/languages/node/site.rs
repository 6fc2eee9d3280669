//! Builds whose result is files for the browser and no server: which folder they make, and how that is served.

use super::package::Package;
use super::svelte;
use crate::error::DetectError;
use crate::languages::static_site::{Missing, Site, StaticJson};
use crate::source::{Tree, in_folder};

/// A build tool: what its command has in it, the folder that it makes, whether the app has routes of its own.
struct Tool {
    command: &'static str,
    folder: &'static str,
    routes: bool,
}

const TOOLS: [Tool; 20] = [
    Tool { command: "react-scripts build", folder: "build", routes: true },
    Tool { command: "react-app-rewired build", folder: "build", routes: true },
    Tool { command: "craco build", folder: "build", routes: true },
    Tool { command: "ng build", folder: "dist", routes: true },
    Tool { command: "vue-cli-service build", folder: "dist", routes: true },
    Tool { command: "vitepress build", folder: ".vitepress/dist", routes: false },
    Tool { command: "vite-ssg", folder: "dist", routes: false },
    Tool { command: "vite build", folder: "dist", routes: true },
    Tool { command: "rsbuild build", folder: "dist", routes: true },
    Tool { command: "parcel build", folder: "dist", routes: true },
    Tool { command: "ember build", folder: "dist", routes: true },
    Tool { command: "astro build", folder: "dist", routes: false },
    Tool { command: "gatsby build", folder: "public", routes: false },
    Tool { command: "docusaurus build", folder: "build", routes: false },
    Tool { command: "eleventy", folder: "_site", routes: false },
    Tool { command: "hexo generate", folder: "public", routes: false },
    Tool { command: "nuxt generate", folder: ".output/public", routes: true },
    Tool { command: "nuxi generate", folder: ".output/public", routes: true },
    Tool { command: "webpack", folder: "dist", routes: true },
    Tool { command: "rollup", folder: "dist", routes: true },
];

/// The site that the build of `package` makes; `None` if it makes none that we know.
pub(super) fn of(tree: &Tree<'_>, package: &Package) -> Result<Option<Site>, DetectError> {
    let settings = if package.folder.is_empty() { StaticJson::of(tree)? } else { None };
    let Some(build) = build(package) else { return Ok(None) };
    if package.depends_on(svelte::KIT) {
        return svelte::site(tree, package);
    }
    let exported = is_next_export(tree, package)?.then_some(("out", false));
    let tool = TOOLS.iter().find(|tool| build.contains(tool.command)).map(|tool| (tool.folder, tool.routes));
    let Some((folder, routes)) = exported.or(tool).or(settings.as_ref().map(|_| ("dist", true))) else {
        return Ok(None);
    };
    let missing =
        if routes { Missing::Fallback("index.html".into()) } else { Missing::Page("404.html".into()) };
    let root = in_folder(&package.folder, &folder_of(tree, package, &build, folder)?);
    let mut site = Site { root, missing, clean_urls: true, is_built: true };
    if let Some(settings) = settings {
        settings.apply(&mut site);
    }
    Ok(Some(site))
}

/// The build's command, and that of a script that it only calls.
fn build(package: &Package) -> Option<String> {
    let mut text = package.script(package.build_script()?)?.to_owned();
    // Quoted where npm-run-all passes arguments on: `run-p type-check "build-only {@}" --`.
    let words = text.split([' ', '&']).map(|word| word.trim_matches(['"', '\'']));
    let called: Vec<&str> = words.filter_map(|word| package.script(word)).collect();
    let called = called.join(" ");
    text.push(' ');
    text.push_str(&called);
    Some(text)
}

pub(super) fn is_next_export(tree: &Tree<'_>, package: &Package) -> Result<bool, DetectError> {
    let names = ["next.config.js", "next.config.mjs", "next.config.ts", "next.config.cjs"];
    for name in names {
        let text = tree.text(&in_folder(&package.folder, name))?.unwrap_or_default();
        if is_set(&text, "output", &["export"]) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The folder that the tool's own settings name, where they do.
fn folder_of(tree: &Tree<'_>, package: &Package, build: &str, default: &str) -> Result<String, DetectError> {
    if build.contains("ng build") {
        return Ok(angular(tree, package)?.unwrap_or_else(|| default.to_owned()));
    }
    if let Some(folder) = build.split_once("--outDir ").and_then(|(_, rest)| rest.split_whitespace().next()) {
        return Ok(folder.trim_start_matches("./").to_owned());
    }
    if build.contains("vitepress build") {
        let folder =
            build.split_once("vitepress build ").and_then(|(_, rest)| rest.split_whitespace().next());
        return Ok(folder.map_or(default.to_owned(), |folder| format!("{folder}/{default}")));
    }
    for name in ["vite.config.js", "vite.config.ts", "vite.config.mjs", "vite.config.mts", "astro.config.mjs"]
    {
        let text = tree.text(&in_folder(&package.folder, name))?.unwrap_or_default();
        if let Some(folder) = value_of(&text, "outDir") {
            return Ok(folder.trim_start_matches("./").trim_end_matches('/').to_owned());
        }
    }
    Ok(default.to_owned())
}

/// The output of the first application of angular.json; newer builders put it into a folder `browser`.
fn angular(tree: &Tree<'_>, package: &Package) -> Result<Option<String>, DetectError> {
    let path = in_folder(&package.folder, "angular.json");
    let Some(settings) = tree.json::<serde_json::Value>(&path)? else { return Ok(None) };
    let projects = settings.get("projects").and_then(serde_json::Value::as_object);
    let is_application =
        |project: &serde_json::Value| project.get("projectType").is_none_or(|kind| kind == "application");
    let Some((name, project)) = projects.into_iter().flatten().find(|(_, project)| is_application(project))
    else {
        return Ok(None);
    };
    let build = project.pointer("/architect/build").or(project.pointer("/targets/build"));
    let builder = build.and_then(|build| build.get("builder")?.as_str()).unwrap_or_default();
    let output = build.and_then(|build| build.pointer("/options/outputPath"));
    let below = if builder.ends_with(":application") { "/browser" } else { "" };
    Ok(Some(match output {
        Some(serde_json::Value::String(path)) => format!("{}{below}", path.trim_end_matches('/')),
        Some(serde_json::Value::Object(parts)) => {
            let part = |name: &str, default: &str| {
                parts.get(name).and_then(|part| part.as_str()).unwrap_or(default).to_owned()
            };
            let (base, browser) = (part("base", "dist"), part("browser", "browser"));
            if browser.is_empty() { base } else { format!("{base}/{browser}") }
        }
        _ => format!("dist/{name}{below}"),
    }))
}

fn is_set(text: &str, key: &str, values: &[&str]) -> bool {
    value_of(text, key).is_some_and(|value| values.contains(&value.as_str()))
}

/// The text that a line `key: "value"` of a script gives to it.
pub(super) fn value_of(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    let values = lines.filter_map(|line| line.split_once(&format!("{key}:")));
    values
        .filter_map(|(_, rest)| {
            let rest = rest.trim_start();
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
            Some(rest[1..].split(quote).next()?.to_owned())
        })
        .next()
}
