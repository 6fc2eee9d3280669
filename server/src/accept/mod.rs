//! From a door's byte stream to an accepted build, and back: the pusher watches until it is over.
//!
//! Invariant: what runs does not depend on the pusher. The build is accepted in one transaction; from there on the
//! connection only follows the log, and closing it cancels nothing.

mod dry_run;
mod policy;
mod receive;
mod verdict;

use std::sync::Arc;

use futures::FutureExt;
use tracing::{Instrument, info, info_span, warn};

use crate::db::apps::{self, App};
use crate::domain::access::{self, Action};
use crate::doors::{Exchange, GitRequest, GitService, GitStreams, GitWork, Refused, RefusedReason};
use crate::git::Repository;
use crate::git::upload::{self, Mode, UploadLimits};
use crate::platform::Platform;

/// Authorises a push or a fetch; the work then speaks git's protocol.
pub(crate) async fn open(platform: Platform, request: GitRequest) -> Result<GitWork, Refused> {
    let app = authorised(&platform, &request).await?;
    let repository = platform.repository(app.id).await.map_err(|error| {
        warn!("The repository of {} cannot be opened: {error:#}", app.name);
        unavailable()
    })?;
    let GitRequest { principal, service, address, .. } = &request;
    let span =
        info_span!("git", app = %app.name, service = service.as_str(), user = principal.name, %address);
    Ok(Box::new(move |streams| {
        async move {
            match request.service {
                GitService::Receive => receive_pack(platform, app, repository, request, streams).await,
                GitService::Upload => upload_pack(&repository, &request, streams).await,
            }
        }
        .instrument(span)
        .boxed()
    }))
}

async fn authorised(platform: &Platform, request: &GitRequest) -> Result<App, Refused> {
    let look = async {
        let mut conn = platform.pool.acquire().await?;
        let app = apps::named(&mut conn, request.app.as_str()).await?;
        let role = match &app {
            Some(app) => apps::role_of(&mut conn, app.id, request.principal.user).await?,
            None => None,
        };
        Ok::<_, sqlx::Error>((app, role))
    };
    let (app, role) = look.await.map_err(|error| {
        warn!("Could not look up the app: {error}");
        unavailable()
    })?;
    let action = match request.service {
        GitService::Receive => Action::Deploy,
        GitService::Upload => Action::Read,
    };
    let unknown = || Refused {
        reason: RefusedReason::NotFound,
        text: format!(
            "there is no app `{}`, or you have no access to it. `apps` lists yours; `apps:create {}` makes it",
            request.app, request.app
        ),
    };
    match access::authorise(&request.principal, role, action) {
        Ok(()) => app.ok_or_else(unknown),
        Err(access::Denied::Unknown) => Err(unknown()),
        Err(denied) => Err(Refused { reason: RefusedReason::Forbidden, text: denied.to_string() }),
    }
}

fn unavailable() -> Refused {
    Refused {
        reason: RefusedReason::Unavailable,
        text: "Slipway cannot open the repository at the moment: nothing was accepted; try again in a minute"
            .to_owned(),
    }
}

async fn upload_pack(repository: &Repository, request: &GitRequest, streams: GitStreams) -> u8 {
    let mode = match request.exchange {
        Exchange::Whole => Mode::Stateful,
        Exchange::Advertise => Mode::Advertise,
        Exchange::Rpc => Mode::Round,
    };
    let how = (mode, UploadLimits::default());
    match upload::serve(repository, streams.input, streams.output, request.protocol.as_deref(), how).await {
        Ok(()) => 0,
        Err(error) => {
            info!("The fetch ended early: {error}");
            1
        }
    }
}

async fn receive_pack(
    platform: Platform,
    app: App,
    repository: Repository,
    request: GitRequest,
    streams: GitStreams,
) -> u8 {
    let push = receive::Push { platform: Arc::new(platform), app, repository, principal: request.principal };
    match receive::serve(&push, request.exchange, streams).await {
        Ok(()) => 0,
        Err(error) => {
            info!("The push ended early: {error:#}");
            1
        }
    }
}
