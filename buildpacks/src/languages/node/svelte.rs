//! SvelteKit: its adapter decides whether a build makes a server or files.

use super::package::Package;
use super::site::value_of;
use crate::error::DetectError;
use crate::languages::static_site::{Missing, Site};
use crate::source::{Tree, in_folder};

pub(super) const KIT: &str = "@sveltejs/kit";
/// The adapter that makes files; the one that makes a server is among the frameworks with a command.
const STATIC: &str = "@sveltejs/adapter-static";

/// The site that adapter-static makes; `None` with any other adapter.
pub(super) fn site(tree: &Tree<'_>, package: &Package) -> Result<Option<Site>, DetectError> {
    if !package.depends_on(STATIC) {
        return Ok(None);
    }
    let settings = tree.text(&in_folder(&package.folder, "svelte.config.js"))?.unwrap_or_default();
    let folder = value_of(&settings, "pages").unwrap_or_else(|| "build".to_owned());
    let missing = value_of(&settings, "fallback")
        .map_or_else(|| Missing::Page("404.html".to_owned()), Missing::Fallback);
    let root = in_folder(&package.folder, folder.trim_start_matches("./").trim_end_matches('/'));
    Ok(Some(Site { root, missing, clean_urls: true, is_built: true }))
}

/// What to do where the build makes nothing that can be run.
pub(super) const NEXT: &str = "SvelteKit's adapter decides what its build makes, and neither that for Node.js nor that for static files is there.\n\
     Add one, and name it in svelte.config.js: npm install --save-dev @sveltejs/adapter-node";
