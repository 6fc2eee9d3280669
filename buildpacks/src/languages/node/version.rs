//! Which Node.js: .nvmrc, .node-version, package.json, .tool-versions, in this order.

use super::package::Package;
use crate::error::DetectError;
use crate::languages::{App, Asked, Runtime};
use crate::version::{Chosen, Tilde};

pub(super) const NODE: Runtime = Runtime {
    name: "Node.js",
    image: "node",
    tag: "{}-slim",
    official: &["18", "20", "22", "24", "26"],
    default: "24",
};

/// Series with long-term support and the names they go by.
const LTS: [(&str, &str); 8] = [
    ("lithium", "26"),
    ("krypton", "24"),
    ("jod", "22"),
    ("iron", "20"),
    ("hydrogen", "18"),
    ("gallium", "16"),
    ("fermium", "14"),
    ("erbium", "12"),
];

pub(super) fn of(app: &App<'_>, package: &Package) -> Result<Chosen, DetectError> {
    app.version(&NODE, asked(app, package)?)
}

fn asked(app: &App<'_>, package: &Package) -> Result<Option<Asked>, DetectError> {
    for file in [".nvmrc", ".node-version"] {
        if let Some(line) = app.tree.first_line(file)? {
            return Ok(Some(written(&line, file)));
        }
    }
    let keys: [(&[&str], &str); 2] = [
        (&["engines", "node"], "package.json (engines.node)"),
        (&["volta", "node"], "package.json (volta.node)"),
    ];
    let found = keys.into_iter().find_map(|(keys, from)| package.text(keys).map(|text| written(text, from)));
    if found.is_some() {
        return Ok(found);
    }
    let tool = app.tree.tool_version(&["nodejs", "node"])?;
    Ok(tool.map(|version| written(&version, ".tool-versions")))
}

fn written(text: &str, from: &str) -> Asked {
    Asked::new(range(text), Tilde::Patch, from)
}

/// nvm's names as ranges. A range that is open above would end at a series without long-term support on some day; those
/// are not on offer.
fn range(text: &str) -> String {
    let name = text.split('#').next().unwrap_or(text).trim().to_ascii_lowercase();
    let series_of =
        |name: &str| LTS.iter().find(|(lts, _)| *lts == name).map(|(_, series)| (*series).to_owned());
    match name.strip_prefix("lts/").or(name.strip_prefix("lts-")) {
        Some("*" | "latest") => LTS.map(|(_, series)| series).join(" || "),
        Some(lts) => series_of(lts).unwrap_or(name),
        None if matches!(name.as_str(), "node" | "stable" | "latest" | "current") => "*".to_owned(),
        None if name == "lts" => range("lts/*"),
        None => series_of(&name).unwrap_or(name),
    }
}
