//! What people read: verbs against the API on a real database, in process and over HTTP.

use std::sync::Mutex;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::client::Client;
use super::run_words;
use super::terminal::{Colours, Terminal};
use crate::domain::access::{Principal, Role};
use crate::web::testing::TestApi;
use crate::web::tls::{Peer, Transport};

/// What a verb said and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    out: String,
    err: String,
    status: u8,
}

impl TestApi {
    fn as_over_ssh(&self, who: &Principal) -> Client {
        Client::InProcess { api: self.api.clone(), principal: who.clone() }
    }

    /// A client of a socket on this machine, with a token.
    async fn as_over_http(&self, who: &Principal) -> Client {
        let token = self.token_of(who).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let peer = Peer { address, transport: Transport::Plain };
        let api = self.api.clone().layer(from_fn(move |mut request: Request, next: Next| {
            request.extensions_mut().insert(peer);
            next.run(request)
        }));
        tokio::spawn(async move { axum::serve(listener, api).await });
        let url = format!("http://{address}").parse().expect("a URL");
        Client::http(url, SecretString::from(token)).expect("a client")
    }
}

async fn say(client: &Client, words: &str) -> Said {
    say_with(client, words, "").await
}

async fn say_with(client: &Client, words: &str, input: &'static str) -> Said {
    let (out, mut out_read) = tokio::io::duplex(1024 * 1024);
    let (err, mut err_read) = tokio::io::duplex(1024 * 1024);
    let terminal = Terminal {
        input: Mutex::new(Box::new(input.as_bytes())),
        out: Box::new(out),
        err: Box::new(err),
        colours: Colours::Never,
        keys: super::terminal::Keys::None,
    };
    let words = shell_words::split(words).expect("words");
    let run = run_words(&words, client.clone(), terminal);
    let status = tokio::time::timeout(Duration::from_secs(30), run).await.expect("ends");
    let (mut said, mut complained) = (String::new(), String::new());
    out_read.read_to_string(&mut said).await.expect("text");
    err_read.read_to_string(&mut complained).await.expect("text");
    Said { out: said, err: complained, status }
}

/// Without what differs from run to run.
fn steady(text: &str) -> String {
    let time =
        regex::Regex::new(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \+0000 \(~ \d+[smhd] ago\)").expect("a pattern");
    time.replace_all(text, "<when>").into_owned()
}

async fn both_doors(api: &TestApi, who: &Principal) -> [Client; 2] {
    [api.as_over_ssh(who), api.as_over_http(who).await]
}

#[tokio::test]
async fn an_app_is_made_set_up_and_destroyed() {
    let Some(api) = TestApi::new().await else { return };
    let olga = api.member("olga", Role::Owner).await;
    for client in both_doors(&api, &olga).await {
        assert_eq!(say(&client, "whoami").await.out, "olga\n");
        assert_eq!(
            say(&client, "apps").await.out,
            "You have no apps. `ssh platform apps:create` makes one.\n"
        );
        assert_eq!(
            say(&client, "apps:create blog").await.out,
            "Creating blog... done\n\
             http://blog.localhost:7081/ | ssh://slipway@localhost:7022/blog.git\n\
             Deploy from its repository with:\n    \
             git remote add platform ssh://slipway@localhost:7022/blog.git\n    \
             git push platform main\n"
        );
        assert_eq!(
            steady(&say(&client, "apps").await.out),
            "=== olga Apps\n\nblog  team default  not released yet\n"
        );
        let set = say(&client, "apps:set deploy-branch=trunk health=/healthz -a blog").await;
        assert_eq!(
            steady(&set.out),
            "=== blog\n\n\
             Team:           default\n\
             Git URL:        ssh://slipway@localhost:7022/blog.git\n\
             Web URL:        http://blog.localhost:7081/\n\
             Deploy branch:  trunk\n\
             Builds with:    its Dockerfile, else the buildpack of its language\n\
             Folder:         the root of the repository\n\
             Health check:   /healthz\n\
             Created:        <when>\n\
             Released:       not yet\n"
        );
        let unsure = say(&client, "apps:destroy blog").await;
        assert_eq!((unsure.status, unsure.out.as_str()), (1, ""));
        assert!(unsure.err.contains("--confirm blog"), "{}", unsure.err);
        let gone = say(&client, "apps:destroy blog --confirm blog").await;
        assert_eq!((gone.out.as_str(), gone.status), ("Destroying blog... done\n", 0), "{}", gone.err);
    }
}

#[tokio::test]
async fn config_vars_make_releases_and_stay_hidden_from_viewers() {
    let Some(api) = TestApi::new().await else { return };
    let dora = api.member("dora", Role::Deployer).await;
    let vera = api.member("vera", Role::Viewer).await;
    let client = api.as_over_ssh(&dora);
    say(&client, "apps:create blog").await;
    let set = say(&client, "config:set -a blog GREETING='hello world' KEY=s3cret").await;
    assert_eq!(set.out, "Setting GREETING, KEY and restarting blog... done, v1\n", "{}", set.err);
    let again = say(&client, "config:set -a blog KEY=s3cret").await;
    assert_eq!(
        again.out,
        "Setting KEY and restarting blog... nothing to do: blog has it like this already\n"
    );
    assert_eq!(
        say(&client, "config -a blog").await.out,
        "=== blog Config Vars\n\nGREETING:  hello world\nKEY:       s3cret\n"
    );
    assert_eq!(say(&client, "config:get KEY -a blog").await.out, "s3cret\n");
    let unset = say(&client, "config:unset KEY -a blog").await;
    assert_eq!(unset.out, "Unsetting KEY and restarting blog... done, v2\n", "{}", unset.err);
    assert_eq!(
        steady(&say(&client, "releases -a blog").await.out),
        "=== blog Releases - Current: v2\n\n\
         v2  Remove KEY config vars         current    dora  <when>\n\
         v1  Set GREETING, KEY config vars  succeeded  dora  <when>\n"
    );
    let viewer = api.as_over_ssh(&vera);
    let refused = say(&viewer, "config -a blog").await;
    assert_eq!(
        (refused.status, refused.err.as_str()),
        (1, " !     you are a viewer of this app, and this takes a deployer: ask an owner for it\n")
    );
    assert_eq!(say(&viewer, "config:set A=b -a blog").await.status, 1);
    let secret = say(&client, "config:set s3cret -a blog").await;
    assert!(secret.status == 1 && !secret.err.contains("s3cret"), "{}", secret.err);
    let rollback = say(&client, "rollback v1 -a blog").await;
    assert_eq!(rollback.err, " !     v1 has no code: it was made before the first push\n");
}

#[tokio::test]
async fn words_that_make_no_verb_are_explained() {
    let Some(api) = TestApi::new().await else { return };
    let client = api.as_over_ssh(&api.stranger("steve").await);
    let unknown = say(&client, "rolback").await;
    assert_eq!(unknown.status, 2);
    assert_eq!(
        unknown.err,
        " !     `rolback` is not a verb: did you mean `rollback`? `ssh platform help` lists the verbs\n"
    );
    let nameless = say(&client, "apps:create -- -rf").await;
    assert!(nameless.status == 2 && nameless.err.contains("is not an app name"), "{}", nameless.err);
    let help = say(&client, "help").await;
    assert!(help.status == 0 && help.out.contains("releases:info"), "{help:?}");
    let which = say(&client, "releases").await;
    assert_eq!(which.err, " !     which app? Say --app <app>; `ssh platform apps` lists yours\n");
    let unknown_app = say(&client, "releases -a blog").await;
    assert_eq!(
        unknown_app.err,
        " !     there is no such app, or you have no access to it: `apps` lists yours\n"
    );
}

#[tokio::test]
async fn keys_are_added_listed_and_removed() {
    let Some(api) = TestApi::new().await else { return };
    let client = api.as_over_ssh(&api.stranger("steve").await);
    let line =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKtE8Mxs4wWWBVrDoHO8Jh4rhcYtSA7kQ6mFNSDBXdKJ steve@laptop\n";
    let added = say_with(&client, "keys:add", line).await;
    assert!(added.out.starts_with("Added SHA256:") && added.out.ends_with(" steve@laptop\n"), "{added:?}");
    let twice = say_with(&client, "keys:add", line).await;
    assert!(twice.status == 1 && twice.err.contains("is already added"), "{twice:?}");
    let weak = say_with(&client, "keys:add", include_str!("../domain/testdata/rsa1024.pub")).await;
    assert!(weak.err.contains("an RSA key of 1024 bits is too weak"), "{weak:?}");
    assert!(say(&client, "keys").await.out.contains("ssh-ed25519  steve@laptop  never used\n"));
    assert_eq!(say(&client, "keys:remove steve@laptop").await.status, 0);
    assert!(say(&client, "keys").await.out.starts_with("You have no SSH keys."));
    assert_eq!(say(&client, "keys:remove steve@laptop").await.status, 1);
}

#[tokio::test]
async fn a_builds_text_is_read_from_any_byte_and_its_end_is_the_exit_status() {
    let Some(api) = TestApi::new().await else { return };
    let dora = api.member("dora", Role::Deployer).await;
    for client in both_doors(&api, &dora).await {
        say(&client, "apps:create blog").await;
        insert_build(&api, &dora).await;
        let whole = say(&client, "builds:output -a blog").await;
        assert_eq!(whole.out, "-----> Building\n       äh\n");
        assert_eq!(
            (whole.status, whole.err.as_str()),
            (1, " !     build #1 is failed: the Dockerfile has no FROM\n")
        );
        let tail = say(&client, "builds:output 1 --offset 16 -a blog").await;
        assert_eq!(tail.out, "       äh\n");
        let stored = say(&client, "builds:output '#1' --no-follow -a blog").await;
        assert_eq!((stored.out.as_str(), stored.status), ("-----> Building\n       äh\n", 0));
        assert_eq!(
            steady(&say(&client, "builds -a blog").await.out),
            "=== blog Builds\n\n#1  failed  aaaaaaa  Say hello  dora  <when>\n"
        );
        assert_eq!(
            say(&client, "builds:cancel -a blog").await.err,
            " !     no build of blog is running: there is nothing to cancel\n"
        );
        let olga = Principal { admin: true, ..dora.clone() };
        say(&api.as_over_ssh(&olga), "apps:destroy blog --confirm blog").await;
    }
}

async fn insert_build(api: &TestApi, who: &Principal) {
    sqlx::query(
        "WITH b AS (INSERT INTO builds (id, app_id, number, status, trigger, commit, tree, subject, actor_id, actor_name,
                        reason, finished_at, log_closed_at)
                    SELECT gen_random_uuid(), id, 1, 'failed', 'push', repeat('a', 40), 'x', 'Say hello', $1, $2,
                        'the Dockerfile has no FROM', now(), now()
                    FROM apps WHERE name = 'blog' RETURNING id)
         INSERT INTO build_log SELECT b.id, o, t FROM b,
             (VALUES (0, convert_to(E'-----> Building\n', 'UTF8')), (16, convert_to(E'       äh\n', 'UTF8'))) AS l (o, t)",
    )
    .bind(who.user.0)
    .bind(&who.name)
    .execute(&api.platform.pool)
    .await
    .expect("inserts");
}

#[tokio::test]
async fn people_let_each_other_in() {
    let Some(api) = TestApi::new().await else { return };
    let admin = api.as_over_ssh(&api.admin("root").await);
    let made = say(&admin, "users:create bob --role viewer").await;
    let token = made.out.lines().nth(1).expect("a token").to_owned();
    assert!(token.starts_with("slp_"), "{made:?}");
    say(&admin, "apps:create blog").await;
    assert_eq!(
        say(&admin, "access:add bob --role owner --team default").await.out,
        "bob is owner of all apps of the team default\n"
    );
    say(&admin, "users:create ann --team default --role viewer").await;
    assert_eq!(say(&admin, "access:add ann -a blog").await.out, "ann is deployer of blog\n");
    assert_eq!(say(&admin, "access:update ann -r owner -a blog").await.out, "ann is owner of blog\n");
    let listed = "=== blog Access\n\nann   owner   collaborator\nann   viewer  team default\nbob   owner   team default\n\
                  root  owner   team default\n";
    assert_eq!(say(&admin, "access -a blog").await.out, listed);
    let gone = say(&admin, "access:remove ann -a blog").await;
    assert_eq!(gone.out, "ann has no role of their own for blog any more\n");
    assert_eq!(
        say(&admin, "access --team default").await.out,
        "=== default Access\n\nann   viewer\nbob   owner\nroot  owner\n"
    );
    assert_eq!(say(&admin, "teams:create crew").await.status, 0);
    assert!(say(&admin, "teams").await.out.contains("crew     owner  1 member   0 apps\n"));
    let removed = say(&admin, "access:remove bob --team default").await;
    assert_eq!(removed.out, "bob has no access to the apps of the team default any more\n");
}

#[tokio::test]
async fn tokens_are_shown_once_and_json_is_for_scripts() {
    let Some(api) = TestApi::new().await else { return };
    let steve = api.stranger("steve").await;
    let client = api.as_over_http(&steve).await;
    let made = say(&client, "authorizations:create -d ci -e 30d").await;
    assert!(made.out.starts_with("slp_") && made.err.contains("shown once"), "{made:?}");
    let listed = say(&client, "tokens --json").await;
    let listed: serde_json::Value = serde_json::from_str(&listed.out).expect("JSON");
    assert_eq!((&listed[1]["description"], listed[1].get("access_token")), (&"ci".into(), None));
    let id = listed[1]["id"].as_str().expect("an id");
    assert_eq!(say(&client, &format!("tokens:revoke {id}")).await.out, format!("Revoked {id} ci\n"));
    let login = say(&client, "login").await;
    assert!(login.out.contains("[localhost]:7022 ssh-ed25519 AAAAC3Nz\n"), "{login:?}");
    assert!(login.out.contains("Host platform\n    HostName localhost\n    Port 7022\n"), "{login:?}");
}

#[tokio::test]
async fn a_pipeline_is_made_filled_shown_and_destroyed() {
    let Some(api) = TestApi::new().await else { return };
    let dora = api.member("dora", Role::Deployer).await;
    let vera = api.member("vera", Role::Viewer).await;
    for client in both_doors(&api, &dora).await {
        assert!(say(&client, "pipelines").await.out.starts_with("There are no pipelines yet."));
        say(&client, "apps:create blog-staging").await;
        say(&client, "apps:create blog").await;
        let made = say(&client, "pipelines:create blogs -a blog-staging -s staging").await;
        assert_eq!(
            made.out,
            "Creating the pipeline blogs... done\nAdding blog-staging to blogs as staging... done\n",
            "{}",
            made.err
        );
        let nobody = say(&client, "pipelines:promote -a blog-staging").await;
        assert!(nobody.status == 1 && nobody.err.contains("blogs has no app in production"), "{nobody:?}");
        let added = say(&client, "pipelines:add blogs -a blog -s production").await;
        assert_eq!(added.out, "Adding blog to blogs as production... done\n", "{}", added.err);
        assert_eq!(say(&client, "pipelines").await.out, "=== Pipelines\n\nblogs  team default  2 apps\n");
        let shown = "=== blogs\n\nTeam: default\nstaging     blog-staging  not released yet\nproduction  blog          not released yet\n";
        assert_eq!(say(&client, "pipelines:info blogs").await.out, shown);
        assert_eq!(say(&client, "pipelines:info -a blog").await.out, shown);
        let nothing = say(&client, "pipelines:promote -a blog-staging").await;
        assert!(nothing.err.contains("blog-staging has no release that runs"), "{nothing:?}");
        let word = say(&client, "pipelines:add blogs -a blog -s prod").await;
        assert!(word.status == 2 && word.err.contains("`staging` or `production`"), "{word:?}");
        let viewer = api.as_over_ssh(&vera);
        for refused in [
            "pipelines:promote -a blog-staging",
            "container:release web=x -a blog",
            "pipelines:destroy blogs",
        ] {
            let said = say(&viewer, refused).await;
            assert!(
                said.status == 1 && said.err.contains("you are a viewer of this app"),
                "{refused}: {said:?}"
            );
        }
        assert_eq!(say(&client, "pipelines:remove -a blog").await.out, "Removing blog from blogs... done\n");
        let out = say(&client, "pipelines:info -a blog").await;
        assert!(out.err.contains("blog is in no pipeline"), "{out:?}");
        let gone = say(&client, "pipelines:destroy blogs").await;
        assert_eq!(gone.out, "Destroying the pipeline blogs... done. Its apps stay.\n", "{}", gone.err);
        let olga = Principal { admin: true, ..dora.clone() };
        let admin = api.as_over_ssh(&olga);
        say(&admin, "apps:destroy blog --confirm blog").await;
        say(&admin, "apps:destroy blog-staging --confirm blog-staging").await;
    }
}

#[tokio::test]
async fn an_app_is_in_one_pipeline_of_its_own_team() {
    let Some(api) = TestApi::new().await else { return };
    let root = api.as_over_ssh(&api.admin("root").await);
    for words in ["teams:create crew", "apps:create blog", "apps:create shop", "apps:create ours --team crew"]
    {
        assert_eq!(say(&root, words).await.status, 0, "{words}");
    }
    say(&root, "pipelines:create blogs -a blog -s staging").await;
    let twice = say(&root, "pipelines:create blogs -a shop -s staging").await;
    assert!(twice.err.contains("there is a pipeline `blogs` already"), "{twice:?}");
    say(&root, "pipelines:create shops -a shop -s staging").await;
    let other = say(&root, "pipelines:add shops -a blog -s production").await;
    assert!(other.err.contains("blog is in the pipeline blogs, and an app is in one only"), "{other:?}");
    let strange = say(&root, "pipelines:add shops -a ours -s production").await;
    assert!(strange.err.contains("a pipeline takes apps of its own team"), "{strange:?}");
    let steve = api.as_over_ssh(&api.stranger("steve").await);
    let unknown = say(&steve, "pipelines:info blogs").await;
    assert!(unknown.err.contains("there is no pipeline `blogs` that you have access to"), "{unknown:?}");
}
