//! What a delivery tells of a pull request, out of each host's own shapes.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::payload::{Malformed, clean};
use crate::domain::hook::{Kind, Provider, Pull, PullChange, Told};

/// What is said of the repository of a branch that is gone.
const GONE: &str = "a repository that is gone";

/// Reads what a verified delivery tells of a pull request. What changes neither its commits nor whether it is open is
/// [`Kind::Other`].
pub(super) fn read(provider: Provider, json: &[u8]) -> Result<Told, Malformed> {
    let told = if provider == Provider::Gitlab {
        parse::<MergeEvent>(json)?.told()
    } else {
        parse::<PullEvent>(json)?.told()
    };
    Ok(told.unwrap_or(Told { kind: Kind::Other, ..Told::look() }))
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(json).map_err(|_| Malformed)
}

/// GitHub, Gitea and Forgejo.
#[derive(Deserialize)]
struct PullEvent {
    action: String,
    number: i64,
    pull_request: PullRequest,
    sender: Option<Person>,
}

#[derive(Deserialize)]
struct PullRequest {
    title: String,
    head: End,
    base: End,
    updated_at: Option<String>,
}

/// One of the two branches of a pull request.
#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    /// Null when it was deleted.
    repo: Option<Repo>,
}

#[derive(Deserialize)]
struct Repo {
    id: i64,
    full_name: String,
}

#[derive(Deserialize)]
struct Person {
    login: String,
}

impl PullEvent {
    fn told(self) -> Option<Told> {
        let change = match self.action.as_str() {
            "opened" | "reopened" => PullChange::Opened,
            // GitHub's word, and Gitea's.
            "synchronize" | "synchronized" => PullChange::Pushed,
            "closed" => PullChange::Closed,
            _ => return None,
        };
        let PullRequest { title, head, base, updated_at } = self.pull_request;
        let own = base.repo.map(|repo| repo.id);
        let fork = match head.repo {
            Some(repo) if Some(repo.id) == own => None,
            Some(repo) => Some(clean(&repo.full_name)),
            None => Some(GONE.to_owned()),
        };
        let pull = Pull {
            number: self.number,
            change,
            title: clean(&title),
            branch: clean(&head.branch),
            fork,
            changed_at: updated_at.as_deref().and_then(time),
        };
        Some(told(pull, self.sender.map(|person| person.login)))
    }
}

/// GitLab.
#[derive(Deserialize)]
struct MergeEvent {
    object_attributes: MergeRequest,
    user: Option<User>,
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: i64,
    /// Missing where GitLab only tries whether anybody answers.
    action: Option<String>,
    /// The commit before; there only if there are new ones.
    oldrev: Option<String>,
    title: String,
    source_branch: String,
    source_project_id: Option<i64>,
    target_project_id: i64,
    source: Option<Project>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Project {
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

impl MergeEvent {
    fn told(self) -> Option<Told> {
        let request = self.object_attributes;
        let change = match (request.action.as_deref()?, &request.oldrev) {
            ("open" | "reopen", _) => PullChange::Opened,
            ("update", Some(_)) => PullChange::Pushed,
            ("close" | "merge", _) => PullChange::Closed,
            _ => return None,
        };
        let of_fork = request.source_project_id != Some(request.target_project_id);
        let name =
            request.source.map_or_else(|| GONE.to_owned(), |source| clean(&source.path_with_namespace));
        let pull = Pull {
            number: request.iid,
            change,
            title: clean(&request.title),
            branch: clean(&request.source_branch),
            fork: of_fork.then_some(name),
            changed_at: request.updated_at.as_deref().and_then(time),
        };
        Some(told(pull, self.user.map(|user| user.username)))
    }
}

fn told(pull: Pull, actor: Option<String>) -> Told {
    let actor = actor.map(|actor| clean(&actor)).filter(|actor| !actor.is_empty());
    Told { kind: Kind::Pull, actor, pull: Some(pull), ..Told::look() }
}

/// RFC 3339, or as older releases of GitLab write it: `2026-11-27 07:23:38 UTC`.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| text.replace(" UTC", "Z").parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told_by(provider: Provider, body: &Value) -> Told {
        read(provider, body.to_string().as_bytes()).unwrap_or_else(|_| panic!("{body}"))
    }

    fn github(action: &str, repo: Value) -> Value {
        json!({ "action": action, "number": 7, "sender": { "login": "ada" }, "pull_request": {
            "title": "Better\u{7}", "updated_at": "2026-11-27T07:23:38Z",
            "head": { "ref": "better", "sha": "22", "repo": repo },
            "base": { "ref": "main", "sha": "11", "repo": { "id": 1, "full_name": "ada/blog" } },
        }})
    }

    fn gitlab(action: &str, oldrev: Value, source: i64) -> Value {
        json!({ "object_kind": "merge_request", "user": { "username": "ada" }, "object_attributes": {
            "iid": 7, "action": action, "oldrev": oldrev, "title": "Better", "source_branch": "better",
            "source_project_id": source, "target_project_id": 1, "updated_at": "2026-11-27 07:23:38 UTC",
            "source": { "path_with_namespace": "mallory/blog" },
        }})
    }

    fn better(change: PullChange, fork: Option<&str>) -> Pull {
        Pull {
            number: 7,
            change,
            title: "Better".to_owned(),
            branch: "better".to_owned(),
            fork: fork.map(str::to_owned),
            changed_at: "2026-11-27T07:23:38Z".parse().ok(),
        }
    }

    #[test]
    fn each_host_has_words_of_its_own_for_a_pull_request() {
        let own = json!({ "id": 1, "full_name": "ada/blog" });
        for (action, change) in [
            ("opened", PullChange::Opened),
            ("reopened", PullChange::Opened),
            ("synchronize", PullChange::Pushed),
            ("synchronized", PullChange::Pushed),
            ("closed", PullChange::Closed),
        ] {
            for provider in [Provider::Github, Provider::Gitea, Provider::Forgejo] {
                let told = told_by(provider, &github(action, own.clone()));
                assert_eq!((told.kind, told.actor.as_deref()), (Kind::Pull, Some("ada")), "{action}");
                assert_eq!(told.pull, Some(better(change, None)), "{action}");
            }
        }
        for (action, oldrev, change) in [
            ("open", Value::Null, PullChange::Opened),
            ("reopen", Value::Null, PullChange::Opened),
            ("update", json!("11"), PullChange::Pushed),
            ("merge", Value::Null, PullChange::Closed),
            ("close", Value::Null, PullChange::Closed),
        ] {
            let told = told_by(Provider::Gitlab, &gitlab(action, oldrev, 1));
            assert_eq!((told.kind, told.actor.as_deref()), (Kind::Pull, Some("ada")), "{action}");
            assert_eq!(told.pull, Some(better(change, None)), "{action}");
        }
    }

    #[test]
    fn a_fork_is_told_apart_and_one_that_is_gone_is_a_fork_too() {
        let fork = |told: Told| told.pull.and_then(|pull| pull.fork);
        let other = json!({ "id": 2, "full_name": "mallory/blog" });
        assert_eq!(
            fork(told_by(Provider::Github, &github("opened", other))).as_deref(),
            Some("mallory/blog")
        );
        assert_eq!(fork(told_by(Provider::Github, &github("opened", Value::Null))).as_deref(), Some(GONE));
        let of_fork = told_by(Provider::Gitlab, &gitlab("open", Value::Null, 2));
        assert_eq!(fork(of_fork).as_deref(), Some("mallory/blog"));
        let mut nameless = gitlab("open", Value::Null, 1);
        nameless["object_attributes"]["source_project_id"] = Value::Null;
        assert!(fork(told_by(Provider::Gitlab, &nameless)).is_some());
    }

    #[test]
    fn a_title_or_a_label_that_changes_deploys_nothing() {
        let own = json!({ "id": 1, "full_name": "ada/blog" });
        for action in ["edited", "labeled", "review_requested"] {
            assert_eq!(told_by(Provider::Github, &github(action, own.clone())).kind, Kind::Other, "{action}");
        }
        assert_eq!(told_by(Provider::Gitlab, &gitlab("update", Value::Null, 1)).kind, Kind::Other);
        for body in [&b"{}"[..], b"[]", b"\xff", br#"{"action":"opened","number":1}"#] {
            assert_eq!(read(Provider::Github, body), Err(Malformed));
            assert_eq!(read(Provider::Gitlab, body), Err(Malformed));
        }
    }
}
