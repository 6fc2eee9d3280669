//! The Gradle of a tree's wrapper, which does not run on every Java.

use std::ops::RangeInclusive;

use crate::source::{Tree, Unreadable};

pub(super) const JAR: &str = "gradle/wrapper/gradle-wrapper.jar";
pub(super) const PROPERTIES: &str = "gradle/wrapper/gradle-wrapper.properties";

/// From which version on Gradle runs on which Java at most, the newest first.
const NEWEST: [(&[u64], u64); 5] = [(&[9, 1], 25), (&[8, 5], 21), (&[7, 3], 17), (&[5], 11), (&[], 8)];

/// The version of the wrapper's Gradle, and the Javas with long-term support that it runs on.
pub(super) fn javas(tree: &Tree<'_>) -> Result<Option<(String, RangeInclusive<u64>)>, Unreadable> {
    let text = tree.text(PROPERTIES)?.unwrap_or_default();
    let line = text.lines().find(|line| line.trim_start().starts_with("distributionUrl"));
    let version = line.and_then(|line| line.rsplit_once("gradle-")?.1.split('-').next());
    Ok(version.and_then(|version| Some((version.to_owned(), range(version)?))))
}

fn range(version: &str) -> Option<RangeInclusive<u64>> {
    let numbers: Option<Vec<u64>> = version.split('.').take(2).map(|part| part.parse().ok()).collect();
    let numbers = numbers?;
    let (_, newest) = NEWEST.iter().find(|(from, _)| numbers.as_slice() >= *from)?;
    let oldest = if numbers.first() >= Some(&9) { 17 } else { 8 };
    Some(oldest..=*newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gradle_runs_on_its_javas() {
        for (gradle, javas) in
            [("9.2.0", 17..=25), ("8.14", 8..=21), ("8.4", 8..=17), ("7.2", 8..=11), ("4.10.3", 8..=8)]
        {
            assert_eq!(range(gradle), Some(javas), "{gradle}");
        }
        assert_eq!(range("nightly"), None);
    }
}
