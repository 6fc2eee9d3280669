//! Gemfile.lock.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Lockfile {
    /// The versions of gems from registries, by name.
    gems: BTreeMap<String, BTreeSet<String>>,
    /// Those from folders and repositories.
    others: BTreeSet<String>,
    /// Folders of the tree that gems lie in.
    pub(super) folders: BTreeSet<String>,
    platforms: Vec<String>,
    /// `ruby 3.3.5p100` as `3.3.5`.
    pub(super) ruby: Option<String>,
}

impl Lockfile {
    pub(super) fn parse(text: &str) -> Self {
        let mut lock = Self::default();
        let mut section = "";
        for line in text.lines() {
            if !line.starts_with(' ') {
                section = line.trim();
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let word = line.trim();
            match (section, indent) {
                ("GEM", 4) => lock.add_gem(word),
                ("PATH" | "GIT", 4) => lock.others.extend(word.split(' ').next().map(str::to_owned)),
                ("PATH", 2) => lock.folders.extend(word.strip_prefix("remote: ").map(str::to_owned)),
                ("PLATFORMS", _) => lock.platforms.push(word.to_owned()),
                ("RUBY VERSION", _) => {
                    let version = word.strip_prefix("ruby ").and_then(|rest| rest.split('p').next());
                    // `4.0.0.preview2` has a point more.
                    lock.ruby = version.map(|version| version.trim().trim_end_matches('.').to_owned());
                }
                _ => {}
            }
        }
        lock
    }

    fn add_gem(&mut self, entry: &str) {
        let Some((name, version)) = entry.split_once(" (") else { return };
        self.gems.entry(name.to_owned()).or_default().insert(version.trim_end_matches(')').to_owned());
    }

    pub(super) fn has(&self, gem: &str) -> bool {
        self.gems.contains_key(gem) || self.others.contains(gem)
    }

    pub(super) fn has_any(&self, gems: &[&str]) -> bool {
        gems.iter().any(|gem| self.has(gem))
    }

    /// Whether `has_file` knows an archive of every gem, in some version of it that is for Linux.
    pub(super) fn is_cached(&self, has_file: impl Fn(&str) -> bool) -> bool {
        let is_there = |(name, versions): (&String, &BTreeSet<String>)| {
            versions.iter().any(|version| has_file(&format!("{name}-{version}.gem")))
        };
        !self.gems.is_empty() && self.gems.iter().all(is_there)
    }

    /// The platforms, if Linux is not among them.
    pub(super) fn platforms_without_linux(&self) -> Option<String> {
        let fits = |platform: &String| platform == "ruby" || platform.contains("linux");
        (!self.platforms.is_empty() && !self.platforms.iter().any(fits)).then(|| self.platforms.join(", "))
    }
}
