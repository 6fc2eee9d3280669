//! Which of several modules or projects runs.

use super::kind::Kind;
use crate::languages::App;

/// The names of folders that are `web` where several run, in this order.
const WEB: [&str; 7] = ["web", "server", "app", "application", "api", "boot", "service"];

/// The only one of `known`, or the one of a telling name; where the Procfile says what runs, the root will do.
pub(super) fn running(app: &App<'_>, known: &[(&str, Kind)]) -> Option<(String, Kind)> {
    let last = |folder: &str| folder.rsplit('/').next().unwrap_or_default().to_owned();
    let of_name = || WEB.iter().find_map(|name| known.iter().find(|(folder, _)| last(folder) == *name));
    let chosen = if let [only] = known { Some(only) } else { of_name() };
    let chosen = chosen.map(|(folder, kind)| ((*folder).to_owned(), *kind));
    chosen.or_else(|| app.has_web().then(|| (String::new(), Kind::Unknown)))
}
