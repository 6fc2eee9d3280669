//! Which Go: `toolchain` and `go` of go.mod or go.work.

use super::modules::Modules;
use crate::error::DetectError;
use crate::languages::{App, Asked, Runtime};
use crate::version::{Chosen, Tilde};

const GO: Runtime = Runtime {
    name: "Go",
    image: "golang",
    tag: "{}",
    official: &["1.21", "1.22", "1.23", "1.24", "1.25", "1.26", "1.27"],
    default: "1.27",
};

/// The series of the base image.
///
/// `toolchain` names one; `go` is the oldest that will do, and Go builds what was written for an older one as that one did, so
/// the newest is taken. A newer one than there is an image of is fetched by the go command itself, as a module.
pub(crate) fn choose(app: &App<'_>, modules: &Modules) -> Result<(Chosen, Option<String>), DetectError> {
    let (file, root) = (modules.root_name, &modules.root);
    let asked = |text: String, key: &str| Asked::new(text, Tilde::Patch, format!("{file} ({key})"));
    let of_toolchain = |text: &str| text.strip_prefix("go").map(|version| format!("~{version}"));
    let toolchain = root.toolchain.as_deref().and_then(of_toolchain).map(|text| asked(text, "toolchain"));
    let heroku = root.heroku_version.as_deref().and_then(of_toolchain).map(|text| asked(text, "goVersion"));
    for named in [heroku, toolchain].into_iter().flatten() {
        match app.version(&GO, Some(named)) {
            Err(DetectError::Unsupported { .. }) => {}
            other => return other.map(|chosen| (chosen, None)),
        }
    }
    let Some(oldest) = root.go.as_deref() else { return Ok((app.version(&GO, None)?, None)) };
    match app.version(&GO, Some(asked(format!(">={oldest}"), "go"))) {
        Err(DetectError::Unsupported { .. }) => {
            let note = format!(
                "{file} asks for Go {oldest}, and there is no base image of it here: the build downloads it, as a module"
            );
            let series = app.version(&GO, None)?.series;
            Ok((Chosen { series, from: format!("{file} (go)") }, Some(note)))
        }
        other => other.map(|chosen| (chosen, None)),
    }
}
