//! bun, as a package manager; whether it also runs the app is the start command's business.

use super::Wanted;
use crate::recipe::Run;

const CACHE: &str = "/root/.bun/install/cache";

pub(super) fn install(locked: bool, wanted: Wanted) -> Run {
    let locked = if locked { " --frozen-lockfile" } else { "" };
    // It leaves the dev dependencies out if NODE_ENV says so.
    let command = match wanted {
        Wanted::All => format!("NODE_ENV=development bun install{locked}"),
        Wanted::Production => format!("bun install{locked} --production"),
    };
    Run::install([command]).cache("bun", CACHE)
}

/// It has no verb for it. Scripts run again, for those of native packages build what is thrown away here.
pub(super) fn prune(locked: bool) -> Run {
    let mut run = install(locked, Wanted::Production);
    run.commands.insert(0, "rm -rf node_modules".to_owned());
    run
}
