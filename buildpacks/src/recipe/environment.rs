//! ENV: with references (`$PATH`) in what we write ourselves, to the letter in what a tree sets for its build.

use std::collections::BTreeMap;

use crate::error::DetectError;

/// Whether a Dockerfile can hold what a tree sets.
///
/// # Errors
/// A value has several lines, or a variable is one that the build itself lives by.
pub(crate) fn check(environment: &BTreeMap<String, String>) -> Result<(), DetectError> {
    for (name, value) in environment {
        if name == "PATH" {
            return Err(DetectError::PathOfBuild);
        }
        // An instruction ends with its line, and there is no escape for what is not printed.
        if value.contains(|c: char| c.is_control() && c != '\t') {
            return Err(DetectError::UnwritableValue { name: name.clone() });
        }
    }
    Ok(())
}

/// `$NAME` in a value stays a reference.
pub(super) fn with_references(pairs: &[(String, String)]) -> String {
    instruction(pairs.iter().map(|(name, value)| format!("{name}={}", quoted(value, &['\\', '"']))))
}

/// Every value is what it is.
pub(super) fn literal(pairs: &BTreeMap<String, String>) -> String {
    instruction(pairs.iter().map(|(name, value)| format!("{name}={}", quoted(value, &['\\', '"', '$']))))
}

fn instruction(pairs: impl Iterator<Item = String>) -> String {
    format!("ENV {}", pairs.collect::<Vec<_>>().join(" \\\n    "))
}

fn quoted(value: &str, special: &[char]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/:._-+,@%$={}".contains(c);
    if !value.is_empty() && value.chars().all(|c| is_plain(c) && !special.contains(&c)) {
        return value.to_owned();
    }
    let escaped: String =
        value.chars().flat_map(|c| special.contains(&c).then_some('\\').into_iter().chain([c])).collect();
    format!("\"{escaped}\"")
}
