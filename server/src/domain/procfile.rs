//! The Procfile: which processes an app has, and the command of each.

use std::collections::BTreeMap;

use super::names::{NameError, ProcessType};

/// The largest Procfile that is read, in bytes.
pub(crate) const LARGEST: usize = 64 * 1024;

/// Why a Procfile was refused; lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProcfileError {
    #[error("Procfile line {line}: expected `<process type>: <command>`")]
    NotAnEntry { line: usize },
    #[error("Procfile line {line}: {source}")]
    Name { line: usize, source: NameError },
    #[error("Procfile line {line}: `{name}` stands there twice: keep one")]
    Twice { line: usize, name: ProcessType },
    #[error("the Procfile names no process: add a line such as `web: ./server`, or delete the file")]
    Empty,
}

/// Parses `type: command` lines; blank lines and lines that start with `#` are skipped.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<ProcessType, String>, ProcfileError> {
    let mut processes = BTreeMap::new();
    for (index, text) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = index + 1;
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, command) = text.split_once(':').ok_or(ProcfileError::NotAnEntry { line })?;
        let name: ProcessType = name.trim().parse().map_err(|source| ProcfileError::Name { line, source })?;
        let command = command.trim();
        if command.is_empty() {
            return Err(ProcfileError::NotAnEntry { line });
        }
        if processes.insert(name.clone(), command.to_owned()).is_some() {
            return Err(ProcfileError::Twice { line, name });
        }
    }
    if processes.is_empty() { Err(ProcfileError::Empty) } else { Ok(processes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_windows_line_ends_are_read_past() {
        let processes =
            parse("\u{feff}# ours\r\n\r\nweb: ./run --port $PORT\r\nworker:  a: b\r\n").expect("parses");
        let pairs: Vec<_> =
            processes.iter().map(|(name, command)| (name.as_str(), command.as_str())).collect();
        assert_eq!(pairs, [("web", "./run --port $PORT"), ("worker", "a: b")]);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        assert_eq!(parse("web: a\nnonsense"), Err(ProcfileError::NotAnEntry { line: 2 }));
        assert_eq!(parse("web:"), Err(ProcfileError::NotAnEntry { line: 1 }));
        assert!(matches!(parse("We b: x"), Err(ProcfileError::Name { line: 1, .. })));
        assert!(matches!(parse("web: x\nweb: y"), Err(ProcfileError::Twice { line: 2, .. })));
        assert_eq!(parse("# nothing\n"), Err(ProcfileError::Empty));
    }
}
