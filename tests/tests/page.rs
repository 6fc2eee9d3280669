//! The web page in a real browser.

use std::sync::Arc;

use slipway_tests::{Browser, Door, LONG, Platform, SHORT, Theme, until};

/// Signed in by a link, as an admin of the story's own.
fn signed_in(platform: &Arc<Platform>, name: &str) -> Option<Browser> {
    let browser = Browser::start(platform)?;
    browser.open(&platform.sign_in_link(name)).press("Sign in");
    browser.shows("You are signed in");
    Some(browser)
}

const HOSTILE: &str = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1> \"'&amp;";

#[test]
fn every_page_is_free_of_barriers_and_hostile_text_stays_text() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("shown").answering("hello");
    app.write(
        "Dockerfile",
        &format!(
            "{}RUN printf '\\033[1;31mred\\033[0m \\033]0;title\\007%s\\n' '{}'\n",
            "FROM slipway/base\nCOPY . /app\nWORKDIR /app\nCMD [\"python3\", \"-u\", \"server.py\"]\n",
            "<script>window.pwned=1</script><a href=javascript:alert(1)>click</a>"
        ),
    );
    app.commit(HOSTILE);
    app.push(Door::Ssh).ok();
    app.verb(&["config:set", "GREETING=not-to-be-seen"]).ok();
    app.step("RUN exit 3");
    app.push(Door::Ssh).refused("build failed");

    let Some(browser) = Browser::start(&platform) else { return };
    browser.open("/ui/apps/shown").is_accessible("sign-in");
    browser.open(&platform.sign_in_link("ada")).press("Sign in");
    browser
        .fill("#password", "a few good words")
        .fill("#again", "a few good words")
        .press("Set the password");
    browser.shows("Your password is set");
    browser.click(".out button").open("/ui/apps/shown");
    browser.fill("#name", "ada").fill("#password", "not these words").press("Sign in");
    browser.shows("The name or the password is not right");
    browser.fill("#name", "ada").fill("#password", "a few good words").press("Sign in");
    assert_eq!(browser.path(), "/ui/apps/shown");

    for (name, path, words) in [
        ("apps", "/ui/apps", "build failed"),
        ("history", "/ui/apps/shown", "GREETING"),
        ("release", "/ui/apps/shown/releases/1", "what the image says"),
        ("compare", "/ui/apps/shown/compare", "Both run the same commit"),
        ("found", "/ui/apps/shown/builds/1?q=click", "2 lines with these words"),
        ("question", "/ui/apps/shown/releases/1/rollback", "Roll shown back to v1?"),
        ("builds", "/ui/apps/shown/builds", "released as v1"),
        ("build", "/ui/apps/shown/builds/1", "click"),
        ("build-failed", "/ui/apps/shown/builds/2", "Build again"),
        ("metrics", "/ui/apps/shown/metrics", "Deploys a day"),
        ("account", "/ui/account", "this one"),
        ("activity", "/ui/activity", "config:set"),
        ("storage", "/ui/system/storage", "Nothing would go"),
        ("system", "/ui/system", "PostgreSQL"),
        ("trouble", "/ui/apps/none-of-ours", "Not found"),
    ] {
        browser.open(path).shows(words).shows_not("not-to-be-seen").is_accessible(name);
        assert_eq!(browser.script("return window.pwned === undefined"), true, "{path}");
    }
    browser.open("/ui/apps/shown/builds/1").shows("<script>window.pwned=1</script>");
    let of_the_log = "document.querySelectorAll('#log a:not(.n), #log script, #log img').length";
    assert_eq!(browser.script(&format!("return {of_the_log}")), 0);
    assert!(browser.script("return document.querySelectorAll('#log .f1.b').length").as_u64() > Some(0));
}

#[test]
fn a_log_is_seen_live_while_a_push_builds_and_the_build_can_be_canceled() {
    let Some(platform) = Platform::shared() else { return };
    let Some(browser) = signed_in(&platform, "grace") else { return };
    let app = platform.app("live").answering("hello");
    app.step("RUN for n in $(seq 600); do echo \"tick <b>$n</b> of it\"; sleep 1; done");
    let mut push = app.start_push(Door::Ssh, &[]);
    push.until_says("tick <b>1</b> of it");
    browser.open("/ui/apps/live").click_path("//a[contains(., 'Builds')]").shows("building");
    browser.open("/ui/apps/live/builds/1").shows("Live: new lines appear");
    // What was not there when the page was loaded comes by itself, and is text.
    let ticks = || browser.text().matches("</b> of it").count();
    let loaded = ticks();
    until("more lines on the page", LONG, || ticks() > loaded + 1);
    assert_eq!(browser.script("return document.querySelectorAll('#log b').length"), 0);
    // A line that is linked stays marked while the log goes on, and one that is not there yet is marked when it comes.
    let marked =
        || browser.script("return [...document.querySelectorAll('.wanted')].map((line) => line.id).join()");
    browser.open("/ui/apps/live/builds/1#L3");
    until("the mark", SHORT, || marked() == "L3");
    let loaded = ticks();
    until("more lines below it", LONG, || ticks() > loaded && marked() == "L3");
    let last = browser
        .script("return document.querySelector('#log').lastElementChild.id")
        .as_str()
        .map(str::to_owned);
    let last: u32 = last.and_then(|id| id.trim_start_matches('L').parse().ok()).expect("a number");
    browser.open(&format!("/ui/apps/live/builds/1#L{}", last + 5));
    until("a later line", LONG, || marked() == format!("L{}", last + 5));
    browser.fill("#q", "TICK <b>1</b>").press("Search").shows("1 line with these words");
    browser.open("/ui/apps/live/builds/1").shows("Live: new lines appear");
    browser.looks(Theme::Dark, 1100, 700).keep_picture("readme-log");

    browser.press("Cancel").shows("Cancel build 1 of live?").press("Cancel build 1");
    browser.until_shows("canceled by grace").until_shows("Build again");
    push.end().refused("canceled");
}

#[test]
fn without_script_the_history_is_filtered_and_a_release_comes_back() {
    let Some(platform) = Platform::shared() else { return };
    let Some(browser) = signed_in(&platform, "lin") else { return };
    let app = platform.app("ebb").answering("good");
    app.push(Door::Ssh).ok();
    app.answer("bad");
    app.push(Door::Ssh).ok();
    browser.without_script().open("/ui/apps?q=eb").press("ebb").shows("current");
    browser.toggle("summary").fill("#text", "bad").press("Filter");
    let page = || browser.text();
    assert!(page().contains("v2") && !page().contains("v1"), "{}", page());
    browser.press("Clear").press("Roll back").shows("Roll ebb back to v1?").press("Roll back to v1");
    browser.shows("v3 is on its way");
    until("the old answer", SHORT, || app.answer_now() == "good");
    app.until_current(3);
    browser.open("/ui/apps/ebb").shows("rollback of v1").looks(Theme::Light, 1100, 520);
    browser.keep_picture("readme-history");
}

#[test]
fn two_releases_are_chosen_in_the_history_and_compared_without_script() {
    let Some(platform) = Platform::shared() else { return };
    let Some(browser) = signed_in(&platform, "joan") else { return };
    let app = platform.app("pair").answering("one");
    app.push(Door::Ssh).ok();
    app.verb(&["config:set", "COLOUR=not-to-be-seen"]).ok();
    app.write("Procfile", "web: python3 -u server.py\nclock: sleep 600\n");
    app.commit("Add a clock");
    app.push(Door::Ssh).ok();
    let digests = [1, 3].map(|version| app.release(version)["digest"].as_str().expect("a digest").to_owned());

    browser.without_script().open("/ui/apps/pair");
    browser.toggle("input[name=from][value=v1]").press("Compare").shows("From v1 to v3");
    for words in [
        "v3 has 1 commit more than v1.",
        "Add a clock",
        "COLOUR added",
        "clock added",
        "sleep 600",
        "MiB packed",
    ] {
        browser.shows(words);
    }
    browser.shows(&digests[0]).shows(&digests[1]).shows_not("not-to-be-seen");
    browser.press("The other way round").shows("v1 is older code: 1 commit of v3").shows("COLOUR removed");

    // What a forced push took back is told as such.
    app.git(&["reset", "-q", "--hard", "HEAD~1"]);
    app.write("other", "x");
    app.commit("Another way");
    app.push_with(Door::Ssh, &["--force", "main"]).ok();
    browser.open("/ui/apps/pair/compare?from=v3").shows("From v3 to v4").shows("The history was rewritten");
    browser.shows("Another way").shows("Add a clock");
}

#[test]
fn a_log_of_a_hundred_thousand_lines_is_followed_smoothly_searched_and_linked() {
    let Some(platform) = Platform::shared() else { return };
    let Some(browser) = signed_in(&platform, "hedy") else { return };
    let app = platform.app("long").answering("hello");
    // As fast as BuildKit lets a step write, which cuts what is above 100 KiB a second.
    app.step(
        "RUN sleep 5; for n in $(seq 0 24); do seq $((n * 4000 + 1)) $((n * 4000 + 4000)); sleep 0.3; done; sleep 600",
    );
    app.push_with(Door::Ssh, &["--push-option=detach", "main"]).ok();
    browser.open("/ui/apps/long/builds/1").until_shows("Live: new lines appear");
    // Frames are counted while the lines come: what holds the page up is seen as a long one.
    browser.script(
        "window.gaps = []; let last = performance.now();
         requestAnimationFrame(function next(now) { gaps.push(now - last); last = now; requestAnimationFrame(next); });",
    );
    let newest =
        || browser.script("return document.querySelector('#log').lastElementChild?.textContent ?? ''");
    until("the last line", LONG, || {
        newest().as_str().is_some_and(|line| line.trim_end().ends_with(" 100000"))
    });
    let seen = browser.script(
        "const sorted = gaps.sort((a, b) => a - b);
         return { frames: sorted.length, p99: sorted[Math.floor(sorted.length * 0.99)], longest: sorted.at(-1),
                  lines: document.querySelectorAll('#log .line').length }",
    );
    println!("100,000 lines while they were followed: {seen}");
    // How long a frame takes depends on what else the machine does; what the page has to draw does not.
    assert!(seen["lines"].as_u64() <= Some(2000), "{seen}");

    browser.fill("#q", " 54321").press("Search").shows("1 line with these words");
    browser.click("pre.log a").shows(" 54321");
    let marked = browser.script("return document.querySelector('.wanted').textContent");
    assert!(marked.as_str().is_some_and(|line| line.trim_end().ends_with(" 54321")), "{marked}");
    browser.open("/ui/apps/long/builds/1").press("Cancel").press("Cancel build 1");
    app.until_build(1, &["canceled"]);
}

#[test]
fn tokens_are_shown_once_and_revoked_and_sessions_are_ended() {
    let Some(platform) = Platform::shared() else { return };
    let Some(browser) = signed_in(&platform, "mary") else { return };
    browser.fill("#description", "of the story").press("Make a token");
    let token = browser.script("return document.getElementById('fresh').value");
    let token = token.as_str().expect("a token").to_owned();
    assert_eq!(platform.ask("GET", "/account", &token, None).status, 200);
    browser.open("/ui/account").shows("of the story");
    assert_eq!(browser.script("return document.getElementById('fresh')"), serde_json::Value::Null);
    browser.press("Revoke of the story").shows("The token is revoked");
    assert_eq!(platform.ask("GET", "/account", &token, None).status, 401);

    let Some(other) = signed_in(&platform, "mary") else { return };
    browser.open("/ui/account");
    let row = "//tr[.//button[contains(., 'End')] and not(.//*[contains(., 'this one')])]//button";
    browser.click_path(row).shows("The session has ended");
    assert!(other.open("/ui/account").path().starts_with("/ui/sign-in"));
}

#[test]
fn what_an_app_uses_and_answers_is_charted() {
    let Some(platform) = Platform::shared() else { return };
    let Some(browser) = signed_in(&platform, "annie") else { return };
    let app = platform.app("measured").answering("hello");
    app.push(Door::Ssh).ok();
    app.step("RUN exit 3");
    app.push(Door::Ssh).refused("build failed");
    let of = |title: &str| {
        let figure = format!(
            "[...document.querySelectorAll('figure')].find(one => one.innerText.includes('{title}'))"
        );
        let said = browser.script(&format!("return {figure}.querySelector('figcaption p').innerText"));
        said.as_str().unwrap_or_default().to_owned()
    };
    until("requests, memory and CPU on the charts", LONG, || {
        assert_eq!(app.answer_now(), "hello");
        browser.open("/ui/apps/measured/metrics");
        ["Requests", "Memory", "CPU", "Time of 95 %"].iter().all(|title| of(title).starts_with("Now "))
    });
    assert!(!of("Memory").starts_with("Now 0 MiB"), "{}", of("Memory"));
    let drawn = "return document.querySelectorAll('figure')[1].querySelector('.piece').getBoundingClientRect().height";
    assert!(
        browser.script(drawn).as_f64() > Some(100.0),
        "memory is as high as its most, which is what it is now"
    );
    assert_eq!(of("Deploys a day"), "2 in two weeks: 1 released, 1 failed");
    assert!(of("Time per stage").starts_with("The last took "));
    // What is seen by pointing is in the table too.
    browser.toggle(".chart:last-of-type summary");
    browser.shows("Build 1").looks(Theme::Light, 1100, 900).keep_picture("metrics");
    browser.open("/ui/apps/measured/metrics?span=14d").shows("Two weeks").is_accessible("metrics-14d");
}
