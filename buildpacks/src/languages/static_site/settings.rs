//! Which folder is served, and what for an address that is none of its files.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::error::StaticError;
use crate::error::DetectError;
use crate::source::{Tree, in_folder};

/// Heroku's file for static sites.
pub(crate) const FILE: &str = "static.json";
/// Where sites are, if nothing says so: the first that has an index.html.
const FOLDERS: [&str; 7] = ["", "public", "dist", "build", "_site", "www", "site"];

/// A site as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// The folder with the pages; the root is `""`.
    pub(crate) root: String,
    pub(crate) missing: Missing,
    /// `/about` is about.html.
    pub(crate) clean_urls: bool,
    /// By a tool, not by hand.
    pub(crate) is_built: bool,
}

/// What is answered where no file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// This page with 200: it has routes of its own.
    Fallback(String),
    /// This page with 404.
    Page(String),
    Plain,
}

/// The keys of static.json that are honoured.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct StaticJson {
    root: Option<String>,
    #[serde(default)]
    routes: BTreeMap<String, String>,
    error_page: Option<String>,
    clean_urls: Option<bool>,
}

impl StaticJson {
    pub(crate) fn of(tree: &Tree<'_>) -> Result<Option<Self>, DetectError> {
        let settings = tree.json::<Self>(FILE)?;
        let words = |settings: &Self| {
            let pages = settings.routes.values().chain(&settings.error_page).chain(&settings.root);
            pages.cloned().collect::<Vec<_>>()
        };
        let fits = |text: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c)) && !text.contains("..")
        };
        if let Some(bad) =
            settings.as_ref().map(words).unwrap_or_default().into_iter().find(|text| !fits(text))
        {
            return Err(StaticError::BadPath { path: bad }.into());
        }
        Ok(settings)
    }

    /// The folder that is served, without slashes at its ends.
    pub(crate) fn root(&self) -> Option<String> {
        let root = self.root.as_deref()?.trim_start_matches("./").trim_matches('/');
        Some(if root == "." { String::new() } else { root.to_owned() })
    }

    pub(crate) fn apply(&self, site: &mut Site) {
        if let Some(root) = self.root() {
            site.root = root;
        }
        site.clean_urls = self.clean_urls.unwrap_or(site.clean_urls);
        if let Some(page) = &self.error_page {
            site.missing = Missing::Page(page.trim_start_matches('/').to_owned());
        }
        if let Some(page) = self.routes.get("/**").or(self.routes.get("/*")) {
            site.missing = Missing::Fallback(page.trim_start_matches('/').to_owned());
        }
    }
}

/// The site that lies in the tree; `None` if there is none.
pub(super) fn of(tree: &Tree<'_>) -> Result<Option<Site>, DetectError> {
    let settings = StaticJson::of(tree)?;
    let found = FOLDERS.into_iter().find(|folder| tree.has(&in_folder(folder, "index.html")));
    let root = settings.as_ref().and_then(StaticJson::root).or(found.map(str::to_owned));
    // Heroku's default.
    let default = settings.is_some().then(|| "public_html".to_owned());
    let Some(root) = root.or(default) else { return Ok(None) };
    let mut site = Site { missing: missing(tree, &root), root, clean_urls: true, is_built: false };
    if let Some(settings) = settings {
        settings.apply(&mut site);
    }
    if !tree.in_folder(&site.root).any(|name| name.ends_with(".html")) {
        return Err(StaticError::NoPages { root: site.root }.into());
    }
    Ok(Some(site))
}

/// A 404.html says what it is for. Without one, a site of a single page has routes of its own, and one of several has not.
fn missing(tree: &Tree<'_>, root: &str) -> Missing {
    let pages = tree
        .paths()
        .filter(|path| path.ends_with(".html") && (root.is_empty() || path.starts_with(&format!("{root}/"))));
    if tree.has(&in_folder(root, "404.html")) {
        Missing::Page("404.html".to_owned())
    } else if pages.count() == 1 {
        Missing::Fallback("index.html".to_owned())
    } else {
        Missing::Plain
    }
}
