//! npm, which each image of Node.js has.

use super::Wanted;
use crate::recipe::Run;

pub(super) const CACHE: &str = "/root/.npm";

pub(super) fn install(locked: bool, wanted: Wanted) -> Run {
    let verb = if locked { "ci" } else { "install" };
    // Said aloud, because NODE_ENV=production among the config vars would leave the dev dependencies out.
    let which = match wanted {
        Wanted::All => "--include=dev",
        Wanted::Production => "--omit=dev",
    };
    Run::install([format!("npm {verb} {which} --no-audit --no-fund")]).cache("npm", CACHE)
}

pub(super) fn prune() -> Run {
    Run::install(["npm prune --omit=dev --no-audit --no-fund"]).cache("npm", CACHE)
}
