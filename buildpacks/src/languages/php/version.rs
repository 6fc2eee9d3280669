//! Which PHP an app gets.

use crate::error::DetectError;
use crate::languages::php::composer::Composer;
use crate::languages::{App, Asked, Runtime};
use crate::version::{Chosen, Tilde};

const PHP: Runtime = Runtime {
    name: "PHP",
    image: "php",
    tag: "{}-apache",
    official: &["8.1", "8.2", "8.3", "8.4", "8.5"],
    default: "8.4",
};

pub(super) fn choose(app: &App<'_>, composer: &Composer) -> Result<Chosen, DetectError> {
    let of_file = app.tree.first_line(".php-version")?.map(|line| (line, ".php-version"));
    let of_manifest = || Some((composer.required("php")?, "require.php of composer.json"));
    let of_lock = || Some((composer.locked_platform("php")?, "platform.php of composer.lock"));
    let of_tools = app.tree.tool_version(&["php"])?.map(|version| (version, ".tool-versions"));
    let asked = of_file.or_else(of_manifest).or_else(of_lock).or(of_tools);
    let asked = asked.map(|(text, from)| Asked::new(text, Tilde::LastGiven, from));
    app.steady_version(&PHP, asked)
}
