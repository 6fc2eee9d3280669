//! Where a host shows people what is in a repository.

use url::Url;

use super::address::{Address, Scheme};
use crate::domain::hook::Provider;

/// The page of a commit; `None` where nobody knows how the host forms it. Of a repository that is reached over SSH it
/// is at the host's usual place for HTTPS.
pub(crate) fn commit_page(provider: Provider, repository: &str, commit: &str) -> Option<String> {
    let middle = match provider {
        Provider::Gitlab => "/-/commit/",
        Provider::Github | Provider::Gitea | Provider::Forgejo => "/commit/",
        Provider::Generic => return None,
    };
    let address = Address::parse(repository).ok()?;
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host };
    let mut page = Url::parse(&format!("https://{host}/")).ok()?;
    if address.scheme == Scheme::Https {
        page.set_port(Some(address.port)).ok()?;
    }
    let path = address.path.strip_suffix(".git").unwrap_or(&address.path);
    page.set_path(&format!("{path}{middle}{commit}"));
    Some(page.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_forms_the_page_of_a_commit_in_its_own_way() {
        for (provider, repository, expected) in [
            (Provider::Github, "git@github.com:ada/blog.git", "https://github.com/ada/blog/commit/1a2b"),
            (Provider::Github, "https://github.com/ada/blog", "https://github.com/ada/blog/commit/1a2b"),
            (Provider::Gitlab, "https://gitlab.com/a/b/c.git", "https://gitlab.com/a/b/c/-/commit/1a2b"),
            (Provider::Gitea, "ssh://git@[::1]:2222/ada/blog.git", "https://[::1]/ada/blog/commit/1a2b"),
            (Provider::Forgejo, "https://git.example:3000/ada/a?b", ""),
            (
                Provider::Forgejo,
                "https://git.example:3000/ada/b",
                "https://git.example:3000/ada/b/commit/1a2b",
            ),
            (Provider::Forgejo, "git@git.example:ada/a?b#c", "https://git.example/ada/a%3Fb%23c/commit/1a2b"),
            (Provider::Generic, "https://git.example/ada/blog", ""),
        ] {
            let page = commit_page(provider, repository, "1a2b").unwrap_or_default();
            assert_eq!(page, expected, "{provider:?} {repository}");
        }
    }
}
