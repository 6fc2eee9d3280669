//! Which Java: system.properties, .java-version, .sdkmanrc, .tool-versions, or what the build compiles for.

use super::{wrapper, xml};
use crate::error::DetectError;
use crate::languages::{App, Asked, Runtime};
use crate::version::{Chosen, Tilde};

const JAVA: Runtime = Runtime {
    name: "Java",
    image: "eclipse-temurin",
    tag: "{}-jre",
    official: &["8", "11", "17", "21", "25"],
    default: "21",
};

/// Keys of a pom that say which Java the code is for, the more telling ones first.
const IN_POM: [&str; 5] =
    ["maven.compiler.release", "java.version", "maven.compiler.target", "maven.compiler.source", "release"];

/// The series of the base images.
///
/// What a file names is taken. What the code is compiled for can be had from a newer Java, too, so where there is no image of
/// that one, the newest is taken.
pub(crate) fn choose(app: &App<'_>, is_maven: bool) -> Result<Chosen, DetectError> {
    if let Some((text, from)) = named(app)? {
        return app.version(&JAVA, Some(asked(&text, from)));
    }
    let (found, is_exact) = if is_maven { (of_pom(app)?, false) } else { of_gradle(app)? };
    let found = if is_maven || is_exact { found } else { fit_for_wrapper(app, found)? };
    let Some((text, from)) = found else { return app.version(&JAVA, None) };
    match app.version(&JAVA, Some(asked(&text, from.clone()))) {
        Err(DetectError::Unsupported { .. }) if !is_exact => {
            app.version(&JAVA, Some(asked(&format!(">={}", number(&text)), from)))
        }
        other => other,
    }
}

fn asked(text: &str, from: String) -> Asked {
    Asked::new(if text.starts_with('>') { text } else { number(text) }, Tilde::Patch, from)
}

/// `1.8` as `8`; of `21.0.2-tem`, `temurin-21.0.2` and `openjdk64-17.0.1` the number.
fn number(text: &str) -> &str {
    let is_version = |part: &&str| part.starts_with(|c: char| c.is_ascii_digit());
    let version = text.split('-').find(is_version).unwrap_or(text);
    version.strip_prefix("1.").unwrap_or(version)
}

/// A file that is there to name a Java.
fn named(app: &App<'_>) -> Result<Option<(String, String)>, DetectError> {
    if let Some(text) = property(app, "system.properties", "java.runtime.version")? {
        return Ok(Some((text, "system.properties (java.runtime.version)".to_owned())));
    }
    if let Some(line) = app.tree.first_line(".java-version")? {
        return Ok(Some((line, ".java-version".to_owned())));
    }
    if let Some(text) = property(app, ".sdkmanrc", "java")? {
        return Ok(Some((text, ".sdkmanrc (java)".to_owned())));
    }
    Ok(app.tree.tool_version(&["java"])?.map(|text| (text, ".tool-versions".to_owned())))
}

/// A value in a file of properties.
fn property(app: &App<'_>, path: &str, key: &str) -> Result<Option<String>, DetectError> {
    let text = app.tree.text(path)?.unwrap_or_default();
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned()))
}

fn of_pom(app: &App<'_>) -> Result<Option<(String, String)>, DetectError> {
    let text = xml::without_comments(&app.tree.text("pom.xml")?.unwrap_or_default());
    let value =
        |key: &str| xml::text_of(&text, key).filter(|value| value.starts_with(|c: char| c.is_ascii_digit()));
    let found = IN_POM.iter().find_map(|key| Some((*key, value(key)?)));
    Ok(found.map(|(key, value)| (value.to_owned(), format!("pom.xml ({key})"))))
}

type Found = Option<(String, String)>;

/// A toolchain has to be that one; a compatibility is the oldest that will do.
fn of_gradle(app: &App<'_>) -> Result<(Found, bool), DetectError> {
    // A toolchain may be said once for all modules: in the root, or in one of them.
    let files = app.tree.paths().filter(|path| path.ends_with(".gradle") || path.ends_with(".gradle.kts"));
    let mut compatible = None;
    for file in files.filter(|path| path.matches('/').count() < 3) {
        let text = app.tree.text(file)?.unwrap_or_default();
        if let Some(number) =
            ["JavaLanguageVersion.of(", "jvmToolchain("].iter().find_map(|call| after(&text, call))
        {
            return Ok((Some((number, format!("{file} (toolchain)"))), true));
        }
        let keys = ["sourceCompatibility", "targetCompatibility", "release.set(", "options.release"];
        let found =
            keys.iter().find_map(|key| after(&text, key).map(|number| (number, format!("{file} ({key})"))));
        compatible = compatible.or(found.map(|(number, from)| (number, from.replace(".set(", ""))));
    }
    Ok((compatible, false))
}

/// What the code is compiled for, unless the wrapper's Gradle only runs on newer Javas; without that the default, or the newest
/// that an older Gradle runs on.
fn fit_for_wrapper(app: &App<'_>, found: Found) -> Result<Found, DetectError> {
    let Some((gradle, javas)) = wrapper::javas(app.tree)? else { return Ok(found) };
    let text = found.as_ref().map_or(JAVA.default, |(text, _)| number(text));
    let Some(java) = text.split('.').next().and_then(|java| java.parse::<u64>().ok()) else {
        return Ok(found);
    };
    let fit =
        if found.is_some() { java.max(*javas.start()) } else { java.clamp(*javas.start(), *javas.end()) };
    let from = || format!("{} (Gradle {gradle} does not run on {java})", wrapper::PROPERTIES);
    Ok(if fit == java { found } else { Some((fit.to_string(), from())) })
}

/// The number that follows a word: after `=`, quotes, or `JavaVersion.VERSION_`.
fn after(text: &str, word: &str) -> Option<String> {
    let (_, rest) = text.split_once(word)?;
    let rest = rest.trim_start_matches([' ', '=', '(', '"', '\'']);
    let rest = rest.strip_prefix("JavaVersion.VERSION_").unwrap_or(rest).replace('_', ".");
    let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    (!number.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_javas_many_writings() {
        for (text, wanted) in [
            ("1.8", "8"),
            ("21.0.2-tem", "21.0.2"),
            ("temurin-17", "17"),
            ("openjdk64-11.0.1", "11.0.1"),
            ("21", "21"),
        ] {
            assert_eq!(number(text), wanted);
        }
    }

    #[test]
    fn numbers_in_build_files() {
        assert_eq!(
            after("languageVersion = JavaLanguageVersion.of(21)", "JavaLanguageVersion.of(").as_deref(),
            Some("21")
        );
        assert_eq!(
            after("sourceCompatibility = JavaVersion.VERSION_1_8\n", "sourceCompatibility").as_deref(),
            Some("1.8")
        );
        assert_eq!(after("sourceCompatibility = '17'", "sourceCompatibility").as_deref(), Some("17"));
        assert_eq!(after("jvmToolchain(versions.java)", "jvmToolchain("), None);
    }
}
