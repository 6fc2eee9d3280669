//! What a delivery tells, out of each host's own shapes. Only what decides whether the branch is worth a look.

use std::borrow::Cow;

use axum::http::HeaderMap;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::pull;
use crate::domain::hook::{Kind, Provider, Told};

/// What is kept of a name that somebody else has chosen, in characters.
const LONGEST: usize = 100;
/// How a form-encoded body begins, which GitHub sends unless told otherwise.
const FORM: &[u8] = b"payload=";

/// A delivery's own name and event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The same for the same delivery, however often it is sent.
    pub(crate) delivery: String,
    pub(crate) event: String,
}

/// The body is not what its host sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not the JSON that this host's web hooks have")]
pub(crate) struct Malformed;

impl Envelope {
    pub(crate) fn read(provider: Provider, headers: &HeaderMap) -> Self {
        let text = |name: &&str| headers.get(*name).and_then(|value| value.to_str().ok());
        let (ids, events): (&[&str], &[&str]) = match provider {
            Provider::Github => (&["x-github-delivery"], &["x-github-event"]),
            Provider::Gitlab => {
                (&["webhook-id", "idempotency-key", "x-gitlab-event-uuid"], &["x-gitlab-event"])
            }
            Provider::Gitea => (&["x-gitea-delivery"], &["x-gitea-event"]),
            Provider::Forgejo => {
                (&["x-forgejo-delivery", "x-gitea-delivery"], &["x-forgejo-event", "x-gitea-event"])
            }
            Provider::Generic => (&["webhook-id", "idempotency-key", "x-delivery"], &["x-event"]),
        };
        let delivery = match ids.iter().find_map(text) {
            Some(id) if id.len() <= LONGEST => clean(id),
            // As good as the id, and bounded.
            Some(id) => hex::encode(Sha256::digest(id)),
            // Nobody says that two are the same: none are.
            None => Uuid::now_v7().to_string(),
        };
        let event = events.iter().find_map(text).map_or_else(|| "push".to_owned(), clean);
        Self { delivery, event }
    }
}

/// Reads what a verified delivery tells.
pub(crate) fn read(provider: Provider, event: &str, body: &[u8]) -> Result<Told, Malformed> {
    let kind = kind(provider, event);
    if kind == Kind::Pull {
        return pull::read(provider, &unwrapped(body));
    }
    if kind != Kind::Push {
        return Ok(Told { kind, ..Told::look() });
    }
    if provider == Provider::Generic && body.trim_ascii().is_empty() {
        return Ok(Told::look());
    }
    let push: Push = serde_json::from_slice(&unwrapped(body)).map_err(|_| Malformed)?;
    if push.git_ref.is_none() && provider != Provider::Generic {
        return Err(Malformed);
    }
    Ok(push.told())
}

fn kind(provider: Provider, event: &str) -> Kind {
    match (provider, event) {
        (_, "ping") => Kind::Ping,
        (Provider::Gitlab, "Push Hook" | "Tag Push Hook") => Kind::Push,
        (Provider::Gitlab, "Merge Request Hook") => Kind::Pull,
        (Provider::Gitlab, _) => Kind::Other,
        (Provider::Github | Provider::Gitea | Provider::Forgejo, "pull_request") => Kind::Pull,
        (_, "push") => Kind::Push,
        _ => Kind::Other,
    }
}

/// The JSON of a body that may be a form.
fn unwrapped(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.starts_with(FORM) {
        return Cow::Borrowed(body);
    }
    let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
    Cow::Owned(payload.map(|(_, value)| value.into_owned().into_bytes()).unwrap_or_default())
}

/// The fields that the hosts have for the same things.
#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    after: Option<String>,
    #[serde(default)]
    deleted: bool,
    /// GitHub, Gitea, Forgejo.
    sender: Option<Person>,
    pusher: Option<Person>,
    /// GitLab.
    user_username: Option<String>,
    /// Whoever sends a generic one.
    actor: Option<String>,
}

#[derive(Deserialize)]
struct Person {
    login: Option<String>,
    name: Option<String>,
}

impl Push {
    fn told(self) -> Told {
        let nothing = |oid: &str| !oid.is_empty() && oid.bytes().all(|c| c == b'0');
        let name = |person: Option<Person>| person.and_then(|person| person.login.or(person.name));
        let actor = name(self.sender)
            .or_else(|| name(self.pusher))
            .or(self.user_username)
            .or(self.actor)
            .map(|actor| clean(&actor))
            .filter(|actor| !actor.is_empty());
        Told {
            kind: Kind::Push,
            git_ref: self.git_ref.map(|name| full(&clean(&name))),
            deleted: self.deleted || self.after.as_deref().is_some_and(nothing),
            actor,
            pull: None,
        }
    }
}

/// A generic hook may say just `main`.
fn full(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::hook::PullChange;

    fn told(provider: Provider, event: &str, body: &str) -> Told {
        read(provider, event, body.as_bytes()).unwrap_or_else(|_| panic!("{body}"))
    }

    #[test]
    fn each_host_has_words_of_its_own_for_a_push() {
        let github = r#"{"ref":"refs/heads/main","before":"1","after":"22","deleted":false,
            "pusher":{"name":"ada","email":"a@example.com"},"sender":{"login":"ada-l"},"head_commit":{"id":"22"}}"#;
        let gitlab = r#"{"object_kind":"push","ref":"refs/heads/main","after":"22","user_username":"ada-l"}"#;
        let gitea =
            r#"{"ref":"refs/heads/main","after":"22","pusher":{"login":"ada-l"},"sender":{"login":"ada-l"}}"#;
        let said = Told {
            kind: Kind::Push,
            git_ref: Some("refs/heads/main".to_owned()),
            deleted: false,
            actor: Some("ada-l".to_owned()),
            pull: None,
        };
        assert_eq!(told(Provider::Github, "push", github), said);
        assert_eq!(told(Provider::Gitlab, "Push Hook", gitlab), said);
        assert_eq!(told(Provider::Gitea, "push", gitea), said);
        assert_eq!(told(Provider::Forgejo, "push", gitea), said);
        let form: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", github).finish();
        assert_eq!(told(Provider::Github, "push", &form), said);
    }

    #[test]
    fn a_deleted_branch_is_told_in_two_ways() {
        let zeros = "0".repeat(40);
        for body in [
            r#"{"ref":"refs/heads/main","deleted":true}"#.to_owned(),
            format!(r#"{{"ref":"refs/heads/main","after":"{zeros}"}}"#),
        ] {
            assert!(told(Provider::Github, "push", &body).deleted, "{body}");
        }
    }

    #[test]
    fn a_generic_hook_may_say_as_little_as_nothing() {
        assert_eq!(told(Provider::Generic, "push", ""), Told::look());
        assert_eq!(told(Provider::Generic, "push", "{}"), Told::look());
        let named = told(Provider::Generic, "push", r#"{"ref":"main","actor":"ci\u001b[31m"}"#);
        assert_eq!(
            (named.git_ref.as_deref(), named.actor.as_deref()),
            (Some("refs/heads/main"), Some("ci[31m"))
        );
    }

    #[test]
    fn pings_and_other_events_need_no_particular_body_and_a_push_does() {
        assert_eq!(told(Provider::Github, "ping", "{\"zen\":\"…\"}").kind, Kind::Ping);
        assert_eq!(told(Provider::Gitlab, "Issue Hook", "x").kind, Kind::Other);
        for body in [&b"{\"ref\":"[..], b"\xff\xfe", b"[]", b"{}"] {
            assert_eq!(read(Provider::Github, "push", body), Err(Malformed), "{body:?}");
        }
    }

    /// What `tests/octokit/fetch` has of GitHub's own examples, of github.com and of each GitHub Enterprise Server.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests are told by their environment what there is")]
    fn githubs_published_payloads_are_read() {
        let Ok(folder) = std::env::var("SLIPWAY_TEST_GITHUB_EXAMPLES") else {
            assert!(
                std::env::var("SLIPWAY_REQUIRE_ALL").as_deref() != Ok("1"),
                "tests/octokit/fetch has examples"
            );
            return println!("skipped: SLIPWAY_TEST_GITHUB_EXAMPLES names no folder");
        };
        let (mut pushes, mut pings, mut pulls, mut others) = (0, 0, 0, 0);
        for host in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            let Ok(text) = std::fs::read(host.join("index.json")) else { continue };
            let events: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
            for event in &events {
                let name = event["name"].as_str().expect("a name");
                for example in event["examples"].as_array().expect("examples") {
                    let what = format!("{name} of {}: {example}", host.display());
                    let said = read(Provider::Github, name, example.to_string().as_bytes()).expect(&what);
                    match name {
                        "push" => {
                            pushes += 1;
                            let sender = example["sender"]["login"].as_str();
                            let expected = Told {
                                kind: Kind::Push,
                                git_ref: example["ref"].as_str().map(str::to_owned),
                                deleted: example["deleted"].as_bool().expect("it is said"),
                                actor: sender.or(example["pusher"]["name"].as_str()).map(str::to_owned),
                                pull: None,
                            };
                            assert!(expected.actor.is_some(), "{what}");
                            assert_eq!(said, expected, "{what}");
                        }
                        "ping" => {
                            pings += 1;
                            assert_eq!(said.kind, Kind::Ping, "{what}");
                        }
                        "pull_request" if said.kind == Kind::Pull => {
                            pulls += 1;
                            let pull = said.pull.expect(&what);
                            let (told, action) = (&example["pull_request"], example["action"].as_str());
                            assert_eq!(Some(pull.number), example["number"].as_i64(), "{what}");
                            assert_eq!(Some(pull.title.as_str()), told["title"].as_str(), "{what}");
                            assert_eq!(Some(pull.branch.as_str()), told["head"]["ref"].as_str(), "{what}");
                            let same = told["head"]["repo"]["id"] == told["base"]["repo"]["id"];
                            assert_eq!(pull.fork.is_none(), same, "{what}");
                            assert_eq!(pull.change == PullChange::Closed, action == Some("closed"), "{what}");
                            assert!(pull.changed_at.is_some(), "{what}");
                        }
                        _ => {
                            others += 1;
                            assert_eq!(said.kind, Kind::Other, "{what}");
                        }
                    }
                }
            }
        }
        let counts = format!("{pushes} pushes, {pings} pings, {pulls} pull requests, {others} others");
        println!("{counts}");
        assert!(pushes >= 7 && pings >= 4 && pulls >= 4 && others > 200, "{counts}");
    }

    #[test]
    fn a_delivery_has_one_name_however_often_it_comes() {
        let named = |name: &'static str, value: &str| {
            let headers: HeaderMap =
                [(name.parse().expect("a name"), value.parse().expect("a value"))].into_iter().collect();
            headers
        };
        let twice = named("x-github-delivery", "72d3162e");
        assert_eq!(Envelope::read(Provider::Github, &twice), Envelope::read(Provider::Github, &twice));
        let nameless = HeaderMap::new();
        assert_ne!(
            Envelope::read(Provider::Generic, &nameless),
            Envelope::read(Provider::Generic, &nameless)
        );
        let long = named("webhook-id", &"x".repeat(5000));
        assert_eq!(Envelope::read(Provider::Gitlab, &long).delivery.len(), 64);
    }
}
