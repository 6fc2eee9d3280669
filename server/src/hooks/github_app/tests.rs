//! Where no host is needed; the stories ask a pretended one.

use super::*;
use crate::config::tests::serve;
use crate::domain::github_app::tests::openssl;

fn hooks(flags: &[&str]) -> HookSettings {
    serve(&[&["--github-app-id=1"], flags].concat()).hooks
}

fn place(settings: &HookSettings, url: &str) -> Result<Place, AppError> {
    Place::of(&settings.github_app, Provider::Github, &Address::parse(url).expect("an address"))
}

#[test]
fn a_repository_is_an_owner_and_a_name_at_the_host_of_the_app() {
    let settings = hooks(&[]);
    for url in ["https://github.com/ada/blog", "https://GitHub.com/ada/blog.git/"] {
        assert_eq!(place(&settings, url).expect(url).repository(), "ada/blog");
    }
    for (url, words) in [
        ("https://github.com/ada", "https://host/owner/repository"),
        ("https://github.com/ada/blog/x", "https://host/owner/repository"),
        ("https://github.com/ada/a%2Fb", "https://host/owner/repository"),
        ("git@github.com:ada/blog.git", "over https alone"),
        ("https://github.example.com/ada/blog", "is an App at github.com"),
        ("https://github.com:8443/ada/blog", "is an App at github.com"),
    ] {
        let error = place(&settings, url).expect_err(url).to_string();
        assert!(error.contains(words), "{url}: {error}");
    }
    let own = hooks(&["--github-app-host=git.example.com:8443"]);
    assert!(place(&own, "https://git.example.com:8443/ada/blog").is_ok());
    let address = Address::parse("https://github.com/ada/blog").expect("an address");
    let other = Place::of(&settings.github_app, Provider::Gitea, &address).expect_err("Gitea");
    assert!(other.to_string().contains("--provider github"), "{other}");
    let unset = Place::of(&serve(&[]).hooks.github_app, Provider::Github, &address).expect_err("no App");
    assert!(unset.to_string().contains("SLIPWAY_GITHUB_APP_ID"), "{unset}");
}

#[tokio::test]
async fn nothing_is_signed_for_another_host_than_that_of_the_app() {
    let settings = hooks(&["--github-app-host=git.example.com"]);
    let there = place(&settings, "https://git.example.com/ada/blog").expect("a place");
    // An admin has named another host since the app was connected. Had the key been read, it would be missed first.
    let moved = hooks(&["--github-app-key=/nowhere/app.pem"]);
    let error = GithubApp::default().token(&moved, &there).await.expect_err("elsewhere");
    assert!(matches!(error, AppError::Elsewhere { .. }), "{error}");
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_an_admins_to_look_after_and_shows_nothing_of_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.pem");
    let settings = hooks(&[&format!("--github-app-key={}", path.display())]);
    let there = place(&settings, "https://github.com/ada/blog").expect("a place");
    let app = GithubApp::default();
    for content in [None, Some(b"hush".to_vec()), Some(openssl(&["genpkey", "-algorithm", "ED25519"]))] {
        if let Some(content) = &content {
            std::fs::write(&path, content).expect("writes");
        }
        let error = app.token(&settings, &there).await.expect_err("no key").to_string();
        assert!(error.ends_with("an admin looks after SLIPWAY_GITHUB_APP_KEY"), "{error}");
        assert!(!error.contains("hush") && !error.contains("app.pem"), "{error}");
    }
}
