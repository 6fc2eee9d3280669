//! Frameworks whose app is an object in a module: Flask, FastAPI and their like.

use super::Start;
use super::server::{Interface, Target, command};
use crate::error::DetectError;
use crate::languages::python::error::PythonError;
use crate::languages::python::managers::Manager;
use crate::languages::python::project::Project;

/// The class that an app is made of, the framework's name and what its servers speak.
const CLASSES: [(&str, &str, Interface); 8] = [
    ("FastAPI", "FastAPI", Interface::Asgi),
    ("Flask", "Flask", Interface::Wsgi),
    ("Starlette", "Starlette", Interface::Asgi),
    ("Litestar", "Litestar", Interface::Asgi),
    ("Quart", "Quart", Interface::Asgi),
    ("Sanic", "Sanic", Interface::Asgi),
    ("falcon.App", "Falcon", Interface::Wsgi),
    ("Bottle", "Bottle", Interface::Wsgi),
];
/// Modules that are looked at first.
const MODULES: [&str; 8] = ["wsgi", "asgi", "app", "main", "server", "application", "api", "__init__"];
/// Functions that make an app.
const FACTORIES: [&str; 3] = ["create_app", "make_app", "create_application"];

struct App {
    framework: &'static str,
    interface: Interface,
    target: Target,
}

pub(super) fn find(project: &Project<'_>, manager: Manager) -> Result<Option<Start>, DetectError> {
    for path in candidates(project) {
        let text = project.app.tree.text(path)?.unwrap_or_default();
        if let Some(app) = app_in(path, &text) {
            let command = command(app.interface, &app.target, &project.dependencies());
            let package = if app.interface == Interface::Wsgi { "gunicorn" } else { "uvicorn" };
            let Some(command) = command else {
                let add = manager.adding(package);
                return Err(PythonError::NoServer { framework: app.framework, add }.into());
            };
            // Harmless where the package is installed from src/, and needed where it is not.
            let python_path = path.starts_with("src/").then_some("/app/src");
            return Ok(Some(Start { command: Some(command), python_path, ..Start::default() }));
        }
    }
    Ok(None)
}

/// Modules in the root, then those one folder below; `src` does not count as one.
fn candidates<'t>(project: &'t Project<'_>) -> Vec<&'t str> {
    let rank = |path: &str| {
        let inner = path.strip_prefix("src/").unwrap_or(path);
        let name = inner.rsplit('/').next().unwrap_or(inner).trim_end_matches(".py");
        let known = MODULES.iter().position(|module| *module == name);
        let depth = inner.matches('/').count();
        let is_test = inner.starts_with("test") || name.starts_with("test_") || name.ends_with("_test");
        let fits = match depth {
            0 => true,
            1 => known.is_some(),
            _ => false,
        };
        (fits && !is_test && path.ends_with(".py")).then_some((depth, known.unwrap_or(MODULES.len())))
    };
    let mut ranked: Vec<_> = project.app.tree.paths().filter_map(|path| Some((rank(path)?, path))).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, path)| path).collect()
}

fn app_in(path: &str, text: &str) -> Option<App> {
    let module = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".py").replace('/', ".");
    let module = module.trim_end_matches(".__init__");
    let object = CLASSES.iter().find_map(|(class, framework, interface)| {
        let name = text.lines().find_map(|line| assigned(line, class))?;
        let target = Target { place: format!("{module}:{name}"), is_factory: false };
        Some(App { framework, interface: *interface, target })
    });
    object.or_else(|| {
        let is_factory = |name: &&&str| text.lines().any(|line| line.starts_with(&format!("def {name}(")));
        let name = FACTORIES.iter().find(is_factory)?;
        let class = |class: &str| text.contains(&format!("{class}("));
        let (_, framework, interface) = CLASSES.iter().find(|(name, _, _)| class(name))?;
        let target = Target { place: format!("{module}:{name}"), is_factory: true };
        Some(App { framework, interface: *interface, target })
    })
}

/// The name that a line at the outermost level gives to a new object of `class`.
fn assigned<'l>(line: &'l str, class: &str) -> Option<&'l str> {
    let (left, right) = line.split_once('=')?;
    let name = left.split(':').next().unwrap_or(left).trim_end();
    let callee = right.trim_start().split_once('(')?.0;
    let is_class = callee == class || callee.ends_with(&format!(".{class}"));
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_class && is_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_an_assignment_at_the_outermost_level() {
        assert_eq!(assigned("app = Flask(__name__)", "Flask"), Some("app"));
        assert_eq!(assigned("api: FastAPI = fastapi.FastAPI(title='x')", "FastAPI"), Some("api"));
        assert_eq!(assigned("    app = Flask(__name__)", "Flask"), None);
        assert_eq!(assigned("app = MyFlask(__name__)", "Flask"), None);
        assert_eq!(assigned("app == Flask(1)", "Flask"), None);
    }

    #[test]
    fn a_factory_is_called() {
        let app =
            app_in("shop/__init__.py", "def create_app():\n    app = Flask(__name__)\n").expect("a factory");
        assert_eq!(app.target, Target { place: "shop:create_app".into(), is_factory: true });
    }
}
