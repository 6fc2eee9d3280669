//! Secrets in build output, masked before anybody sees or stores them.
//!
//! It works on whole lines (the sanitiser made them), so a secret that a program wrote in two chunks is still found.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

/// What stands in a secret's place.
const MASK: &str = "********";
/// Shorter values are left alone: masking `1` or `true` would eat the log and give the value away.
const SHORTEST: usize = 6;

/// A searcher for a set of secrets.
pub(crate) struct Mask {
    needles: Option<AhoCorasick>,
}

impl Mask {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut needles: Vec<String> = Vec::new();
        for secret in secrets {
            let value = secret.expose_secret();
            // The log is searched line by line, so a key of many lines is many needles.
            needles.extend(value.lines().map(|line| line.trim().to_owned()));
            needles.extend([
                STANDARD.encode(value),
                STANDARD_NO_PAD.encode(value),
                URL_SAFE_NO_PAD.encode(value),
            ]);
        }
        needles.retain(|needle| needle.len() >= SHORTEST);
        needles.sort_unstable();
        needles.dedup();
        // Leftmost-longest, so that a secret that begins with another one is masked whole.
        let needles = (!needles.is_empty())
            .then(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&needles).ok())
            .flatten();
        Self { needles }
    }

    pub(crate) fn apply(&self, text: String) -> String {
        let Some(needles) = &self.needles else { return text };
        if !needles.is_match(&text) {
            return text;
        }
        let mut masked = String::with_capacity(text.len());
        needles.replace_all_with(&text, &mut masked, |_, _, into| {
            into.push_str(MASK);
            true
        });
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[&str], text: &str) -> String {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        Mask::new(&secrets).apply(text.to_owned())
    }

    #[test]
    fn a_secret_is_masked_as_it_is_and_as_base64() {
        let encoded = STANDARD.encode("hunter2-hunter2");
        let text = format!("a hunter2-hunter2 b {encoded} c");
        assert_eq!(mask(&["hunter2-hunter2"], &text), "a ******** b ******** c");
    }

    #[test]
    fn short_values_are_left_alone() {
        assert_eq!(mask(&["1", "true"], "retries: 1, fast: true"), "retries: 1, fast: true");
    }

    #[test]
    fn each_line_of_a_long_secret_is_masked() {
        assert_eq!(mask(&["first-line\nsecond-line"], "x second-line\nfirst-line"), "x ********\n********");
    }

    #[test]
    fn the_longer_of_two_secrets_wins() {
        assert_eq!(mask(&["secret", "secret-and-more"], "secret-and-more"), "********");
    }
}
