//! How a commit would be built, and whose fault it is where nobody can tell.

use std::io::Write as _;

use axum::http::StatusCode;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::*;
use crate::pipeline::source::SourceError;

#[tokio::test]
async fn a_commit_that_says_nothing_is_the_pushers_to_mend_and_one_that_is_gone_is_ours() {
    let Some(rig) = Rig::new().await else { return };
    let inspect = async |commit| rig.platform().inspect(&rig.app, commit).await.err().expect("is refused");
    let said = inspect(rig.commit("nothing to build", None)).await;
    assert!(matches!(&said, SourceError::Pushers(text) if text.contains("Dockerfile")), "{said:?}");
    let gone = inspect("1".repeat(40).parse().expect("an id")).await;
    assert!(matches!(gone, SourceError::Ours(_)), "{gone:?}");
    assert!(gone.to_string().ends_with("its log has the cause"), "{gone}");
}

#[tokio::test]
async fn a_file_that_the_repository_has_lost_is_ours_to_mend() {
    let Some(rig) = Rig::new().await else { return };
    // Too long for an LFS pointer: of such a file the listing of a tree reads the header alone.
    let text = format!("web: serve\n# {}\n", "long ".repeat(2000));
    let commit = rig.commit_file("Procfile", &text, None);
    let id = git2::Oid::hash_object(git2::ObjectType::Blob, text.as_bytes()).expect("an id").to_string();
    let (folder, file) = id.split_at(2);
    let loose = rig.repository.path().join("objects").join(folder).join(file);
    std::fs::remove_file(&loose).expect("is loose");
    let mut damaged = ZlibEncoder::new(Vec::new(), Compression::none());
    write!(damaged, "blob {}\0{text}", text.len()).expect("compresses");
    let mut damaged = damaged.finish().expect("compresses");
    // The checksum. A file that is cut short would have libgit2 wait for the rest of it for ever.
    *damaged.last_mut().expect("has an end") ^= 1;
    std::fs::write(&loose, damaged).expect("writes");
    let lost = rig.platform().inspect(&rig.app, commit).await.err().expect("is refused");
    assert!(matches!(&lost, SourceError::Ours(cause) if cause.to_string().contains("Procfile")), "{lost:?}");
}

#[tokio::test]
async fn the_api_shows_what_the_commit_lacks_and_of_our_own_faults_an_id_only() {
    let Some(rig) = Rig::new().await else { return };
    let address = "/apps/blog/buildpacks/dockerfile";
    rig.push("nothing to build").await;
    let lacking = rig.api.get(&rig.ada, address).await;
    assert_eq!(lacking.status, StatusCode::CONFLICT);
    assert!(lacking.text.contains("Dockerfile"), "{}", lacking.text);
    rig.sql("UPDATE builds SET commit = repeat('1', 40)").await;
    let gone = rig.api.get(&rig.ada, address).await;
    assert_eq!(gone.status, StatusCode::INTERNAL_SERVER_ERROR);
    let id = gone.headers["request-id"].to_str().expect("text");
    assert!(gone.text.contains(id) && !gone.text.contains("repository"), "{}", gone.text);
}
