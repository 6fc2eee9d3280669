//! What pages show, and how they show what others have written.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;

use super::{Browser, blog, location};
use crate::db::{apps, samples};
use crate::domain::access::Role;
use crate::target::usage::Usage;
use crate::web::testing::TestApi;
use crate::web::tests::insert_releases;

#[tokio::test]
async fn hostile_text_is_text_on_every_page() {
    let Some(api) = TestApi::new().await else { return };
    let root = api.admin("root").await;
    blog(&api, &root).await;
    let browser = Browser::of(&api, &root).await;
    for path in [
        "/ui/apps",
        "/ui/apps/blog",
        "/ui/apps/blog?text=<script>alert(9)</script>",
        "/ui/apps/blog/releases/1",
        "/ui/apps/blog/releases/2",
        "/ui/apps/blog/releases/1/rollback",
        "/ui/apps/blog/compare",
        "/ui/apps/blog/compare?from=<b>&to=v2",
        "/ui/apps/blog/builds/1?q=<script>",
        "/ui/apps/blog/builds",
        "/ui/apps/blog/builds/1",
        "/ui/apps/blog/metrics",
        "/ui/activity?actor=<b>",
        "/ui/apps/<b>",
    ] {
        let encoded = path.replace('<', "%3C").replace('>', "%3E");
        let answer = browser.get(&encoded).await;
        assert!(!answer.status.is_server_error(), "{path}: {}", answer.text);
        for hostile in ["<script>", "<img src=x", "<b>", "<i>"] {
            assert!(!answer.text.contains(hostile), "{hostile} on {path}: {}", answer.text);
        }
    }
    let build = browser.get("/ui/apps/blog/builds/1").await.text;
    assert!(build.contains("<span class=\"f1 b\">red</span>"), "{build}");
    assert!(!build.contains('\u{1b}'), "{build}");
    let history = browser.get("/ui/apps/blog").await.text;
    assert!(history.contains("+&#60;img src=x"), "config keys, never values: {history}");
}

#[tokio::test]
async fn the_history_is_filtered_and_comes_in_pages_by_key() {
    let Some(api) = TestApi::new().await else { return };
    let olga = api.member("olga", Role::Owner).await;
    api.call(&olga, Method::POST, "/apps", serde_json::json!({ "name": "blog" })).await;
    insert_releases(&api, &olga, 30).await;
    let browser = Browser::of(&api, &olga).await;
    let first = browser.get("/ui/apps/blog").await.text;
    assert!(first.contains(">v30<") && first.contains(">v6<") && !first.contains(">v5<"), "{first}");
    assert!(first.contains("/ui/apps/blog?below=6"), "{first}");
    let second = browser.get("/ui/apps/blog?below=6").await.text;
    assert!(
        second.contains(">v5<") && second.contains(">v1<") && !second.contains("value=\"v6\""),
        "{second}"
    );
    let failed = browser.get("/ui/apps/blog?status=failed").await.text;
    assert!(failed.contains(">v30<") && !failed.contains(">v29<"), "{failed}");
    let found = browser.get("/ui/apps/blog?text=ABC0007").await.text;
    assert!(found.contains(">v7<") && !found.contains("value=\"v8\""), "{found}");
    let pushed = browser.get("/ui/apps/blog?trigger=push").await.text;
    assert!(
        pushed.contains(">v29<") && pushed.contains("superseded by <a href=\"/ui/apps/blog/releases/29\">")
    );
    assert!(
        pushed.contains("<option selected>push</option>") && pushed.contains("trigger=push&#38;below=6"),
        "{pushed}"
    );
    for (nothing, status) in [
        ("trigger=config", 200),
        ("trigger=anything", 422),
        ("actor=nobody", 200),
        ("until=2020-01-01", 200),
        ("since=soon", 422),
    ] {
        let answer = browser.get(&format!("/ui/apps/blog?{nothing}")).await;
        assert_eq!(answer.status.as_u16(), status, "{nothing}");
        assert!(!answer.text.contains(">v7<"), "{nothing}");
    }
}

#[tokio::test]
async fn two_releases_are_compared_by_the_names_of_their_config_vars_and_their_commands() {
    let Some(api) = TestApi::new().await else { return };
    let vera = api.member("vera", Role::Viewer).await;
    let olga = api.member("olga", Role::Owner).await;
    blog(&api, &olga).await;
    let browser = Browser::of(&api, &vera).await;
    let usual = browser.get("/ui/apps/blog/compare").await.text;
    assert!(usual.contains("From v1 to v2") && usual.contains("Both run the same commit"), "{usual}");
    assert!(usual.contains("&#60;img src=x onerror=alert(1)&#62;</code> added"), "{usual}");
    assert!(usual.contains("&#60;i&#62;run&#60;/i&#62;") && usual.contains("removed"), "{usual}");
    let back = browser.get("/ui/apps/blog/compare?from=v2&to=v1").await.text;
    assert!(back.contains("onerror=alert(1)&#62;</code> removed"), "{back}");
    let none = browser.get("/ui/apps/blog/compare?from=v2&to=v9").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let history = browser.get("/ui/apps/blog").await.text;
    assert!(history.contains("name=\"from\" value=\"v1\"") && history.contains("name=\"to\" value=\"v2\""));
}

#[tokio::test]
async fn commits_are_linked_to_the_host_whose_repository_the_app_follows_and_stages_are_drawn() {
    let Some(api) = TestApi::new().await else { return };
    let olga = api.member("olga", Role::Owner).await;
    blog(&api, &olga).await;
    for statement in [
        "INSERT INTO connections (app_id, provider, url, branch, secret)
         SELECT id, 'gitlab', 'git@gitlab.com:olga/blog.git', 'main', 'x' FROM apps",
        "INSERT INTO build_stages (build_id, stage, started_at, finished_at)
         SELECT id, 'build', now() - interval '4 s', now() - interval '1 s' FROM builds",
        "INSERT INTO build_stages (build_id, stage, started_at) SELECT id, 'deploy', now() FROM builds",
    ] {
        sqlx::query(statement).execute(&api.platform.pool).await.expect(statement);
    }
    let browser = Browser::of(&api, &olga).await;
    let history = browser.get("/ui/apps/blog").await.text;
    let page = format!("https://gitlab.com/olga/blog/-/commit/{}", "a".repeat(40));
    assert!(history.contains(&format!("<a href=\"{page}\"")), "{history}");
    assert!(
        history.contains("aria-label=\"build 3.0 s\"") && history.contains("class=\"build\""),
        "{history}"
    );
    assert!(browser.get("/ui/apps/blog/releases/1").await.text.contains(&page));
}

#[tokio::test]
async fn lines_of_a_log_have_numbers_that_are_linked_and_words_are_found_on_the_server() {
    let Some(api) = TestApi::new().await else { return };
    let olga = api.member("olga", Role::Owner).await;
    blog(&api, &olga).await;
    // Chunks that end in the midst of a line and beyond ASCII, 30,002 lines in all.
    sqlx::query(
        "INSERT INTO build_log (build_id, start_offset, text)
         SELECT b.id, 1000000 + n * 60000, convert_to(
                    (SELECT string_agg('zeile ' || lpad((n * 3000 + k)::text, 5, '0') || ' \u{fc}\u{df}', E'\n') || E'\n'
                     FROM generate_series(1, 3000) k), 'UTF8')
         FROM builds b, generate_series(0, 9) n",
    )
    .execute(&api.platform.pool)
    .await
    .expect("a log");
    // The offsets that a writer would have given.
    sqlx::query(
        "UPDATE build_log l SET start_offset = (SELECT sum(length(text)) FROM build_log e
                                                WHERE e.build_id = l.build_id AND e.start_offset < l.start_offset)
         WHERE start_offset > 0",
    )
    .execute(&api.platform.pool)
    .await
    .expect("offsets");
    let browser = Browser::of(&api, &olga).await;
    let page = async |query: &str| browser.get(&format!("/ui/apps/blog/builds/1{query}")).await.text;
    let numbered = |number: usize, text: &str| {
        format!(
            "id=\"L{number}\"><a class=\"n\" href=\"#L{number}\" tabindex=\"-1\">{number}</a><span class=\"\">{text}"
        )
    };
    let end = page("").await;
    assert!(end.contains(&numbered(30_002, "zeile 30000")) && !end.contains(&numbered(2, "")), "the end");
    for number in [3, 3002, 3003, 17_777] {
        let there = page(&format!("?line={number}")).await;
        let text = format!("zeile {:05}", number - 2);
        assert!(there.contains(&numbered(number, &text)), "{number}: {}", &there[..4000]);
        assert!(!there.contains(&numbered(30_002, "")), "a stretch, not the whole log");
    }
    assert!(page("?line=99999999").await.contains(&numbered(30_002, "zeile 30000")), "no such line: the end");
    let found = page("?q=ZEILE+12345").await;
    assert!(found.contains("href=\"/ui/apps/blog/builds/1?line=12347#L12347\">12347</a>"), "{found}");
    assert!(found.contains("1 line ") && !found.contains("12346"), "{found}");
    let many = page("?q=zeile").await;
    assert!(
        many.contains("#L202\"") && !many.contains("#L203\"") && many.contains("q=zeile&#38;after=202"),
        "bounded"
    );
    assert!(page("?q=zeile&after=29902").await.contains("100 lines"));
    assert!(page("?q=nowhere").await.contains("No line has these words"));
    let coloured = page("?q=red+<script>".replace('<', "%3C").replace('>', "%3E").as_str()).await;
    assert!(coloured.contains("?line=1#L1"), "words across colours: {coloured}");
}

#[tokio::test]
async fn a_rollback_asks_first_and_makes_a_release() {
    let Some(api) = TestApi::new().await else { return };
    let dora = api.member("dora", Role::Deployer).await;
    blog(&api, &dora).await;
    let browser = Browser::of(&api, &dora).await;
    let question = browser.get("/ui/apps/blog/releases/1/rollback").await.text;
    assert!(question.contains("Roll blog back to v1?"), "{question}");
    let current = browser.get("/ui/apps/blog/releases/2/rollback").await;
    assert_eq!(current.status, StatusCode::CONFLICT, "{}", current.text);
    let rolled = browser.post("/ui/apps/blog/releases/1/rollback", &[]).await;
    assert_eq!(location(&rolled), "/ui/apps/blog/releases/3?done=rollback");
    let made = browser.get("/ui/apps/blog/releases/3").await.text;
    assert!(made.contains("Rollback to v1") && made.contains("dora"), "{made}");
    let viewer = Browser::of(&api, &api.member("vera", Role::Viewer).await).await;
    assert!(
        !viewer.get("/ui/apps/blog").await.text.contains("/rollback"),
        "nothing is offered that is refused"
    );
}

#[tokio::test]
async fn a_log_is_followed_from_the_last_event_on() {
    let Some(api) = TestApi::new().await else { return };
    let vera = api.member("vera", Role::Viewer).await;
    let olga = api.member("olga", Role::Owner).await;
    blog(&api, &olga).await;
    let browser = Browser::of(&api, &vera).await;
    let path = "/ui/apps/blog/builds/1/events?from=0";
    let whole = browser.get(path).await;
    assert_eq!(whole.headers["content-type"], "text/event-stream");
    assert!(whole.text.contains(r#"{"class":"f1 b","text":"red"}"#), "{}", whole.text);
    assert!(whole.text.contains("event: end"), "{}", whole.text);
    let end = whole.text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    let second = (end.parse::<i64>().expect("a byte") - 7).to_string();
    let resumed = browser.send(Method::GET, path, &[("last-event-id", &second)], String::new()).await;
    assert!(resumed.text.contains("second") && !resumed.text.contains("first"), "{}", resumed.text);
    let page = browser.get(&format!("/ui/apps/blog/builds/1?from={second}")).await.text;
    assert!(page.contains("id=\"L2\"") && !page.contains("first"), "{page}");
    let log = browser.get("/ui/apps/blog/builds/1/log").await;
    assert!(
        log.text.ends_with("second\n")
            && log.headers["content-type"].to_str().expect("text").starts_with("text/plain")
    );
}

#[tokio::test]
async fn tokens_and_keys_are_made_shown_once_and_taken_back() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Viewer).await;
    let browser = Browser::of(&api, &ada).await;
    let made = browser.post("/ui/account/tokens", &[("description", "<b>ci</b>"), ("days", "30")]).await.text;
    let token = made.split("value=\"slp_").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    assert!(made.contains("&#60;b&#62;ci"), "{made}");
    let account = browser.get("/ui/account").await.text;
    assert!(!account.contains(token), "shown once");
    let id =
        account.split("/ui/account/tokens/").nth(1).and_then(|rest| rest.split('/').next()).expect("an id");
    let gone = browser.post(&format!("/ui/account/tokens/{id}/revoke"), &[]).await;
    assert_eq!(location(&gone), "/ui/account?done=token");
    assert!(!browser.get("/ui/account").await.text.contains("/ui/account/tokens/"));

    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAkyxWNyTkfzHRuhUm1AJuZE2ToBrY6Zn7AuvLi laptop";
    assert_eq!(
        location(&browser.post("/ui/account/keys", &[("public_key", key)]).await),
        "/ui/account?done=key"
    );
    let refused = browser.post("/ui/account/keys", &[("public_key", "nonsense")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let account = browser.get("/ui/account").await.text;
    assert!(account.contains("laptop") && account.contains("SHA256:"), "{account}");
}

#[tokio::test]
async fn admins_see_and_export_what_was_done() {
    let Some(api) = TestApi::new().await else { return };
    let root = api.admin("root").await;
    blog(&api, &root).await;
    let browser = Browser::of(&api, &root).await;
    let page = browser.get("/ui/activity?action=apps").await.text;
    assert!(page.contains("apps:create") && page.contains("blog"), "{page}");
    let export = browser.get("/ui/activity/export?app=blog").await;
    let lines: Vec<serde_json::Value> =
        export.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[0]["action"]), (1, &"apps:create".into()));
    let none = browser.get("/ui/activity/export?app=other").await;
    assert_eq!((none.status, none.text.as_str()), (StatusCode::OK, ""));
    let system = browser.get("/ui/system").await.text;
    for part in ["PostgreSQL", "Docker Engine", "Registry", "Oldest pending build"] {
        assert!(system.contains(part), "{part}: {system}");
    }
}

#[tokio::test]
async fn web_hooks_are_shown_with_what_they_led_to_and_come_in_pages_by_key() {
    let Some(api) = TestApi::new().await else { return };
    let (olga, vera) = (api.member("olga", Role::Owner).await, api.member("vera", Role::Viewer).await);
    blog(&api, &olga).await;
    let browser = Browser::of(&api, &olga).await;
    let unconnected = browser.get("/ui/apps/blog/hooks").await.text;
    assert!(unconnected.contains("follows no repository elsewhere"), "{unconnected}");
    for statement in [
        "INSERT INTO connections (app_id, provider, url, branch, secret, public_key)
         SELECT id, 'github', 'ssh://git@github.com/ada/blog.git', '<b>main</b>', 'sealed', 'ssh-ed25519 AAAA <b>x</b>'
         FROM apps",
        "INSERT INTO deliveries (id, app_id, source, delivery, event, told, verdict, reason)
         SELECT ('01990000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, a.id, 'github', n::text, 'push',
                '{\"kind\": \"push\", \"git_ref\": \"<script>1</script>\", \"deleted\": false, \"actor\": null}',
                'ignored', 'reason ' || n || '<b>' FROM apps a, generate_series(1, 30) n",
        "UPDATE deliveries SET verdict = 'deployed', reason = NULL, build_id = (SELECT id FROM builds)
         WHERE delivery = '30'",
    ] {
        sqlx::query(statement).execute(&api.platform.pool).await.expect(statement);
    }
    let first = browser.get("/ui/apps/blog/hooks").await.text;
    for words in [
        "not looked at yet",
        "ssh-ed25519 AAAA",
        "/hooks/github/blog",
        "/ui/apps/blog/builds/1\"",
        "Redeliver",
    ] {
        assert!(first.contains(words), "{words}: {first}");
    }
    assert!(!first.contains("<script>1") && !first.contains("<b>") && !first.contains("sealed"), "{first}");
    assert!(first.contains("reason 6&#60;") && !first.contains("reason 5&#60;"), "{first}");
    let key = "01990000-0000-7000-8000-000000000006";
    assert!(first.contains(&format!("/ui/apps/blog/hooks?before={key}")), "{first}");
    let second = browser.get(&format!("/ui/apps/blog/hooks?before={key}")).await.text;
    assert!(second.contains("reason 5&#60;") && second.contains("reason 1&#60;"), "{second}");
    assert!(!second.contains("reason 6&#60;") && !second.contains("rel=\"next\""), "{second}");
    let seen = Browser::of(&api, &vera).await.get("/ui/apps/blog/hooks").await.text;
    assert!(seen.contains("build 1") && !seen.contains("Redeliver"), "{seen}");

    let again = format!("/ui/apps/blog/hooks/{key}/redeliver");
    let question = browser.get(&again).await;
    assert!(question.text.contains("once more?") && question.status == StatusCode::OK, "{}", question.text);
    let answer = browser.post(&again, &[]).await;
    assert_eq!(location(&answer), "/ui/apps/blog/hooks?done=redeliver");
    let waiting = browser.get(location(&answer)).await.text;
    assert!(waiting.contains("worked on once more") && waiting.contains(">waiting<"), "{waiting}");
    for unknown in ["x", "01990000-0000-7000-8000-0000000000ff"] {
        let answer = browser.get(&format!("/ui/apps/blog/hooks/{unknown}/redeliver")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test]
async fn old_logs_of_builds_are_cleared_away_after_it_was_shown_which() {
    let Some(api) = TestApi::new().await else { return };
    let root = api.admin("root").await;
    blog(&api, &root).await;
    for statement in [
        "INSERT INTO builds (id, app_id, number, status, trigger, commit, tree, subject, actor_name, log_closed_at)
         SELECT gen_random_uuid(), id, n, 'failed', 'push', 'c', 't', 'Change ' || n, 'root',
                CASE WHEN n <> 5 THEN now() END
         FROM apps, generate_series(2, 31) n",
        "INSERT INTO build_log (build_id, start_offset, text)
         SELECT id, 0, convert_to('text of build ' || number || E'\\n', 'UTF8') FROM builds WHERE number > 1",
        "UPDATE apps SET last_build = 31",
    ] {
        sqlx::query(statement).execute(&api.platform.pool).await.expect(statement);
    }
    let browser = Browser::of(&api, &root).await;
    let usual = browser.get("/ui/system/storage").await.text;
    assert!(usual.contains("blog</a>") && usual.contains("Nothing would go"), "{usual}");
    assert_eq!(browser.get("/ui/system/storage?keep=3").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let shown = browser.get("/ui/system/storage?keep=10").await.text;
    assert!(shown.contains("Clear away 20 logs"), "the one that is not over stays: {shown}");

    let cleared = browser.post("/ui/system/storage/clear", &[("keep", "10")]).await;
    assert_eq!(location(&cleared), "/ui/system/storage?keep=10&done=cleared");
    let build = async |number: i64| browser.get(&format!("/ui/apps/blog/builds/{number}")).await.text;
    assert!(build(21).await.contains("There is no text") && build(22).await.contains("text of build 22"));
    assert!(build(5).await.contains("text of build 5") && build(21).await.contains("Change 21"));
    assert!(browser.get("/ui/system/storage?keep=10").await.text.contains("Nothing would go"));
    assert!(browser.get("/ui/activity").await.text.contains("builds:clear-logs"));
}

#[tokio::test]
async fn what_was_measured_is_drawn_and_stands_in_a_table() {
    let Some(api) = TestApi::new().await else { return };
    let olga = api.member("olga", Role::Owner).await;
    blog(&api, &olga).await;
    let name = "blog".parse().expect("a name");
    let mut usage = Usage { cpu: Duration::from_secs(10), memory: 64 << 20, restarts: 1, ..Usage::default() };
    (0..60).for_each(|_| usage.traffic.add(200, Duration::from_millis(40)));
    usage.traffic.add(503, Duration::from_secs(30));
    let mut conn = api.platform.pool.acquire().await.expect("connects");
    // Two looks at the same slot are added up, but for memory.
    for _ in 0..2 {
        samples::add(&mut conn, &name, &usage, Duration::from_secs(20)).await.expect("inserts");
    }
    let browser = Browser::of(&api, &olga).await;
    let page = browser.get("/ui/apps/blog/metrics?span=1d").await.text;
    for said in ["Now 0.50 CPUs", "Now 64 MiB", "Now 2; from 2", "Now 3.05 a second", "As a table"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let app = apps::named(&mut conn, "blog").await.expect("asks").expect("is there");
    let kept = samples::since(&mut conn, app.id, Timestamp::UNIX_EPOCH).await.expect("rows");
    assert_eq!((kept.len(), kept[0].requests, kept[0].errors), (1, 122, 2));
    let p95 = kept[0].latency.percentile(0.95).expect("answers");
    assert!(p95 > Duration::from_millis(30) && p95 < Duration::from_millis(60), "{p95:?}");
    assert_eq!(samples::prune(&mut conn, Duration::from_secs(3600)).await.expect("prunes"), 0);
    assert_eq!(samples::prune(&mut conn, Duration::ZERO).await.expect("prunes"), 1);
}
