//! Gradle's version catalog: plugins that build files apply by an alias, `alias(libs.plugins.spring.boot)`.

use std::collections::BTreeMap;

use crate::source::{Tree, Unreadable};

const FILE: &str = "gradle/libs.versions.toml";
const PLUGINS: &str = "libs.plugins.";

/// The ids of plugins by their aliases, which are written with dots.
pub(super) struct Catalog(BTreeMap<String, String>);

impl Catalog {
    pub(super) fn read(tree: &Tree<'_>) -> Result<Self, Unreadable> {
        let table = tree.toml::<toml::Table>(FILE)?.unwrap_or_default();
        let plugins = table.get("plugins").and_then(toml::Value::as_table);
        let entry = |(alias, plugin): (&String, &toml::Value)| {
            // `"org.springframework.boot:3.5.0"`, or a table.
            let id = plugin.as_str().or_else(|| plugin.get("id")?.as_str())?;
            let id = id.split(':').next().unwrap_or(id);
            Some((alias.replace(['-', '_'], "."), id.to_owned()))
        };
        Ok(Self(plugins.into_iter().flatten().filter_map(entry).collect()))
    }

    /// A build file with the id of each plugin in the line that applies it by its alias.
    pub(super) fn resolved(&self, text: &str) -> String {
        let line = |line: &str| match self.named(line) {
            Some(id) => format!("{line} id(\"{id}\")"),
            None => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    fn named(&self, line: &str) -> Option<&str> {
        let (_, rest) = line.split_once(PLUGINS)?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        self.0.get(&rest[..end]).map(String::as_str)
    }
}
