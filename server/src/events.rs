//! What the platform does with an app, as lines in the app's log, beside what its processes write.

use jiff::Timestamp;

use crate::db::releases::Release;
use crate::domain::ids::ReleaseId;
use crate::domain::names::AppName;
use crate::platform::Platform;

/// What people and pipelines do, as Heroku calls it.
pub(crate) const API: &str = "api";

/// Says something about an app: `slipway[<process>]: <text>`. `process` is `api`, or a process such as `web.1`.
pub(crate) async fn note(platform: &Platform, app: &AppName, process: &str, text: impl AsRef<str>) {
    note_at(platform, app, (Timestamp::now(), process), &[text.as_ref()]).await;
}

/// A release was made: said once, with its own time, however often it is told.
pub(crate) async fn released(platform: &Platform, app: &AppName, release: &Release) {
    let Release { version, description, actor_name, .. } = release;
    let texts =
        [format!("{description} by {actor_name}"), format!("Release v{version} created by {actor_name}")];
    note_at(platform, app, (made_at(release.id), API), &texts).await;
}

async fn note_at(
    platform: &Platform,
    app: &AppName,
    (at, process): (Timestamp, &str),
    texts: &[impl AsRef<str> + Sync],
) {
    let kind = process.split('.').next().unwrap_or(process);
    platform.journals.note(app, at, (process, kind), texts).await;
}

/// Ids begin with the time.
fn made_at(release: ReleaseId) -> Timestamp {
    let time = release.0.get_timestamp().and_then(|time| {
        let (seconds, nanoseconds) = time.to_unix();
        Timestamp::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?).ok()
    });
    time.unwrap_or_else(Timestamp::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_releases_time_is_the_one_at_which_it_was_made() {
        let (before, id, after) = (Timestamp::now(), ReleaseId::new(), Timestamp::now());
        let at = made_at(id);
        assert!(at.as_millisecond() >= before.as_millisecond() && at <= after, "{before} {at} {after}");
        assert_eq!(made_at(id), at);
    }
}
