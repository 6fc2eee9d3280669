//! Two releases of an app side by side: the commits between them, config vars by name, process types, images.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use bytesize::ByteSize;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tracing::warn;

use super::admission::Visitor;
use super::history::{Line, line};
use super::page::{Failure, Frame, Here, show};
use super::text::short;
use crate::db::apps::App;
use crate::db::connections;
use crate::db::releases::{self, Code, Release};
use crate::domain::blueprint::Blueprint;
use crate::domain::hook::Provider;
use crate::domain::image::ImageSource;
use crate::git::{Between, Commits, Oid};
use crate::hooks::commit_page;
use crate::platform::Platform;
use crate::web::error::ApiError;

/// For the registry to tell how large an image is; the page goes without.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which two, as `v3` or `3`. Without them, what runs and the release before it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    frame: Frame,
    app: String,
    from: i64,
    to: i64,
    sides: [Side; 2],
    commits: Lists,
    config: Vec<(String, Change)>,
    processes: Vec<Process>,
}

struct Side {
    line: Line,
    image: Option<Image>,
}

struct Image {
    name: String,
    digest: String,
    size: String,
}

/// What is said of the commits, and the lists.
struct Lists {
    words: String,
    /// Each with what stands above it.
    lists: [(&'static str, Vec<Commit>); 2],
}

struct Commit {
    id: String,
    page: Option<String>,
    subject: String,
    author: String,
}

struct Process {
    name: String,
    change: Option<Change>,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Added,
    Removed,
    Changed,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

pub(super) async fn page(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Query(wish): Query<Wish>,
) -> Result<Response, Failure> {
    let wish = completed(&platform, &app, wish).await?;
    let (from, to) = (whole(&platform, &app, &wish.from).await?, whole(&platform, &app, &wish.to).await?);
    let place = connections::place_of(&mut *platform.pool.acquire().await?, app.id).await?;
    let (of_from, of_to) = (code_of(&from.1), code_of(&to.1));
    let ((commits, from_image), to_image) = tokio::join!(
        async {
            tokio::join!(
                lists(&platform, &app, place.as_ref(), (&from, &to)),
                image(&platform, of_from.as_ref())
            )
        },
        image(&platform, of_to.as_ref())
    );
    let title = format!("v{} and v{} of {}", from.0.version, to.0.version, app.name);
    show(&Page {
        frame: Frame::new(&visitor, Here::Apps, title),
        config: changes(&names(&from.1.config), &names(&to.1.config)),
        processes: processes(of_from.as_ref(), of_to.as_ref()),
        app: app.name.to_string(),
        from: from.0.version,
        to: to.0.version,
        sides: [Side { line: from.0, image: from_image }, Side { line: to.0, image: to_image }],
        commits,
    })
}

/// With what runs as `to` and the release before `to` as `from` where they are not said.
async fn completed(platform: &Platform, app: &App, wish: Wish) -> Result<Wish, ApiError> {
    let Wish { mut from, mut to } = wish;
    if to.trim().is_empty() {
        let current = releases::current_of(&mut *platform.pool.acquire().await?, app.id).await?;
        let none = || ApiError::NotFound(format!("{} has no release yet that could be compared", app.name));
        to = current.ok_or_else(none)?.version.to_string();
    }
    if from.trim().is_empty() {
        let to: i64 = to.trim().trim_start_matches('v').parse().unwrap_or(1);
        from = to.saturating_sub(1).max(1).to_string();
    }
    Ok(Wish { from, to })
}

async fn whole(platform: &Platform, app: &App, which: &str) -> Result<(Line, Release), ApiError> {
    let line = line(&platform.pool, app, which.trim()).await?;
    let release = releases::by_version(&mut *platform.pool.acquire().await?, app.id, line.version).await?;
    let gone = || ApiError::NotFound("the release has just gone".to_owned());
    Ok((line, release.ok_or_else(gone)?))
}

/// What runs in a release, and where its image lies.
struct Runs {
    blueprint: Blueprint,
    image: ImageSource,
}

fn code_of(release: &Release) -> Option<Runs> {
    let Code { image, digest, blueprint, .. } = release.code.as_ref()?;
    let blueprint: Blueprint = serde_json::from_value(blueprint.clone()).ok()?;
    let image = blueprint.main_image().cloned().unwrap_or_else(|| ImageSource::built(image, digest));
    Some(Runs { blueprint, image })
}

async fn image(platform: &Platform, runs: Option<&Runs>) -> Option<Image> {
    let image = &runs?.image;
    let size = match &image.registry {
        Some(host) => format!("not asked of {host}"),
        None => {
            let asked = async {
                let architecture = platform.architecture().await;
                platform.registry.size_of(&image.repository, &image.digest, &architecture).await
            };
            match timeout(PATIENCE, asked).await {
                Ok(Ok(bytes)) => format!("{} packed", ByteSize(bytes).display().iec()),
                Ok(Err(error)) if error.is_gone() => "the registry has it no more".to_owned(),
                Ok(Err(_)) | Err(_) => "the registry does not say".to_owned(),
            }
        }
    };
    Some(Image { name: image.to_string(), digest: image.digest.clone(), size })
}

async fn lists(
    platform: &Platform,
    app: &App,
    place: Option<&(Provider, String)>,
    (from, to): (&(Line, Release), &(Line, Release)),
) -> Lists {
    let commit_of = |release: &Release| release.code.as_ref().and_then(|code| code.commit.clone());
    let (old, new) = (from.0.version, to.0.version);
    let both = |added, removed| [("Only in", added), ("No more in", removed)];
    let only = |words: &str| Lists { words: words.to_owned(), lists: both(Vec::new(), Vec::new()) };
    let (Some(before), Some(after)) = (commit_of(&from.1), commit_of(&to.1)) else {
        return only(
            "One of the two has no commit: it ran no code yet, or an image that was built elsewhere.",
        );
    };
    if before == after {
        return only("Both run the same commit.");
    }
    let between = async {
        let (before, after): (Oid, Oid) = (before.parse()?, after.parse()?);
        anyhow::Ok(platform.repository(app.id).await?.between(before, after).await?)
    };
    match between.await {
        Ok(Some(between)) => Lists {
            words: words(&between, old, new),
            lists: both(shown(between.added, place), shown(between.removed, place)),
        },
        Ok(None) => {
            only("The repository has one of the two commits no more: a forced push has taken it back.")
        }
        Err(error) => {
            warn!(app = %app.name, "Could not list the commits between two releases: {error:#}");
            only("The commits could not be listed: the server's log has the cause.")
        }
    }
}

/// What the lists mean, in a sentence or two.
fn words(between: &Between, old: i64, new: i64) -> String {
    let (added, removed) = (&between.added, &between.removed);
    let mut words = match (added.listed.is_empty(), removed.listed.is_empty()) {
        (_, true) => format!("v{new} has {} more than v{old}.", number(added)),
        (true, false) => format!("v{new} is older code: {} of v{old} are not in it.", number(removed)),
        (false, false) => format!(
            "The history was rewritten between the two: v{new} has {} that v{old} lacks, and lacks {} of v{old}.",
            number(added),
            number(removed)
        ),
    };
    if between.shallow {
        words.push_str(
            " The history here is cut off, for a shallow clone has pushed: a push from a full clone fills it in.",
        );
    }
    words
}

fn number(commits: &Commits) -> String {
    match (commits.listed.len(), commits.more) {
        (count, true) => format!("more than {count} commits"),
        (1, false) => "1 commit".to_owned(),
        (count, false) => format!("{count} commits"),
    }
}

fn shown(commits: Commits, place: Option<&(Provider, String)>) -> Vec<Commit> {
    let page = |id: &str| place.and_then(|(provider, url)| commit_page(*provider, url, id));
    let shown = commits.listed.into_iter().map(|listed| {
        let id = listed.commit.to_string();
        Commit { page: page(&id), id: short(&id), subject: listed.subject, author: listed.author }
    });
    shown.collect()
}

/// The version of each config var's value; the values themselves stay where they are.
fn names(config: &Value) -> BTreeMap<String, Value> {
    let config = config.as_object().cloned().unwrap_or_default();
    config.into_iter().collect()
}

/// The names under which the two differ, and how.
fn changes<V: PartialEq>(from: &BTreeMap<String, V>, to: &BTreeMap<String, V>) -> Vec<(String, Change)> {
    let all: BTreeMap<&String, ()> = from.keys().chain(to.keys()).map(|name| (name, ())).collect();
    let change = |name: &String| match (from.get(name), to.get(name)) {
        (None, Some(_)) => Some(Change::Added),
        (Some(_), None) => Some(Change::Removed),
        (old, new) => (old != new).then_some(Change::Changed),
    };
    all.into_keys().filter_map(|name| Some((name.clone(), change(name)?))).collect()
}

fn processes(from: Option<&Runs>, to: Option<&Runs>) -> Vec<Process> {
    let (from, to) = (commands(from), commands(to));
    let changes: BTreeMap<String, Change> = changes(&from, &to).into_iter().collect();
    let mut all = from.clone();
    all.extend(to.iter().map(|(name, command)| (name.clone(), command.clone())));
    let process = |name: String| Process {
        change: changes.get(&name).copied(),
        from: from.get(&name).cloned(),
        to: to.get(&name).cloned(),
        name,
    };
    all.into_keys().map(process).collect()
}

/// The command of each process type, and of what runs before and beside them.
fn commands(runs: Option<&Runs>) -> BTreeMap<String, String> {
    let Some(Runs { blueprint, .. }) = runs else { return BTreeMap::new() };
    let own = || "what the image says".to_owned();
    let lasting = blueprint.processes.iter();
    let lasting = lasting.map(|(name, command)| (name.to_string(), command.clone().unwrap_or_else(own)));
    let phases = [("release", &blueprint.release), ("postdeploy", &blueprint.postdeploy)];
    let phases = phases.into_iter().filter_map(|(name, command)| Some((name.to_owned(), command.clone()?)));
    lasting.chain(phases).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_was_added_removed_and_changed() {
        let map = |pairs: &[(&str, i64)]| pairs.iter().map(|(name, v)| ((*name).to_owned(), *v)).collect();
        let (from, to) = (map(&[("A", 1), ("B", 1), ("C", 1)]), map(&[("A", 1), ("B", 2), ("D", 1)]));
        let found: Vec<(String, &str)> =
            changes(&from, &to).into_iter().map(|(name, change)| (name, change.word())).collect();
        let expected = [("B", "changed"), ("C", "removed"), ("D", "added")];
        assert_eq!(found, expected.map(|(name, word)| (name.to_owned(), word)));
    }

    #[test]
    fn what_differs_is_said_in_a_sentence() {
        let one = || Commits {
            listed: vec![crate::git::Listed {
                commit: Oid::ZERO,
                subject: String::new(),
                author: String::new(),
            }],
            more: false,
        };
        let said = |added, removed, shallow| words(&Between { added, removed, shallow }, 3, 7);
        assert_eq!(said(one(), Commits::default(), false), "v7 has 1 commit more than v3.");
        let many = Commits { more: true, ..one() };
        assert!(
            said(many, one(), true)
                .starts_with("The history was rewritten between the two: v7 has more than 1")
        );
        assert!(said(one(), one(), true).contains("shallow clone"));
    }
}
