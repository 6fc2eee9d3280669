//! Gemfile, as far as it can be read without running it.

use crate::languages::ruby::lockfile::Lockfile;

#[derive(Debug, Default)]
pub(super) struct Gemfile {
    /// The requirements of its `ruby` line, joined.
    pub(super) ruby: Option<String>,
    /// `ruby file: "…"`.
    pub(super) ruby_file: Option<String>,
    pub(super) engine: Option<String>,
    /// Whether it runs or reads other files of the tree.
    pub(super) reads_files: bool,
}

impl Gemfile {
    pub(super) fn parse(text: &str) -> Self {
        let mut gemfile = Self::default();
        for line in text.lines().map(|line| line.split(" #").next().unwrap_or(line).trim()) {
            if let Some(rest) = line.strip_prefix("ruby").filter(|rest| rest.starts_with([' ', '('])) {
                gemfile.take_ruby(rest);
            }
            let reads = ["gemspec", "eval_gemfile", "require_relative", "instance_eval"];
            gemfile.reads_files |=
                reads.iter().any(|word| line.starts_with(word)) || line.contains("File.read");
        }
        gemfile
    }

    fn take_ruby(&mut self, rest: &str) {
        let mut requirements = Vec::new();
        for part in rest.trim_matches(['(', ')', ' ']).split(',').map(str::trim) {
            let literal = part.split(['"', '\'']).nth(1).map(str::to_owned);
            if part.starts_with(['"', '\'']) {
                requirements.extend(literal);
            } else if part.starts_with("file:") || part.starts_with(":file") {
                self.ruby_file = literal;
            } else if part.starts_with("engine:") || part.starts_with(":engine ") {
                self.engine = literal.filter(|engine| engine != "ruby");
            }
        }
        self.ruby = (!requirements.is_empty()).then(|| requirements.join(", "));
    }

    /// What the pusher should know.
    pub(super) fn notes(&self, lock: &Lockfile) -> Vec<String> {
        let mut notes = Vec::new();
        if lock.has("sqlite3") && !lock.has("pg") && !lock.has("mysql2") && !lock.has("trilogy") {
            notes.push(
                "the only database is SQLite: its file is lost with each release, as the rest of what an app writes".to_owned(),
            );
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_version_has_many_forms() {
        let ruby = |text: &str| Gemfile::parse(text).ruby;
        assert_eq!(ruby("source 'x'\nruby '3.3.5'\n"), Some("3.3.5".into()));
        assert_eq!(ruby("ruby(\">= 3.1\", \"< 3.4\")"), Some(">= 3.1, < 3.4".into()));
        assert_eq!(ruby("rubygems 'x'\n# ruby '3.1'"), None);
        assert_eq!(Gemfile::parse("ruby file: '.ruby-version'").ruby_file, Some(".ruby-version".into()));
        assert_eq!(Gemfile::parse("ruby '3.1', engine: 'jruby'").engine, Some("jruby".into()));
    }
}
