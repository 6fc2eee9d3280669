//! Yarn 1.

use super::Wanted;
use crate::recipe::Run;

/// The last version there will be.
pub(super) const LAST: &str = "1.22.22";
const CACHE: &str = "/root/.cache/yarn";

pub(super) fn install(locked: bool, wanted: Wanted) -> Run {
    let locked = if locked { " --frozen-lockfile" } else { "" };
    let production = wanted == Wanted::Production;
    let command =
        format!("yarn install{locked} --production={production} --non-interactive --cache-folder {CACHE}");
    Run::install([command]).cache("yarn", CACHE)
}

pub(super) fn prune() -> Run {
    let command = format!(
        "yarn install --frozen-lockfile --production=true --ignore-scripts --prefer-offline --non-interactive --cache-folder {CACHE}"
    );
    Run::install([command]).cache("yarn", CACHE)
}
