use super::*;
use crate::doors::KeyProof;
use crate::doors::testing::{Seen, attempt, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_and_its_owner_told_what_to_do() {
    let mut open = Open::new().await;
    let stranger = open.neighbours.make_key("stranger", &["-t", "ed25519"]).await;
    let line = run(Command::new("ssh-keygen").arg("-lf").arg(&stranger)).await;
    let fingerprint = line.split(' ').nth(1).unwrap();
    let (entered, said) = attempt(open.ssh_with(&[&stranger]).arg("whoami")).await;
    assert!(!entered && said.contains("Permission denied"), "{said}");
    assert!(said.contains(&format!("does not know your key {fingerprint}")), "{said}");
    assert!(said.contains("keys:add"), "{said}");
    assert_eq!(open.neighbours.seen(), [Seen::Key(fingerprint.to_owned(), KeyProof::Offered)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lets_in_only_after_its_signature() {
    let mut open = Open::new().await;
    run(open.ssh().arg("whoami")).await;
    let proofs: Vec<KeyProof> = open
        .neighbours
        .seen()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Key(_, proof) => Some(proof),
            _ => None,
        })
        .collect();
    // Whose it is, is asked once more for the order itself.
    assert_eq!(proofs, [KeyProof::Offered, KeyProof::Verified, KeyProof::Verified]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_is_good_with_sha_2_only() {
    let open = Open::new().await;
    let rsa = open.neighbours.make_key("rsa", &["-t", "rsa", "-b", "3072"]).await;
    open.neighbours.add_key(&rsa).await;
    assert_eq!(run(open.ssh_with(&[&rsa]).arg("whoami")).await, "ada");
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        let option = format!("PubkeyAcceptedAlgorithms={algorithm}");
        assert_eq!(run(open.ssh_with(&[&rsa]).args(["-o", &option, "whoami"])).await, "ada");
    }
    let sha_1 = ["-v", "-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "whoami"];
    let (entered, said) = attempt(open.ssh_with(&[&rsa]).args(sha_1)).await;
    assert!(!entered && said.contains("Permission denied"), "{said}");
    let offered = said.lines().find(|line| line.contains("server-sig-algs")).unwrap_or_default();
    assert!(!offered.is_empty() && !offered.contains("ssh-rsa"), "{offered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_rsa_key_is_refused() {
    let open = Open::new().await;
    let short = open.neighbours.make_key("short", &["-t", "rsa", "-b", "1024"]).await;
    open.neighbours.add_key(&short).await;
    let (entered, said) =
        attempt(open.ssh_with(&[&short]).args(["-o", "RequiredRSASize=1024", "whoami"])).await;
    assert!(!entered && said.contains("too short"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_not_even_asked_for() {
    let open = Open::new().await;
    let no_keys = [
        "-v",
        "-o",
        "PubkeyAuthentication=no",
        "-o",
        "PreferredAuthentications=password,hostbased,none",
        "whoami",
    ];
    let (entered, said) = attempt(open.ssh_with(&[]).args(no_keys)).await;
    assert!(!entered, "{said}");
    assert!(said.contains("Authentications that can continue: publickey"), "{said}");
    assert!(!said.contains("Next authentication method: password"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_one_is_told_so() {
    let open = Open::new().await;
    let (entered, said) = attempt(open.ssh_with(&[]).args(["-o", "PubkeyAuthentication=no", "whoami"])).await;
    assert!(!entered && said.contains("has offered none"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fifth_key_is_not_tried() {
    let open = Open::new().await;
    let mut wrong = Vec::new();
    for n in 0..4 {
        wrong.push(open.neighbours.make_key(&format!("wrong{n}"), &["-t", "ed25519"]).await);
    }
    let mut keys: Vec<&Path> = wrong.iter().map(PathBuf::as_path).collect();
    keys.push(&open.key);
    assert_eq!(run(open.ssh_with(&keys[1..]).arg("whoami")).await, "ada");
    let (entered, said) = attempt(open.ssh_with(&keys).arg("whoami")).await;
    assert!(!entered && said.contains("Too many authentication attempts"), "{said}");
}
