//! Which Ruby an app gets.

use crate::error::DetectError;
use crate::languages::ruby::Project;
use crate::languages::ruby::error::RubyError;
use crate::languages::{Asked, Runtime};
use crate::version::{Chosen, Series, Tilde};

const RUBY: Runtime = Runtime {
    name: "Ruby",
    image: "ruby",
    tag: "{}-slim",
    official: &["3.1", "3.2", "3.3", "3.4", "4.0"],
    default: "3.4",
};

/// The version, and the tag of the image.
pub(super) fn choose(project: &Project<'_>) -> Result<(Chosen, String), DetectError> {
    if let Some(engine) = &project.gemfile.engine {
        return Err(RubyError::OtherEngine { engine: engine.clone() }.into());
    }
    let (asked, is_enforced) = asked(project)?;
    let exact = asked.as_ref().filter(|_| is_enforced).and_then(|asked| exact(&asked.text));
    let mut chosen = project.app.steady_version(&RUBY, asked)?;
    // Bundler refuses any other patch than the one that Gemfile names. A list of images has no patches.
    let is_listed = project.app.bases.lists(RUBY.image);
    if let Some(exact) = exact.filter(|_| !is_listed) {
        chosen.series = exact;
    }
    let tag = chosen.series.to_string();
    Ok((chosen, tag))
}

/// What is asked for, and whether Bundler insists on it.
fn asked(project: &Project<'_>) -> Result<(Option<Asked>, bool), DetectError> {
    let asking =
        |text: &str, from: &str| Asked::new(text.trim().trim_start_matches("ruby-"), Tilde::LastGiven, from);
    let tree = project.app.tree;
    let gemfile = &project.gemfile;
    if let Some(file) = &gemfile.ruby_file
        && let Some(line) = tree.first_line(file)?
    {
        return Ok((Some(asking(line.trim_start_matches("ruby "), file)), true));
    }
    if let Some(text) = gemfile.ruby.as_deref().filter(|text| exact(text).is_some()) {
        return Ok((Some(asking(text, "Gemfile")), true));
    }
    if let Some(text) = &project.lock.ruby {
        return Ok((Some(asking(text, "RUBY VERSION of Gemfile.lock")), false));
    }
    if let Some(text) = &gemfile.ruby {
        return Ok((Some(asking(text, "Gemfile")), false));
    }
    if let Some(line) = tree.first_line(".ruby-version")? {
        return Ok((Some(asking(&line, ".ruby-version")), false));
    }
    let tool = tree.tool_version(&["ruby"])?;
    Ok((tool.map(|version| asking(&version, ".tool-versions")), false))
}

/// A version with its patch.
fn exact(text: &str) -> Option<Series> {
    let text = text.trim().trim_start_matches("ruby-").trim_start_matches(['=', ' ']);
    Series::parse(text).filter(|_| text.matches('.').count() == 2)
}
