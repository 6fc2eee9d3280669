//! docs/SETTINGS.md, written from the settings themselves so that it cannot be wrong.

use std::fmt::Write;

use clap::{Arg, Args, Command};

use super::ServeArgs;

const INTRODUCTION: &str = "\
# Settings of `slipway serve`

Each is a flag and an environment variable; the flag wins. Without any, a whole platform starts on this machine:
private PostgreSQL, private registry, the local Docker engine, all doors on loopback. `slipway settings` prints this page.
Secrets can be given as a file: the variable's name with `_FILE`.
";

/// The page as Markdown: a table a section.
pub(crate) fn settings_page() -> String {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let mut page = INTRODUCTION.to_owned();
    let mut section = "";
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let heading = arg.get_help_heading().unwrap_or_default();
        if heading != section {
            section = heading;
            let table = "| Flag | Variable | Default | Meaning |\n|---|---|---|---|";
            writeln!(page, "\n## {heading}\n{table}").expect("invariant: writing to a String succeeds");
        }
        page.push_str(&row(arg));
    }
    page
}

fn row(arg: &Arg) -> String {
    let flag = arg.get_long().unwrap_or_default();
    let value = match arg.get_value_names() {
        Some([name]) if arg.get_action().takes_values() => format!(" {name}"),
        _ => String::new(),
    };
    let variable = arg.get_env().unwrap_or_default().to_string_lossy();
    let default = match arg.get_default_values() {
        [default] if arg.get_action().takes_values() => format!("`{}`", default.to_string_lossy()),
        _ => String::new(),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    format!(
        "| `--{flag}{value}` | `{variable}` | {default} | {} |\n",
        help.replace('|', "\\|").replace('\n', " ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_the_one_that_the_settings_give() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SETTINGS.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, settings_page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == settings_page(), "docs/SETTINGS.md is old: run this test with UPDATE_DOCS=1");
    }

    #[test]
    fn every_setting_has_a_variable_a_meaning_and_a_section() {
        let command = ServeArgs::augment_args(Command::new("serve"));
        for arg in command.get_arguments() {
            let variable = arg.get_env().unwrap_or_default().to_string_lossy();
            let usual = ["DATABASE_URL", "DATABASE_URL_FILE", "DOCKER_HOST", "XDG_DATA_HOME"];
            assert!(variable.starts_with("SLIPWAY_") || usual.contains(&variable.as_ref()), "{arg:?}");
            assert!(arg.get_help_heading().is_some(), "{arg:?}");
            assert!(arg.is_hide_set() || arg.get_help().is_some(), "{arg:?}");
        }
    }
}
