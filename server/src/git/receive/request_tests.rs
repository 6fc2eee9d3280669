use proptest::prelude::*;

use super::super::pktline::{FLUSH, push_packet};
use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const ZERO: &str = "0000000000000000000000000000000000000000";

fn wire(lists: &[&[String]]) -> Vec<u8> {
    let mut wire = Vec::new();
    for list in lists {
        for line in *list {
            push_packet(&mut wire, line.as_bytes());
        }
        wire.extend_from_slice(FLUSH);
    }
    wire
}

fn commands(count: usize) -> Vec<String> {
    let command = |n| format!("{ZERO} {A} refs/heads/b{n}");
    let mut lines: Vec<_> = (0..count).map(command).collect();
    lines[0]
        .push_str("\0 report-status-v2 report-status side-band-64k push-options atomic quiet agent=git/2.39");
    lines
}

fn read(wire: &[u8]) -> (Result<Option<Request>, RequestError>, usize) {
    let mut rest = wire;
    let outcome = block_on(read_wire(&mut rest, &ReceiveLimits::default()));
    (outcome, rest.len())
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn problem(outcome: Result<Option<Request>, RequestError>) -> Problem {
    match outcome {
        Err(RequestError::Refused { problem, .. }) => problem,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn commands_options_and_shallow_lines_are_read_and_the_pack_is_left() {
    let mut lines = commands(2);
    lines.insert(0, format!("shallow {B}"));
    let mut bytes = wire(&[&lines, &["detach".to_owned(), "no-cache".to_owned()]]);
    bytes.extend_from_slice(b"PACK");
    let (request, rest) = read(&bytes);
    let request = request.unwrap().unwrap();
    assert_eq!(rest, 4);
    assert_eq!(request.options, ["detach", "no-cache"]);
    assert_eq!(request.shallow, [B.parse().unwrap()]);
    assert_eq!(request.commands[1].name, "refs/heads/b1");
    let expected =
        Capabilities { report: Report::V2, side_band: true, atomic: true, quiet: true, push_options: true };
    assert_eq!(request.capabilities, expected);
    assert!(request.sends_pack());
}

#[test]
fn the_probe_of_git_over_http_asks_for_nothing() {
    assert!(matches!(read(b"0000"), (Ok(None), 0)));
}

#[test]
fn every_cap_has_its_sentence() {
    let options = |count| vec!["x".to_owned(); count];
    let push = |lists: &[&[String]]| problem(read(&wire(lists)).0).to_string();
    insta::assert_snapshot!(push(&[&commands(65), &[]]), @"65 refs in one push, at most 64 are accepted: push fewer at a time, or have SLIPWAY_MAX_REFS raised");
    insta::assert_snapshot!(push(&[&commands(1), &options(33)]), @"33 push options, at most 32 are accepted (SLIPWAY_MAX_PUSH_OPTIONS)");
    insta::assert_snapshot!(push(&[&commands(1), &["a\x1bb".to_owned()]]), @"a push option of more than 1024 bytes, or with control characters");
    let one = |line: String| push(&[&[line]]);
    insta::assert_snapshot!(one(format!("{ZERO} {A} refs/builds/1")), @"refs/builds/1 cannot be pushed: only branches and tags can be pushed here: refs/heads/… and refs/tags/…");
    insta::assert_snapshot!(one(format!("{ZERO} {ZERO} refs/heads/x")), @"refs/heads/x is asked to be deleted, but was not seen to exist");
    insta::assert_snapshot!(one(format!("{ZERO} {A} refs/heads/x\0object-format=sha256")), @"this server keeps SHA-1 repositories, the push comes from one of another object format");
    insta::assert_snapshot!(one("push-cert\0x".to_owned()), @"a line of the request is not understood (signed pushes are not offered)");
    let twice = [commands(1), commands(1)].concat();
    insta::assert_snapshot!(push(&[&twice, &[]]), @"refs/heads/b0 is named twice in one push");
}

#[test]
fn a_refused_request_still_knows_its_refs_and_capabilities() {
    let Err(RequestError::Refused { request, .. }) = read(&wire(&[&commands(65), &[]])).0 else {
        panic!("not refused");
    };
    assert_eq!(request.commands.len(), 65);
    assert_eq!(request.capabilities.report, Report::V2);
}

#[test]
fn a_client_that_leaves_half_way_has_vanished() {
    let whole = wire(&[&commands(2), &[]]);
    for end in 0..whole.len() {
        assert!(matches!(read(&whole[..end]).0, Err(RequestError::Vanished)), "cut at {end}");
    }
}

#[test]
fn a_push_that_only_deletes_sends_no_pack() {
    let (request, _) = read(&wire(&[&[format!("{A} {ZERO} refs/heads/x")]]));
    assert!(!request.unwrap().unwrap().sends_pack());
}

proptest! {
    #[test]
    fn any_lines_give_a_request_or_an_error(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..20)
    ) {
        let mut bytes = Vec::new();
        for line in &lines {
            push_packet(&mut bytes, line);
        }
        bytes.extend_from_slice(FLUSH);
        if let Ok(Some(request)) = read(&bytes).0 {
            prop_assert!(request.commands.iter().all(|command| refname::check(&command.name).is_ok()));
        }
    }

    #[test]
    fn any_command_that_is_accepted_has_a_name_that_git_accepts(name in "refs/(heads|tags|x)/[ -~]{0,30}") {
        let line = format!("{ZERO} {A} {name}");
        let accepted = parse_commands(&[line.into_bytes()], 64).1.is_none();
        prop_assert!(!accepted || git2::Reference::is_valid_name(&name));
    }
}
