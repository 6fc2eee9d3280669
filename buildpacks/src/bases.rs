//! Base images: the official ones by default, others by a prefix or a list.

use std::collections::BTreeMap;

use crate::version::Series;

/// Which image stands for an official one (`python:3.13-slim`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bases {
    prefix: String,
    listed: BTreeMap<String, String>,
}

/// A line of a list of base images that is none; lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: expected an official image and the image that stands for it, as in `python:3.13-slim registry/python:3.13-slim`"
)]
pub struct BadLine {
    pub line: usize,
}

impl Bases {
    /// Official images with `prefix` before their names, for a mirror: `mirror.example.com/library/`.
    #[must_use]
    pub fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), listed: BTreeMap::new() }
    }

    /// Adds a list of `OFFICIAL IMAGE` lines. A runtime that the list names is on offer in the versions of the list only.
    ///
    /// # Errors
    /// A line holds anything but two words; blank lines and comments (`#`) are skipped.
    pub fn with_list(mut self, list: &str) -> Result<Self, BadLine> {
        for (index, line) in list.lines().enumerate() {
            let line = line.split('#').next().unwrap_or(line);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [official, image] if official.contains(':') => {
                    self.listed.insert((*official).to_owned(), (*image).to_owned());
                }
                _ => return Err(BadLine { line: index + 1 }),
            }
        }
        Ok(self)
    }

    /// The image to build on in place of the official one.
    pub(crate) fn image(&self, official: &str) -> String {
        self.listed.get(official).cloned().unwrap_or_else(|| format!("{}{official}", self.prefix))
    }

    /// Whether the versions of a runtime are those of a list, and no others can be had.
    pub(crate) fn lists(&self, runtime: &str) -> bool {
        self.tags(runtime).next().is_some()
    }

    /// The versions of a runtime that may be used: `tag` with its `{}` replaced has to be an image. `official` are the
    /// series that the official images have today.
    pub(crate) fn offered(&self, runtime: &str, tag: &str, official: &[&str]) -> Vec<Series> {
        if !self.lists(runtime) {
            return official.iter().filter_map(|text| Series::parse(text)).collect();
        }
        let (before, after) = tag.split_once("{}").unwrap_or((tag, ""));
        let series = |tag: &str| Series::parse(tag.strip_prefix(before)?.strip_suffix(after)?);
        self.tags(runtime).filter_map(series).collect()
    }

    /// The tags of a runtime's official image that are listed.
    fn tags(&self, runtime: &str) -> impl Iterator<Item = &str> {
        let pairs = self.listed.keys().filter_map(|name| name.split_once(':'));
        pairs.filter(move |(name, _)| *name == runtime).map(|(_, tag)| tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_decides_on_its_runtimes_and_the_prefix_on_the_rest() {
        let bases = Bases::with_prefix("mirror/")
            .with_list(
                "# ours\npython:3.13-slim local/python:3.13-slim\n\npython:3.13 local/python:3.13 # build\n",
            )
            .expect("a list");
        assert_eq!(bases.image("python:3.13-slim"), "local/python:3.13-slim");
        assert_eq!(bases.image("node:22"), "mirror/node:22");
        let shown = |series: Vec<Series>| series.iter().map(Series::to_string).collect::<Vec<_>>();
        assert_eq!(shown(bases.offered("python", "{}-slim", &["3.12", "3.13"])), ["3.13"]);
        assert_eq!(shown(bases.offered("node", "{}-slim", &["22", "24"])), ["22", "24"]);
    }

    #[test]
    fn a_line_that_is_no_pair_is_named() {
        assert_eq!(Bases::default().with_list("\npython:3"), Err(BadLine { line: 2 }));
        assert_eq!(Bases::default().with_list("python local"), Err(BadLine { line: 1 }));
    }
}
