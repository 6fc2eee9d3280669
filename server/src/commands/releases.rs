//! The history of what ran.

use super::client::path;
use super::failure::Failure;
use super::grammar::Newest;
use super::run::Session;
use super::text::when;
use crate::web::api::shapes::Release;

pub(super) async fn list(session: &mut Session, args: Newest) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let all = path(&["apps", app.as_str(), "releases"]);
    let rows = session.client.newest::<Release>(&all, args.num).await?;
    if session.options.json {
        return session.terminal.json(&rows).await;
    }
    if rows.is_empty() {
        return session
            .terminal
            .line(format!("{app} has no releases yet: `git push` makes the first."))
            .await;
    }
    let current = match rows.iter().find(|release| release.current) {
        Some(release) => Some(release.version),
        None => current(session, &all).await?,
    };
    let current = current.map_or_else(String::new, |version| format!(" - Current: v{version}"));
    session.terminal.heading(format!("{app} Releases{current}")).await?;
    session.terminal.rows(&rows.iter().map(row).collect::<Vec<_>>()).await
}

/// Which release is current when it is not among the newest: many failed since.
async fn current(session: &Session, all: &str) -> Result<Option<i64>, Failure> {
    let rows = session.client.newest::<Release>(all, 1000).await?;
    Ok(rows.iter().find(|release| release.current).map(|release| release.version))
}

fn row(release: &Release) -> [String; 5] {
    [
        format!("v{}", release.version),
        release.description.clone(),
        if release.current { "current".to_owned() } else { release.status.clone() },
        release.user.email.clone(),
        when(release.created_at),
    ]
}

pub(super) async fn info(session: &mut Session, which: Option<String>) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let release = match which {
        Some(which) => session.client.get(&path(&["apps", app.as_str(), "releases", &which])).await?,
        None => newest_that_matters(session, app.as_str()).await?,
    };
    if session.options.json {
        return session.terminal.json(&release).await;
    }
    session.terminal.heading(format!("Release v{}", release.version)).await?;
    session.terminal.rows(&facts(&release)).await
}

/// The current release; before there is one, the newest.
async fn newest_that_matters(session: &Session, app: &str) -> Result<Release, Failure> {
    let mut rows = session.client.newest::<Release>(&path(&["apps", app, "releases"]), 1000).await?;
    let chosen = rows.iter().position(|release| release.current).unwrap_or(0);
    if rows.is_empty() {
        return Err(Failure::refused(format!("{app} has no releases yet: `git push` makes the first")));
    }
    Ok(rows.swap_remove(chosen))
}

fn facts(release: &Release) -> Vec<[String; 2]> {
    let status = if release.current { "succeeded, current".to_owned() } else { release.status.clone() };
    let optional = [
        ("Reason:", release.reason.clone()),
        ("Commit:", release.commit.clone()),
        ("Build:", release.build.as_ref().map(|build| format!("#{}", build.number))),
        ("Image:", release.image.clone()),
        ("Digest:", release.digest.clone()),
        ("Rollback of:", release.rollback_of.map(|version| format!("v{version}"))),
    ];
    let mut facts = vec![
        ["Change:".to_owned(), release.description.clone()],
        ["Status:".to_owned(), status],
        ["By:".to_owned(), release.user.email.clone()],
        ["When:".to_owned(), when(release.created_at)],
        ["Trigger:".to_owned(), release.trigger.clone()],
    ];
    let known = optional.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
    facts.extend(known);
    let images = release.images.iter().map(|(name, image)| [format!("Image of {name}:"), image.clone()]);
    facts.extend(images);
    facts
}
