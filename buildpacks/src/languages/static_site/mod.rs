//! Static sites: pages that the commit brings, served by nginx.

mod error;
mod nginx;
mod settings;

use std::collections::BTreeMap;

use super::node;
use crate::error::DetectError;
use crate::languages::{App, Buildpack, Made};

pub(super) use nginx::{WEB, stages};
pub(super) use settings::{FILE, Missing, Site, StaticJson};

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "static",
    language: "Static",
    aliases: &["nginx", "web-servers", "httpd", "html"],
    looks_for: "index.html in the root or in public/, dist/, build/, _site/; static.json",
    files: &["index.html", FILE],
    detect,
    plan,
};

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    if app.has_web() {
        // Something else than files is to answer.
        return Ok(None);
    }
    if app.tree.has(FILE) {
        return Ok(Some(FILE.to_owned()));
    }
    let site = settings::of(app.tree)?;
    Ok(site.map(
        |site| if site.root.is_empty() { "index.html".into() } else { format!("{}/index.html", site.root) },
    ))
}

fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    if node::builds_a_site(app)? {
        return node::plan(app);
    }
    as_it_is(app)
}

/// Whether there are pages in the tree.
pub(super) fn is_in(app: &App<'_>) -> Result<bool, DetectError> {
    Ok(settings::of(app.tree)?.is_some())
}

/// The pages of a tree that has some, served without a build.
pub(super) fn as_it_is(app: &App<'_>) -> Result<Made, DetectError> {
    let stages = settings::of(app.tree)?.map(|site| stages(app, &site, None).to_vec()).unwrap_or_default();
    Ok(Made { stages, processes: processes(), ..Made::default() })
}

/// How a site is served.
pub(super) fn processes() -> BTreeMap<String, String> {
    BTreeMap::from([("web".to_owned(), WEB.to_owned())])
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/static_site/fixtures");
    }
}
