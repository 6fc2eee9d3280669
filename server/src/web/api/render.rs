//! From rows of the database to the API's shapes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::shapes;
use super::shapes::{Actor, Doors, Named, Numbered, Slug, SourceBlob};
use crate::db::apps::App;
use crate::db::batches::Batch;
use crate::db::credentials::{Key, Token};
use crate::db::history::{BuildEntry, ReleaseEntry};
use crate::db::people::User;
use crate::domain::build::BuildStatus;
use crate::domain::ids::UserId;
use crate::domain::image::ImageSource;

pub(super) fn account(user: &User) -> shapes::Account {
    shapes::Account {
        id: user.id.0,
        name: user.name.clone(),
        email: user.name.clone(),
        admin: user.admin,
        sign_in_email: user.email.clone(),
        created_at: user.created_at,
    }
}

pub(super) fn key(key: Key, owner: &str) -> shapes::Key {
    shapes::Key {
        id: key.id.0,
        comment: key.comment,
        fingerprint: key.fingerprint,
        public_key: key.public_key,
        email: owner.to_owned(),
        created_at: key.created_at,
        updated_at: key.created_at,
        last_used_at: key.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
    }
}

pub(super) fn authorization(token: Token) -> shapes::Authorization {
    shapes::Authorization {
        id: token.id.0,
        description: token.description,
        scope: vec!["global".to_owned()],
        access_token: None,
        created_at: token.created_at,
        updated_at: token.created_at,
        expires_at: token.expires_at.map(jiff_sqlx::Timestamp::to_jiff),
        last_used_at: token.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
    }
}

pub(super) fn app(app: &App, doors: &Doors) -> shapes::App {
    let only_one = |name: &str| Named { id: Uuid::nil(), name: name.to_owned() };
    shapes::App {
        id: app.id.0,
        name: app.name.to_string(),
        team: Named { id: app.team.0, name: app.team_name.clone() },
        owner: Actor { id: Some(app.team.0), email: app.team_name.clone() },
        region: only_one("slipway"),
        stack: only_one("container"),
        build_stack: only_one("container"),
        git_url: git_url(app, doors),
        web_url: doors.app_url.as_ref().map(|url| format!("{}/", url.replace("{app}", app.name.as_str()))),
        deploy_branch: app.deploy_branch.clone(),
        branch_commit: app.branch_commit.clone(),
        dockerfile: app.dockerfile.clone(),
        folder: app.folder.clone(),
        buildpack: app.buildpack.clone(),
        builder: app.builder.clone(),
        health_path: app.health_path.clone(),
        adoption: app.adoption.clone(),
        maintenance: false,
        created_at: app.created_at,
        updated_at: app.updated_at,
        released_at: app.released_at,
        archived_at: None,
    }
}

/// Over SSH; `ssh://` carries a port, which the short form cannot.
fn git_url(app: &App, doors: &Doors) -> String {
    format!("ssh://{}@{}:{}/{}.git", doors.ssh_user, doors.ssh_host, doors.ssh_port, app.name)
}

pub(super) fn release(entry: ReleaseEntry, app: &App, doors: &Doors) -> shapes::Release {
    let build = entry.build_id.zip(entry.build_number);
    shapes::Release {
        id: entry.id.0,
        version: entry.version,
        status: entry.status.as_str().to_owned(),
        description: entry.description,
        current: entry.current,
        user: actor(entry.actor_id, entry.actor_name),
        app: app_named(app),
        slug: build.map(|(id, _)| Slug { id: id.0 }),
        output_stream_url: entry.has_output.then(|| phases_url(app, entry.version, doors)),
        phases: Vec::new(),
        build: build.map(|(id, number)| Numbered { id: id.0, number }),
        trigger: entry.trigger,
        commit: entry.commit,
        image: entry.image,
        digest: entry.digest,
        images: images(entry.images),
        rollback_of: entry.rollback_of,
        reason: entry.reason,
        created_at: entry.created_at,
        updated_at: latest(entry.created_at, [entry.finished_at]),
    }
}

/// `repository:tag@digest` by process type.
fn images(stored: Option<Value>) -> BTreeMap<String, String> {
    let stored: BTreeMap<String, ImageSource> =
        stored.and_then(|images| serde_json::from_value(images).ok()).unwrap_or_default();
    let named = |image: ImageSource| match image.tag {
        Some(_) => format!("{image}@{}", image.digest),
        None => image.to_string(),
    };
    stored.into_iter().map(|(name, image)| (name, named(image))).collect()
}

pub(super) fn build(entry: BuildEntry, app: &App, doors: &Doors) -> shapes::Build {
    let release = entry.release_id.zip(entry.release_version);
    shapes::Build {
        id: entry.id.0,
        number: entry.number,
        status: in_herokus_words(entry.status).to_owned(),
        state: entry.status.as_str().to_owned(),
        app: app_named(app),
        user: actor(entry.actor_id, entry.actor_name),
        slug: release.map(|_| Slug { id: entry.id.0 }),
        release: release.map(|(id, number)| Numbered { id: id.0, number }),
        source_blob: SourceBlob { version: entry.commit.clone() },
        trigger: entry.trigger,
        commit: entry.commit,
        subject: entry.subject,
        digest: entry.digest,
        reason: entry.reason,
        superseded_by: entry.superseded_by,
        stages: Vec::new(),
        output_stream_url: output_url(app, entry.number, doors),
        created_at: entry.created_at,
        updated_at: latest(entry.created_at, [entry.started_at, entry.finished_at]),
        started_at: entry.started_at.map(jiff_sqlx::Timestamp::to_jiff),
        finished_at: entry.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
    }
}

pub(super) fn app_named(app: &App) -> Named {
    Named { id: app.id.0, name: app.name.to_string() }
}

fn actor(id: Option<UserId>, name: String) -> Actor {
    Actor { id: id.map(|id| id.0), email: name }
}

fn output_url(app: &App, build: i64, doors: &Doors) -> String {
    format!("{}/apps/{}/builds/{build}/output?follow=1", doors.http_url, app.name)
}

fn phases_url(app: &App, release: i64, doors: &Doors) -> String {
    format!("{}/apps/{}/releases/{release}/output?follow=1", doors.http_url, app.name)
}

pub(super) fn phase(batch: Batch) -> shapes::Phase {
    shapes::Phase {
        name: batch.kind.as_str().to_owned(),
        command: batch.command,
        status: batch.status.as_str().to_owned(),
        exit_status: batch.exit_status,
        reason: batch.reason,
        started_at: batch.started_at.map(jiff_sqlx::Timestamp::to_jiff),
        finished_at: batch.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
    }
}

fn latest<const N: usize>(first: Timestamp, later: [Option<jiff_sqlx::Timestamp>; N]) -> Timestamp {
    later.into_iter().flatten().map(jiff_sqlx::Timestamp::to_jiff).fold(first, Timestamp::max)
}

fn in_herokus_words(status: BuildStatus) -> &'static str {
    match status {
        BuildStatus::Queued | BuildStatus::Building | BuildStatus::Pushing => "pending",
        BuildStatus::Succeeded => "succeeded",
        BuildStatus::Failed | BuildStatus::Errored | BuildStatus::Canceled | BuildStatus::Superseded => {
            "failed"
        }
    }
}
