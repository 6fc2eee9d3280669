//! Which Rust: the toolchain file, or `rust-version` of Cargo.toml.

use serde::Deserialize;

use super::manifest::Manifest;
use crate::error::DetectError;
use crate::languages::{App, Asked, Runtime};
use crate::version::{Chosen, Tilde};

const RUST: Runtime = Runtime {
    name: "Rust",
    image: "rust",
    tag: "{}",
    official: &[
        "1.70", "1.71", "1.72", "1.73", "1.74", "1.75", "1.76", "1.77", "1.78", "1.79", "1.80", "1.81",
        "1.82", "1.83", "1.84", "1.85", "1.86", "1.87", "1.88", "1.89", "1.90", "1.91", "1.92", "1.93",
        "1.94", "1.95",
    ],
    default: "1.95",
};

/// A toolchain for the build.
#[derive(Debug)]
pub(crate) struct Toolchain {
    pub(crate) version: Chosen,
    /// The toolchain file, if the build has to fetch what it names: a nightly, or a version that there is no image of.
    pub(crate) fetched: Option<&'static str>,
}

#[derive(Deserialize)]
struct File {
    toolchain: Section,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Section {
    channel: Option<String>,
}

pub(crate) fn choose(app: &App<'_>, root: &Manifest) -> Result<Toolchain, DetectError> {
    let of_image = |version| Toolchain { version, fetched: None };
    if let Some((channel, file)) = channel(app)? {
        // `stable` is whatever is the newest.
        if channel == "stable" || channel.starts_with("stable-") {
            let version = app.version(&RUST, None)?;
            return Ok(of_image(Chosen { from: file.to_owned(), ..version }));
        }
        let asked = Asked::new(channel.as_str(), Tilde::Patch, file);
        let chosen = app.version(&RUST, Some(asked));
        return match chosen {
            Ok(version) => Ok(of_image(version)),
            Err(DetectError::Unsupported { .. } | DetectError::NoVersion { .. })
                if !app.bases.lists(RUST.image) =>
            {
                let version = Chosen { from: file.to_owned(), ..app.version(&RUST, None)? };
                Ok(Toolchain { version, fetched: Some(file) })
            }
            Err(DetectError::NoVersion { .. }) => Err(unsupported(app, channel, file)),
            Err(error) => Err(error),
        };
    }
    let oldest = root.rust_version();
    let oldest =
        oldest.map(|oldest| Asked::new(format!(">={oldest}"), Tilde::Patch, "Cargo.toml (rust-version)"));
    app.version(&RUST, oldest).map(of_image)
}

/// What the toolchain file asks for, and the file.
fn channel(app: &App<'_>) -> Result<Option<(String, &'static str)>, DetectError> {
    // Both names are read by rustup as TOML; the older one may hold a channel alone.
    let Some(file) = app.tree.first_of(&["rust-toolchain", "rust-toolchain.toml"]) else { return Ok(None) };
    let text = app.tree.text(file)?.unwrap_or_default();
    if file == "rust-toolchain" && !text.contains('[') {
        return Ok(Some((text.trim().to_owned(), file)).filter(|(channel, _)| !channel.is_empty()));
    }
    let parsed = app.tree.toml::<File>(file)?;
    Ok(parsed.and_then(|parsed| parsed.toolchain.channel).map(|channel| (channel, file)))
}

fn unsupported(app: &App<'_>, asked: String, file: &'static str) -> DetectError {
    let mut offered = app.bases.offered(RUST.image, RUST.tag, RUST.official);
    offered.sort();
    let offered = offered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    DetectError::Unsupported { runtime: RUST.name, asked, from: file.to_owned(), offered }
}
