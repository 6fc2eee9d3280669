//! The order of choice, what the tree may ask for, and the hints.

use crate::testing;

#[test]
fn every_fixture_is_planned_as_its_snapshot_says() {
    testing::check("fixtures");
}

#[test]
fn buildpacks_of_others_for_the_same_language_are_understood() {
    assert_eq!(crate::buildpack_of("heroku/procfile"), Some("shell"));
    assert_eq!(crate::buildpack_of("https://github.com/heroku/heroku-buildpack-shell.git#v1"), Some("shell"));
    assert_eq!(crate::buildpack_of("heroku/cobol"), None);
}
