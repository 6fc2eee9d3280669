//! Help instead of a shrug: what somebody probably meant whose tree no buildpack knows.

use crate::dockerfile;
use crate::error::DetectError;
use crate::languages::{ALL, Buildpack};
use crate::source::Tree;

/// Folders deeper than this are not searched for an app.
const DEPTH: usize = 3;

/// Files, or endings of their names, that tell languages and tools which there is no buildpack for.
const OTHERS: [(&str, &str); 17] = [
    ("mix.exs", "Elixir"),
    ("rebar.config", "Erlang"),
    ("gleam.toml", "Gleam"),
    ("build.sbt", "Scala"),
    ("project.clj", "Clojure"),
    ("deps.edn", "Clojure"),
    ("deno.json", "Deno"),
    ("deno.jsonc", "Deno"),
    ("Package.swift", "Swift"),
    ("pubspec.yaml", "Dart"),
    ("shard.yml", "Crystal"),
    ("stack.yaml", "Haskell"),
    ("hugo.toml", "Hugo"),
    ("mkdocs.yml", "MkDocs"),
    (".csproj", ".NET"),
    (".fsproj", ".NET"),
    (".sln", ".NET"),
];

/// Why nothing was detected, with the best hint that there is.
pub(crate) fn nothing(tree: &Tree<'_>) -> DetectError {
    dockerfile::misspelt(tree)
        .or_else(|| misspelt(tree))
        .or_else(|| other(tree))
        .or_else(|| below(tree))
        .or_else(|| dockerfile::below(tree))
        .unwrap_or_else(looked_for)
}

fn looked_for() -> DetectError {
    let lines = ALL.iter().map(|buildpack| format!("  {}: {}", buildpack.language, buildpack.looks_for));
    let lines: Vec<String> =
        std::iter::once("  Docker: Dockerfile, Containerfile".to_owned()).chain(lines).collect();
    DetectError::Nothing { looked_for: lines.join("\n") }
}

/// A file in the root that is one typing error away from one that a buildpack looks for.
fn misspelt(tree: &Tree<'_>) -> Option<DetectError> {
    for buildpack in ALL {
        for meant in buildpack.files {
            if let Some(found) = tree.in_folder("").find(|name| is_nearly(name, meant)) {
                let language = buildpack.language;
                return Some(DetectError::NearlyLanguage { found: found.to_owned(), meant, language });
            }
        }
    }
    None
}

/// An app of a language without a buildpack: what lies in its folders for other languages is not the app. A Dockerfile in a
/// folder is the better hint.
fn other(tree: &Tree<'_>) -> Option<DetectError> {
    let language_of = |found: &str| {
        let is = |name: &str| found == name || name.starts_with('.') && found.ends_with(name);
        OTHERS.iter().find(|(name, _)| is(name)).map(|(_, language)| *language)
    };
    let (found, language) = tree.in_folder("").find_map(|found| Some((found, language_of(found)?)))?;
    let error = DetectError::OtherLanguage { found: found.to_owned(), language };
    Some(dockerfile::below(tree).unwrap_or(error))
}

/// An app in a sub-folder: that of the shallowest path.
fn below(tree: &Tree<'_>) -> Option<DetectError> {
    let depth = |path: &str| path.matches('/').count();
    let mut all: Vec<&str> = tree.paths().filter(|path| (1..=DEPTH).contains(&depth(path))).collect();
    all.sort_by_key(|path| (depth(path), *path));
    let of = |path: &str| -> Option<(String, &'static Buildpack)> {
        let (folder, name) = path.rsplit_once('/')?;
        let buildpack = ALL.iter().find(|buildpack| buildpack.files.contains(&name))?;
        Some((folder.to_owned(), buildpack))
    };
    all.into_iter().find_map(|path| {
        let (folder, buildpack) = of(path)?;
        let (found, language) = (path.to_owned(), buildpack.language);
        Some(DetectError::LanguageInSubFolder { found, folder, language })
    })
}

/// Same but for case, or one letter added, lost, changed or swapped. Short names are too easily near.
pub(crate) fn is_nearly(name: &str, meant: &str) -> bool {
    if name == meant || meant.len() < 6 {
        return false;
    }
    let (name, meant) = (name.to_ascii_lowercase(), meant.to_ascii_lowercase());
    name == meant || distance_is_one(name.as_bytes(), meant.as_bytes())
}

fn distance_is_one(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let at = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    match long.len() - short.len() {
        0 => {
            let swapped = at + 1 < short.len() && short[at] == long[at + 1] && short[at + 1] == long[at];
            at < short.len()
                && (short[at + 1..] == long[at + 1..] || swapped && short[at + 2..] == long[at + 2..])
        }
        1 => short[at..] == long[at + 1..],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_typing_error_is_near_and_two_are_not() {
        for name in [
            "requirments.txt",
            "requirement.txt",
            "Requirements.txt",
            "reqiurements.txt",
            "requirementss.txt",
        ] {
            assert!(is_nearly(name, "requirements.txt"), "{name}");
        }
        for name in ["requirements.txt", "requirments.tx", "readme.txt"] {
            assert!(!is_nearly(name, "requirements.txt"), "{name}");
        }
        assert!(!is_nearly("go.mo", "go.md"), "short names are too easily near");
    }
}
