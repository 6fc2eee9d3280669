//! What is read from Django's settings without running them.

use crate::error::DetectError;
use crate::languages::python::project::Project;

pub(super) struct Settings {
    /// `mysite`, of `mysite.settings`.
    pub(super) package: Option<String>,
    /// The texts of the settings' files, with their paths.
    files: Vec<(String, String)>,
}

impl Settings {
    pub(super) fn read(project: &Project<'_>) -> Result<Self, DetectError> {
        let manage = project.app.tree.text("manage.py")?.unwrap_or_default();
        let line = manage.lines().find(|line| line.contains("DJANGO_SETTINGS_MODULE"));
        let module = line.and_then(|line| literals(line).into_iter().find(|text| text.contains('.')));
        let paths: Vec<&str> = match &module {
            Some(module) => {
                let path = module.replace('.', "/");
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
                let is_package = folder.ends_with("settings") || project.app.tree.has_folder(&path);
                let folder = if folder.ends_with("settings") { folder } else { path.clone() };
                project
                    .app
                    .tree
                    .paths()
                    .filter(|file| {
                        *file == format!("{path}.py")
                            || is_package && file.starts_with(&format!("{folder}/")) && file.ends_with(".py")
                    })
                    .collect()
            }
            None => project.app.tree.paths().filter(|file| file.ends_with("/settings.py")).collect(),
        };
        let mut files = Vec::new();
        for path in paths {
            files.push((path.to_owned(), project.app.tree.text(path)?.unwrap_or_default()));
        }
        let package = module.as_deref().and_then(|module| module.split('.').next()).map(str::to_owned);
        let package =
            package.or_else(|| files.first().and_then(|(path, _)| Some(path.split_once('/')?.0.to_owned())));
        Ok(Self { package, files })
    }

    /// The line that sets `name`, with its file's path and text.
    fn line(&self, name: &str) -> Option<(&str, &str, &str)> {
        self.files.iter().find_map(|(path, text)| {
            let line = text.lines().find(|line| {
                let rest = line.trim_start().strip_prefix(name).map(str::trim_start);
                rest.is_some_and(|rest| rest.starts_with(['=', ':']))
            })?;
            Some((path.as_str(), text.as_str(), line))
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.line(name).is_some()
    }

    pub(super) fn mentions(&self, text: &str) -> bool {
        self.files.iter().any(|(_, file)| file.contains(text))
    }

    /// A setting that is a literal.
    pub(super) fn literal(&self, name: &str) -> Option<String> {
        literals(self.line(name)?.2).into_iter().next()
    }

    /// The folder of STATIC_ROOT in the tree; `None` if it is not plainly written below a BASE_DIR that is the root.
    pub(super) fn static_folder(&self) -> Option<String> {
        let (_, _, line) = self.line("STATIC_ROOT")?;
        let value = line.split_once('=')?.1.trim();
        if !(value.starts_with("BASE_DIR /") || value.starts_with("os.path.join(BASE_DIR,")) {
            return None;
        }
        let (path, _, base) = self.line("BASE_DIR")?;
        let up = base.matches(".parent").count() + base.matches("dirname(").count();
        let folder = literals(value).join("/");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
        let is_below = !folder.is_empty() && !folder.split('/').any(|part| matches!(part, "" | "." | ".."));
        (up == path.matches('/').count() + 1 && is_below && folder.chars().all(is_plain)).then_some(folder)
    }
}

/// The quoted texts of a line.
fn literals(line: &str) -> Vec<String> {
    let (mut all, mut rest) = (Vec::new(), line);
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = &rest[at..=at];
        let Some((text, after)) = rest[at + 1..].split_once(quote) else { break };
        all.push(text.to_owned());
        rest = after;
    }
    all
}
