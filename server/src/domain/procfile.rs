//! The Procfile: which processes an app has, and the command of each.

use std::collections::BTreeMap;

use super::names::{NameError, ProcessType};

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

/// The argument vector for a Procfile command.
///
/// A plain command runs without a shell, so images that have none work and SIGTERM reaches the program itself. One that
/// needs a shell (`$PORT`, quotes, globs) is `exec`ed by it for the same reason; only a list of commands keeps its shell.
pub(crate) fn argv(command: &str) -> Vec<String> {
    /// Words that only mean something to a shell.
    const SHELL_WORDS: &[&str] = &[
        ".", "!", "case", "cd", "eval", "exec", "exit", "export", "for", "if", "set", "source", "time",
        "trap", "ulimit", "umask", "until", "while",
    ];
    let first = command.split_whitespace().next().unwrap_or_default();
    let needs_to_stay = SHELL_WORDS.contains(&first)
        || first.contains('=')
        || command.contains([';', '&', '|', '<', '>', '(', ')', '{', '}', '`', '\n']);
    let shell = |line: String| vec!["/bin/sh".to_owned(), "-c".to_owned(), line];
    if needs_to_stay {
        shell(command.to_owned())
    } else if command.contains(['$', '"', '\'', '\\', '*', '?', '[', ']', '~', '#']) {
        shell(format!("exec {command}"))
    } else {
        command.split_whitespace().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_used_only_where_the_command_needs_one_and_stays_only_where_it_must() {
        assert_eq!(argv("./server  --fast"), ["./server", "--fast"]);
        assert_eq!(argv("./server -p $PORT"), ["/bin/sh", "-c", "exec ./server -p $PORT"]);
        assert_eq!(argv("python -c 'print(1)'"), ["/bin/sh", "-c", "python -c 'print(1)'"]);
        assert_eq!(argv("echo 'a b'"), ["/bin/sh", "-c", "exec echo 'a b'"]);
        assert_eq!(argv("A=1 ./server"), ["/bin/sh", "-c", "A=1 ./server"]);
        assert_eq!(argv("migrate && ./server"), ["/bin/sh", "-c", "migrate && ./server"]);
        assert_eq!(argv("exec ./server"), ["/bin/sh", "-c", "exec ./server"]);
    }

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
