//! What a buildpack sees of the pushed commit: names and the bytes of small files, and nothing else.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

/// The files of a commit below the folder that is built. Symlinks and folders are not listed.
pub trait Source {
    /// Paths relative to the root, with `/`, in byte order.
    fn paths(&self) -> Vec<&str>;

    /// The bytes of a file; `None` if there is no such file.
    ///
    /// # Errors
    /// The file is there and cannot be had, for instance because it is too large to be read for this.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Unreadable>;

    /// Whether the file may be executed.
    fn is_executable(&self, path: &str) -> bool;
}

/// Why a file that is there could not be used; the text is for the pusher, but for `Lost`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("{path} cannot be read: {reason}")]
    Failed { path: String, reason: String },
    /// Not the commit's doing: whoever keeps its files has lost this one. The reason is for them.
    #[error("{path} cannot be read: {reason}")]
    Lost { path: String, reason: String },
    #[error("{path} is no {format}: {reason}\nCorrect it, commit it and push again.")]
    Malformed { path: String, format: &'static str, reason: String },
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct Files(BTreeMap<String, File>);

#[derive(Debug, Clone)]
struct File {
    bytes: Vec<u8>,
    executable: bool,
}

impl Files {
    /// Adds a file, or replaces it.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, executable: bool) {
        self.0.insert(path.into(), File { bytes: bytes.into(), executable });
    }
}

impl Source for Files {
    fn paths(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        Ok(self.0.get(path).map(|file| file.bytes.clone()))
    }

    fn is_executable(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(|file| file.executable)
    }
}

/// The questions that buildpacks ask of a source.
#[derive(Clone)]
pub(crate) struct Tree<'a> {
    source: &'a dyn Source,
    paths: Vec<&'a str>,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        let mut paths = source.paths();
        paths.sort_unstable();
        Self { source, paths }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &'a str> {
        self.paths.iter().copied()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.binary_search(&path).is_ok()
    }

    /// The first of `names` that is a file.
    pub(crate) fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }

    /// The names of the files that lie in `folder` itself; the root is `""`.
    pub(crate) fn in_folder(&self, folder: &str) -> impl Iterator<Item = &'a str> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.paths().filter_map(move |path| path.strip_prefix(&prefix)).filter(|rest| !rest.contains('/'))
    }

    pub(crate) fn has_folder(&self, folder: &str) -> bool {
        let prefix = format!("{folder}/");
        let at = self.paths.partition_point(|path| *path < prefix.as_str());
        self.paths.get(at).is_some_and(|path| path.starts_with(&prefix))
    }

    pub(crate) fn is_executable(&self, path: &str) -> bool {
        self.source.is_executable(path)
    }

    /// A file's text: see [`text_of`].
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, Unreadable> {
        Ok(self.source.read(path)?.map(|bytes| text_of(&bytes)))
    }

    /// The first line of a file that holds more than blanks and a comment, trimmed.
    pub(crate) fn first_line(&self, path: &str) -> Result<Option<String>, Unreadable> {
        let text = self.text(path)?.unwrap_or_default();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(line.map(str::to_owned))
    }

    /// The version of a tool in .tool-versions, which asdf and mise read; `None` if that names no number, as `system` does.
    pub(crate) fn tool_version(&self, names: &[&str]) -> Result<Option<String>, Unreadable> {
        let text = self.text(".tool-versions")?.unwrap_or_default();
        let version = |line: &str| {
            let mut words = line.split_whitespace();
            words.next().filter(|tool| names.contains(tool))?;
            words
                .next()
                .filter(|version| version.contains(|c: char| c.is_ascii_digit()))
                .filter(|version| !["ref:", "path:", "latest:"].iter().any(|kind| version.starts_with(kind)))
                .map(str::to_owned)
        };
        Ok(text.lines().find_map(version))
    }

    /// Whether a file is there and its text has `needle` in it.
    pub(crate) fn mentions(&self, path: &str, needle: &str) -> Result<bool, Unreadable> {
        Ok(self.text(path)?.is_some_and(|text| text.contains(needle)))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Unreadable> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| malformed(path, "JSON that we understand", &error))
    }

    pub(crate) fn toml<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Unreadable> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        toml::from_str(&text).map(Some).map_err(|error| malformed(path, "TOML that we understand", &error))
    }
}

/// The text of a file, without a byte order mark: UTF-16 if the mark says so, as PowerShell writes what is redirected to a file
/// (`pip freeze > requirements.txt`), else UTF-8. What is neither is replaced.
#[must_use]
pub fn text_of(bytes: &[u8]) -> String {
    let of_units = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => of_units(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => of_units(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(),
    }
}

/// The path of a file in a folder; the root is `""`.
pub(crate) fn in_folder(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn malformed(path: &str, format: &'static str, error: &dyn std::fmt::Display) -> Unreadable {
    Unreadable::Malformed { path: path.to_owned(), format, reason: error.to_string().trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_by_what_lies_in_them() {
        let mut files = Files::default();
        for path in ["a-b/x", "a/b/c", "a/d", "e"] {
            files.add(path, "", false);
        }
        let tree = Tree::new(&files);
        assert!(tree.has_folder("a") && tree.has_folder("a/b") && tree.has_folder("a-b"));
        assert!(!tree.has_folder("e") && !tree.has_folder("a/d"));
        assert_eq!(tree.in_folder("a").collect::<Vec<_>>(), ["d"]);
        assert_eq!(tree.in_folder("").collect::<Vec<_>>(), ["e"]);
    }

    #[test]
    fn what_powershell_writes_is_read() {
        let little: Vec<u8> =
            "\u{feff}gunicorn==23.0\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text_of(&little), "gunicorn==23.0\r\n");
        let big: Vec<u8> = "\u{feff}web: x".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text_of(&big), "web: x");
        assert_eq!(text_of("\u{feff}a".as_bytes()), "a");
    }

    #[test]
    fn a_version_file_may_have_comments_and_a_byte_order_mark() {
        let mut files = Files::default();
        files.add("v", "\u{feff}# ours\n\n 3.12 \n", false);
        assert_eq!(Tree::new(&files).first_line("v"), Ok(Some("3.12".to_owned())));
    }
}
