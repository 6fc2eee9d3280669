//! The result of each ref, as `report-status` and `report-status-v2` say it.

use super::pktline::{FLUSH, push_packet};
use super::request::{Report, Request};
use crate::git::oid::Oid;

/// Bytes of a reason; clients print it on one line.
const LONGEST_REASON: usize = 1000;

/// What became of one ref of the push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefResult {
    /// As the client named it.
    pub(crate) name: String,
    pub(crate) outcome: RefOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RefOutcome {
    /// It moved as asked.
    Moved,
    /// It moved to a commit that does not descend from the old one.
    Forced { old: Oid, new: Oid },
    /// Accepted, and kept under another name for now: clients print `main -> refs/builds/12`. Those that do not know
    /// report-status-v2 are told that it moved.
    Elsewhere { name: String, new: Oid },
    /// It did not move, and why.
    Refused(String),
}

impl RefResult {
    pub(crate) fn moved(name: &str) -> Self {
        Self { name: name.to_owned(), outcome: RefOutcome::Moved }
    }

    pub(crate) fn refused(name: &str, reason: &str) -> Self {
        Self { name: name.to_owned(), outcome: RefOutcome::Refused(reason.to_owned()) }
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.outcome, RefOutcome::Refused(_))
    }
}

/// With `--atomic`, one refusal refuses all. To be asked before the first ref moves.
pub(crate) fn all_or_nothing(request: &Request, mut results: Vec<RefResult>) -> Vec<RefResult> {
    let Some(first) = results.iter().find(|result| result.is_refused()).map(|result| result.name.clone())
    else {
        return results;
    };
    if request.capabilities.atomic {
        for result in results.iter_mut().filter(|result| !result.is_refused()) {
            result.outcome = RefOutcome::Refused(format!("atomic push: {first} was refused"));
        }
    }
    results
}

/// The packets of the report, with the flush that ends it; nothing for a client that asked for none.
pub(super) fn render(format: Report, unpack: &Result<(), String>, results: &[RefResult]) -> Vec<u8> {
    let mut message = Vec::new();
    if format == Report::None {
        return message;
    }
    let mut line = |text: String| push_packet(&mut message, format!("{text}\n").as_bytes());
    match unpack {
        Ok(()) => line("unpack ok".to_owned()),
        Err(reason) => line(format!("unpack {}", one_line(reason))),
    }
    for RefResult { name, outcome } in results {
        match outcome {
            RefOutcome::Refused(reason) => line(format!("ng {name} {}", one_line(reason))),
            accepted => {
                line(format!("ok {name}"));
                if format == Report::V2 {
                    options(accepted).into_iter().for_each(&mut line);
                }
            }
        }
    }
    message.extend_from_slice(FLUSH);
    message
}

fn options(outcome: &RefOutcome) -> Vec<String> {
    match outcome {
        RefOutcome::Forced { old, new } => vec![
            format!("option old-oid {old}"),
            format!("option new-oid {new}"),
            "option forced-update".to_owned(),
        ],
        RefOutcome::Elsewhere { name, new } => vec![
            format!("option refname {name}"),
            format!("option old-oid {}", Oid::ZERO),
            format!("option new-oid {new}"),
        ],
        RefOutcome::Moved | RefOutcome::Refused(_) => Vec::new(),
    }
}

/// A line break would forge the next line of the report.
fn one_line(reason: &str) -> String {
    let mut line = reason.split(char::is_control).map(str::trim).collect::<Vec<_>>().join(" ");
    if line.len() > LONGEST_REASON {
        let cut = (0..=LONGEST_REASON).rev().find(|at| line.is_char_boundary(*at)).unwrap_or_default();
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_cannot_forge_a_line_of_the_report() {
        let results = [RefResult::refused("refs/heads/x", "no\nok refs/heads/y")];
        let wire = render(Report::V1, &Ok(()), &results);
        assert_eq!(
            String::from_utf8(wire).unwrap(),
            "000eunpack ok\n0027ng refs/heads/x no ok refs/heads/y\n0000"
        );
    }

    #[test]
    fn one_refusal_refuses_all_of_an_atomic_push() {
        let mut request = Request::default();
        let results = || vec![RefResult::moved("refs/heads/a"), RefResult::refused("refs/heads/b", "no")];
        assert_eq!(all_or_nothing(&request, results()), results());
        request.capabilities.atomic = true;
        assert!(all_or_nothing(&request, results()).iter().all(RefResult::is_refused));
    }
}
