//! Signing in at the web page by a real OpenID Connect provider, in a real browser.

use std::sync::Arc;

use slipway_tests::{Browser, Platform, Provider};

/// Presses the button, and signs in at the provider as `login`.
fn by_provider<'a>(browser: &'a Browser, login: &str) -> &'a Browser {
    browser.open("/ui/sign-in?next=/ui/account").press("Sign in with Example");
    browser.fill("input[name=login]", login).fill("input[name=password]", "whatever").click("[type=submit]");
    // The provider asks whether we may know.
    browser.click("[type=submit]")
}

fn start() -> Option<(Arc<Platform>, Provider)> {
    Provider::beside(Platform::with("SLIPWAY_OIDC_DOMAINS", "example.com"))
}

#[test]
fn people_sign_in_by_the_provider_that_the_settings_name() {
    let Some((platform, provider)) = start() else { return };
    platform.person("ada", "owner");
    provider.says_of("a-1", "countess@elsewhere.example", true);
    let Some(browser) = Browser::start(&platform) else { return };
    browser.open("/ui/sign-in").is_accessible("sign-in-provider");

    // Nobody has this address yet.
    by_provider(&browser, "a-1").shows("There is no account here for your e-mail address");
    browser.is_accessible("sign-in-refused");
    let words = ["users:update", "ada", "--email", "Countess@Elsewhere.example"];
    platform.admin().verb(&words).ok().says("ada is a member and signs in by countess@elsewhere.example");
    // The provider still knows who is there.
    browser.press("Sign in with Example");
    assert_eq!(browser.path(), "/ui/apps", "{}", browser.text());
    browser.open("/ui/account").shows("ada");

    // Another address changes nothing for her, and gives nothing to who has it next.
    provider.says_of("a-1", "lovelace@elsewhere.example", true);
    provider.says_of("a-2", "countess@elsewhere.example", true);
    browser.click(".out button").press("Sign in with Example");
    browser.open("/ui/account").shows("ada");
    let Some(other) = Browser::start(&platform) else { return };
    by_provider(&other, "a-2").shows("belongs to another account at the provider");

    // Somebody of the company gets an account, unless the provider does not vouch for the address.
    provider.says_of("b-1", "bob@example.com", false);
    let Some(fresh) = Browser::start(&platform) else { return };
    by_provider(&fresh, "b-1").shows("does not say that your e-mail address is really yours");
    provider.says_of("b-1", "bob@example.com", true);
    fresh.press("Sign in with Example");
    assert_eq!(fresh.path(), "/ui/apps", "{}", fresh.text());
    fresh.open("/ui/account").shows("bob@example.com").shows("default");
    platform.admin().verb(&["access", "--team", "default"]).ok().says("bob@example.com  viewer");

    // What was done stands in the activity.
    let deeds = platform.sql(
        "SELECT string_agg(action || ' ' || actor_name, ',' ORDER BY at) FROM audit
                              WHERE action ~ '^(identities|sessions:refuse)'",
    );
    assert_eq!(
        deeds,
        "sessions:refuse countess@elsewhere.example,identities:link ada,sessions:refuse countess@elsewhere.example,\
         sessions:refuse bob@example.com,identities:link bob@example.com"
    );
}

#[test]
fn an_answer_that_was_forged_or_used_is_refused_and_the_link_of_an_admin_works_without_the_provider() {
    let Some((platform, provider)) = start() else { return };
    provider.says_of("b-1", "bob@example.com", true);
    let Some(browser) = Browser::start(&platform) else { return };
    let stale = "belongs to no sign-in that was begun in this browser";
    browser.open("/ui/sign-in/callback?code=forged&state=forged").shows(stale);
    assert!(by_provider(&browser, "b-1").path().starts_with("/ui/account"), "{}", browser.text());

    // Somebody else has begun, and has the browser of a person who is known at the provider bring the answer.
    let begun = platform.open("/ui/sign-in/openid", &[]);
    let to = begun.head.lines().find_map(|line| line.strip_prefix("location: ")).expect("where it leads");
    browser.click(".out button").open(to.trim()).shows(stale);
    assert!(browser.open("/ui/account").path().starts_with("/ui/sign-in?next="));

    drop(provider);
    platform.server().restart();
    browser.press("Sign in with Example").shows("does not answer as it should");
    browser.open(&platform.sign_in_link("root")).press("Sign in").shows("You are signed in");
}

#[test]
fn admins_manage_people_and_owners_their_teams() {
    let Some(platform) = Platform::shared() else { return };
    let Some(browser) = Browser::start(&platform) else { return };
    browser.open(&platform.sign_in_link("root")).press("Sign in").shows("You are signed in");
    browser.open("/ui/people").is_accessible("people");
    browser.fill("#name", "dora").fill("#email", "dora@example.com").press("Make the account");
    browser.shows("The account of dora is made");
    let link = browser.script("return document.getElementById('fresh').value");
    let link = link.as_str().expect("a link").to_owned();
    let Some(dora) = Browser::start(&platform) else { return };
    dora.open(&link).press("Sign in").shows("You are signed in");
    dora.open("/ui/teams").shows("default").shows_not("Make the team");
    browser.open("/ui/people").press("dora").is_accessible("person");
    browser.press("Make a link").shows("it is not shown again");
    browser.open("/ui/teams").is_accessible("teams").fill("#name", "crew").press("Make the team");
    browser.fill("#user", "dora").press("Set the role").shows("dora").is_accessible("team");
    browser.press("Take out dora").shows_not("dora");
    browser.open("/ui/people/dora").press("Remove dora").shows("Remove dora?").press("Remove dora");
    browser.shows("They are removed").shows_not("dora");
    assert!(dora.open("/ui/account").path().starts_with("/ui/sign-in?next="));
    platform.admin().verb(&["users:update", "root", "--admin", "false"]).refused("root is the only admin");
}

#[test]
fn collaborators_push_to_their_app_only() {
    let Some(platform) = Platform::shared() else { return };
    platform.admin().verb(&["teams:create", "guests"]).ok();
    let guest = platform.person_in("guests", "gus", "viewer");
    let (blog, shop) =
        (platform.app("guestbook").answering("good"), platform.app("closed").answering("closed"));
    guest.verb(&["apps"]).ok().says_not("guestbook");
    let Some(browser) = Browser::start(&platform) else { return };
    browser.open(&platform.sign_in_link("root")).press("Sign in").shows("You are signed in");
    browser.open("/ui/apps/guestbook/access").is_accessible("access");
    browser.fill("#user", "gus").script("document.getElementById('role').value = 'deployer'");
    browser.press("Set the role").shows("gus").shows("deployer");
    guest.verb(&["apps"]).ok().says("guestbook").says_not("closed");
    guest.verb(&["config:set", "A=b", "--app", "guestbook"]).ok();
    guest.verb(&["config:set", "A=b", "--app", "closed"]).refused("no such app");
    guest.verb(&["access:add", "gus", "--role", "owner", "--app", "guestbook"]).refused("you are a deployer");
    platform.admin().verb(&["access:update", "gus", "--role", "viewer", "--app", "guestbook"]).ok();
    guest.verb(&["config:set", "A=c", "--app", "guestbook"]).refused("you are a viewer");
    platform.admin().verb(&["access:remove", "gus", "--app", "guestbook"]).ok();
    guest.verb(&["releases", "--app", "guestbook"]).refused("no such app");
    drop((blog, shop));
}
