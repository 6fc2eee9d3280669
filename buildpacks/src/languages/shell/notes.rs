//! What would keep a command of the Procfile from starting, told before it fails.

use crate::languages::App;

/// Programs that people start scripts with and that the image lacks, with their Debian packages.
const INTERPRETERS: [(&str, &str); 9] = [
    ("python3", "python3"),
    ("python", "python-is-python3"),
    ("node", "nodejs"),
    ("ruby", "ruby"),
    ("php", "php-cli"),
    ("java", "default-jre-headless"),
    ("curl", "curl"),
    ("wget", "wget"),
    ("busybox", "busybox"),
];

/// Notes on the commands of all process types.
pub(super) fn of(app: &App<'_>) -> Vec<String> {
    let mut notes: Vec<String> =
        app.procfile.iter().filter_map(|(process, command)| on_command(app, process, command)).collect();
    if !app.has_web() {
        notes.push("the Procfile has no `web` line, so nothing answers requests".to_owned());
    }
    notes
}

fn on_command(app: &App<'_>, process: &str, command: &str) -> Option<String> {
    let mut words = command.split_whitespace();
    let first = words.next()?;
    let by_shell = matches!(first, "sh" | "bash");
    let script = if by_shell { words.next()? } else { first }.trim_start_matches("./");
    if !app.tree.has(script) {
        let is_path = first.starts_with("./") || first.contains('/') && !first.starts_with('/');
        return if is_path || by_shell && !script.starts_with(['-', '/']) {
            Some(format!("`{script}`, which the Procfile's `{process}` runs, is not in the commit"))
        } else {
            lacking(app, process, first)
        };
    }
    if !by_shell && !app.tree.is_executable(script) {
        return Some(format!(
            "`{script}`, which the Procfile's `{process}` runs, is not executable: git update-index --chmod=+x {script}, then commit"
        ));
    }
    // A program that is too large to be read here is no script.
    let text = app.tree.text(script).ok().flatten().unwrap_or_default();
    let line = text.split('\n').next().unwrap_or_default();
    let interpreter = line.strip_prefix("#!")?;
    if interpreter.ends_with('\r') {
        return Some(format!(
            "`{script}` has the line ends of Windows, with which it does not start: sed -i 's/\\r$//' {script}, then commit"
        ));
    }
    let mut words =
        interpreter.split_whitespace().filter(|word| !word.ends_with("/env") && !word.starts_with('-'));
    let program = words.next()?.rsplit('/').next().unwrap_or_default();
    lacking(app, process, program)
}

/// A note on a program that the image has only with a package that the app does not ask for.
fn lacking(app: &App<'_>, process: &str, program: &str) -> Option<String> {
    let (_, package) = INTERPRETERS.iter().find(|(name, _)| *name == program)?;
    // `nodejs` is there if `npm` is: one of several packages may bring it, so only the plain case is sure.
    let is_asked = app.choice.packages.iter().any(|asked| asked.starts_with(package) || asked == program);
    (!is_asked && app.choice.packages.is_empty()).then(|| {
        format!(
            "the Procfile's `{process}` needs {program}, which the image does not have: echo {package} >> Aptfile, and commit it"
        )
    })
}
