//! The names that buildpacks go by elsewhere: ids, addresses and references to images.

use super::{ALL, Buildpack};

/// The buildpack that somebody means by a name, an id or an address.
pub(crate) fn buildpack(name: &str) -> Option<&'static Buildpack> {
    let name = short(name);
    ALL.iter().copied().find(|buildpack| buildpack.name == name || buildpack.aliases.contains(&name.as_str()))
}

/// `python` of `heroku/python@1.2`, of `https://github.com/heroku/heroku-buildpack-python.git#v1` and of their like.
pub(crate) fn short(name: &str) -> String {
    // A branch or a query may hold slashes, so they go before the last part is taken; what is before the last slash may hold
    // an @ or a colon, as in git@github.com:heroku/heroku-buildpack-ruby.git.
    let name = name.split(['#', '?']).next().unwrap_or(name).trim_end_matches('/');
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.split(['@', ':']).next().unwrap_or(name).to_ascii_lowercase();
    let name = [".git", ".tgz"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let beginnings = ["heroku-buildpack-", "buildpack-"];
    let name = beginnings.iter().find_map(|beginning| name.strip_prefix(beginning)).unwrap_or(name);
    name.strip_suffix("-buildpack").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_ids_and_addresses_end_in() {
        for name in [
            "ruby",
            "heroku/ruby",
            "heroku/ruby@2.1",
            "paketo-buildpacks/Ruby",
            "urn:cnb:registry:heroku/ruby@2.1",
            "docker://docker.io/heroku/buildpack-ruby:5.0.1",
            "https://github.com/heroku/heroku-buildpack-ruby",
            "https://github.com/heroku/heroku-buildpack-ruby.git#feature/x",
            "git@github.com:heroku/heroku-buildpack-ruby.git",
            "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/ruby.tgz",
            "https://github.com/cloudfoundry/ruby-buildpack/",
        ] {
            assert_eq!(short(name), "ruby", "{name}");
        }
    }
}
