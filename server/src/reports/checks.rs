//! What a host says of a commit's checks: statuses, and at GitHub check runs too. Ours are left aside.

use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::host::{Host, ReportError};
use crate::domain::hook::Provider;

/// Rows of a page, of which the hosts give no more; and pages that are read.
const PAGE: usize = 50;
const MOST_PAGES: usize = 20;
/// How the contexts of our own statuses begin.
const OURS: &str = "slipway/";

/// How the checks of a commit stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checks {
    /// There are none, or none yet.
    None,
    Good,
    /// Those that run or wait.
    Pending(Vec<String>),
    /// Those that have not gone well.
    Failing(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Pending,
    Failing,
}

impl Host {
    /// Asks for the checks of a commit.
    pub(crate) async fn checks(&self, commit: &str) -> Result<Checks, ReportError> {
        let repository = &self.repository;
        let of_commit = format!("/repos/{repository}/commits/{commit}");
        let found = match self.provider {
            Provider::Github => {
                let mut all =
                    self.pages(&format!("{of_commit}/status"), "per_page", "statuses", of_status).await?;
                all.extend(
                    self.pages(&format!("{of_commit}/check-runs"), "per_page", "check_runs", of_run).await?,
                );
                all
            }
            Provider::Gitlab => {
                let project: String = byte_serialize(repository.as_bytes()).collect();
                let path = format!("/projects/{project}/repository/commits/{commit}/statuses");
                self.pages(&path, "per_page", "", of_job).await?
            }
            Provider::Gitea | Provider::Forgejo | Provider::Generic => {
                self.pages(&format!("{of_commit}/status"), "limit", "statuses", of_status).await?
            }
        };
        Ok(sum(found.into_iter().filter(|(name, _)| !name.starts_with(OURS))))
    }

    /// Reads a list to its end; `field` is where an answer has it, if it is not the whole of it.
    async fn pages(
        &self,
        path: &str,
        size: &str,
        field: &str,
        read: fn(&Value) -> (String, State),
    ) -> Result<Vec<(String, State)>, ReportError> {
        let mut found = Vec::new();
        for page in 1..=MOST_PAGES {
            let answer = self.get(&format!("{path}?{size}={PAGE}&page={page}")).await?;
            let rows = match (if field.is_empty() { &answer } else { &answer[field] }, &answer) {
                (Value::Array(rows), _) => rows.as_slice(),
                // Gitea's word for an empty list.
                (Value::Null, Value::Object(_)) => &[],
                // A page of a proxy, say. "No checks" would deploy the commit.
                _ => return Err(ReportError::Garbled(self.name.clone())),
            };
            found.extend(rows.iter().map(read));
            if rows.len() < PAGE {
                break;
            }
        }
        Ok(found)
    }
}

fn text<'a>(row: &'a Value, fields: &[&str]) -> &'a str {
    fields.iter().find_map(|field| row[*field].as_str()).unwrap_or_default()
}

/// A status of GitHub (`state`), or of Gitea and Forgejo (`status`).
fn of_status(row: &Value) -> (String, State) {
    let state = match text(row, &["state", "status"]) {
        "success" | "warning" | "skipped" => State::Good,
        "pending" => State::Pending,
        _ => State::Failing,
    };
    (text(row, &["context"]).to_owned(), state)
}

/// A check run of GitHub.
fn of_run(row: &Value) -> (String, State) {
    let state = match (text(row, &["status"]), text(row, &["conclusion"])) {
        ("completed", "success" | "neutral" | "skipped") => State::Good,
        ("completed", _) => State::Failing,
        _ => State::Pending,
    };
    (text(row, &["name"]).to_owned(), state)
}

/// A status of GitLab, whose jobs are among them.
fn of_job(row: &Value) -> (String, State) {
    let state = match text(row, &["status"]) {
        // One that somebody may start by hand is none that anybody waits for.
        "success" | "skipped" | "manual" => State::Good,
        "failed" | "canceled" if row["allow_failure"] == true => State::Good,
        "failed" | "canceled" | "canceling" => State::Failing,
        _ => State::Pending,
    };
    (text(row, &["name"]).to_owned(), state)
}

/// One that fails decides; else all have to be over.
fn sum(found: impl Iterator<Item = (String, State)>) -> Checks {
    let (mut any, mut pending, mut failing) = (false, Vec::new(), Vec::new());
    for (name, state) in found {
        any = true;
        match state {
            State::Good => {}
            State::Pending => pending.push(name),
            State::Failing => failing.push(name),
        }
    }
    match (any, failing.is_empty(), pending.is_empty()) {
        (false, ..) => Checks::None,
        (true, false, _) => Checks::Failing(failing),
        (true, true, false) => Checks::Pending(pending),
        (true, true, true) => Checks::Good,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_host_has_words_of_its_own_for_how_a_check_went() {
        for (read, row, expected) in [
            (
                of_status as fn(&Value) -> (String, State),
                json!({ "context": "ci", "state": "success" }),
                State::Good,
            ),
            (of_status, json!({ "context": "ci", "status": "pending" }), State::Pending),
            (of_status, json!({ "context": "ci", "status": "error" }), State::Failing),
            (of_run, json!({ "name": "ci", "status": "completed", "conclusion": "neutral" }), State::Good),
            (
                of_run,
                json!({ "name": "ci", "status": "completed", "conclusion": "timed_out" }),
                State::Failing,
            ),
            (of_run, json!({ "name": "ci", "status": "in_progress", "conclusion": null }), State::Pending),
            (of_job, json!({ "name": "ci", "status": "failed", "allow_failure": true }), State::Good),
            (of_job, json!({ "name": "ci", "status": "failed", "allow_failure": false }), State::Failing),
            (of_job, json!({ "name": "ci", "status": "waiting_for_resource" }), State::Pending),
        ] {
            assert_eq!(read(&row), ("ci".to_owned(), expected), "{row}");
        }
    }

    #[test]
    fn one_that_fails_decides_and_else_all_have_to_be_over() {
        let of =
            |states: &[State]| sum(states.iter().enumerate().map(|(n, state)| (format!("c{n}"), *state)));
        use State::{Failing, Good, Pending};
        assert_eq!(of(&[]), Checks::None);
        assert_eq!(of(&[Good, Good]), Checks::Good);
        assert_eq!(of(&[Good, Pending]), Checks::Pending(vec!["c1".to_owned()]));
        assert_eq!(of(&[Pending, Failing]), Checks::Failing(vec!["c1".to_owned()]));
    }
}
