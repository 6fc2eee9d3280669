//! The doors and what stands behind them.

use std::sync::{Arc, Mutex};

use anyhow::Context;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use futures::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

use super::parts::Parts;
use crate::accept;
use crate::commands;
use crate::commands::client::Client;
use crate::commands::terminal::{Colours, Keys, Terminal};
use crate::db::credentials;
use crate::domain::access::Principal;
use crate::domain::token;
use crate::doors::{self, KeyProof, Lookup, Services, VerbRequest};
use crate::lifecycle::Lifecycle;
use crate::platform::Platform;
use crate::ssh;
use crate::telemetry::MetricsPage;
use crate::web::api::shapes::Doors;
use crate::web::auth::Gate;
use crate::web::caps::Caps;
use crate::web::certificate::Certificate;
use crate::web::git::{self, GitDoor};
use crate::web::tls::{Door, Peer, Security};
use crate::web::{Web, router, ui};

/// Opens both doors; they close with the lifecycle.
pub(super) async fn open(parts: &Parts, lifecycle: &Lifecycle, metrics: MetricsPage) -> anyhow::Result<()> {
    let platform = parts.platform.clone();
    let settings = Arc::clone(&platform.settings);
    let (ssh_host, ssh_port) = settings.ssh.public(&settings.http);
    let doors = Arc::new(Doors {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        http_url: settings.http.base_url(),
        app_url: platform
            .routes_apps()
            .then(|| settings.apps.url_of("{app}").trim_end_matches('/').to_owned()),
        ssh_host: ssh_host.clone(),
        ssh_port,
        ssh_user: "git".to_owned(),
        ssh_host_keys: vec![parts.host_key.authorized_line()],
    });
    let work = TaskTracker::new();
    let lookups = platform.clone();
    let services = services(platform.clone(), None);
    let gate = Gate::new(services, settings.http.trusted_proxies.clone());
    let web = Web { platform, doors, metrics: Some(metrics), gate: gate.clone() };
    let page = ui::router::page(web.clone());
    let api = router::api(web);
    let services = self::services(lookups, Some(api.clone()));
    let door =
        GitDoor { gate, services: services.clone(), settings: git::Settings::default(), tasks: work.clone() };
    let routes = git::routes(door).merge(page).merge(api).layer(from_fn(introduce));
    open_http(&settings, routes, lifecycle).await?;
    open_ssh(parts, services, lifecycle, work.clone()).await?;
    let soft = lifecycle.soft.clone();
    // Pushers who still watch belong to what is in hand.
    lifecycle.spawn("connections", async move {
        soft.cancelled().await;
        work.close();
        work.wait().await;
    });
    info!("Ready: {} and ssh://{ssh_host}:{ssh_port}", settings.http.base_url());
    Ok(())
}

async fn open_http(
    settings: &crate::config::ServeArgs,
    routes: Router,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let listen = settings.http.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("the HTTP door cannot listen on {listen}: choose another with SLIPWAY_HTTP_LISTEN")
    })?;
    let security = match settings.http.tls() {
        Some(files) => Security::Tls(Arc::new(Certificate::load(files)?)),
        None => Security::Plain,
    };
    let caps = Caps::new(settings.limits.connections_per_address, &settings.http.trusted_proxies);
    let door = Door::new(listener, security, caps);
    let soft = lifecycle.soft.clone();
    lifecycle.spawn_essential("http", async move {
        let service = routes.into_make_service_with_connect_info::<Peer>();
        let closed = soft.clone().cancelled_owned();
        if let Err(error) = axum::serve(door, service).with_graceful_shutdown(closed).await {
            warn!("The HTTP door ended: {error}");
        }
    });
    Ok(())
}

async fn open_ssh(
    parts: &Parts,
    services: Services,
    lifecycle: &Lifecycle,
    work: TaskTracker,
) -> anyhow::Result<()> {
    let settings = &parts.platform.settings;
    let listen = settings.ssh.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("the SSH door cannot listen on {listen}: choose another with SLIPWAY_SSH_LISTEN")
    })?;
    let limits = ssh::Settings {
        most_per_address: settings.limits.connections_per_address as usize,
        ..ssh::Settings::default()
    };
    info!("SSH host key {}", parts.host_key.fingerprint());
    let door = ssh::Door::new(limits, services, parts.host_key.clone());
    let stop = ssh::Stop { soft: lifecycle.soft.clone(), hard: lifecycle.hard.clone() };
    lifecycle.spawn_essential("ssh", door.serve(listener, stop, work));
    Ok(())
}

/// Puts the other end of the connection where handlers look for it.
async fn introduce(ConnectInfo(peer): ConnectInfo<Peer>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(peer);
    next.run(request).await
}

/// What the doors ask for. `api` serves the verbs; the gate before the API needs none.
pub(crate) fn services(platform: Platform, api: Option<Router>) -> Services {
    let (keys, tokens, git) = (platform.clone(), platform.clone(), platform);
    Services {
        authenticate_key: Arc::new(move |fingerprint, proof| {
            owner_of_key(keys.clone(), fingerprint, proof).boxed()
        }),
        authenticate_token: Arc::new(move |token| owner_of_token(tokens.clone(), token).boxed()),
        git: Arc::new(move |request| accept::open(git.clone(), request).boxed()),
        verb: Arc::new(move |request| verb(api.clone(), request).boxed()),
    }
}

async fn owner_of_key(platform: Platform, fingerprint: String, proof: KeyProof) -> Lookup {
    let look = async {
        let mut conn = platform.pool.acquire().await?;
        match proof {
            KeyProof::Offered => credentials::claimed_owner_of_key(&mut conn, &fingerprint).await,
            KeyProof::Verified => credentials::principal_by_key(&mut conn, &fingerprint).await,
        }
    };
    lookup(look.await)
}

async fn owner_of_token(platform: Platform, sent: SecretString) -> Lookup {
    let Some(hash) = token::hash(sent.expose_secret()) else { return Lookup::Unknown };
    let look = async {
        let mut conn = platform.pool.acquire().await?;
        credentials::principal_by_token(&mut conn, &hash).await
    };
    lookup(look.await)
}

fn lookup(found: sqlx::Result<Option<Principal>>) -> Lookup {
    match found {
        Ok(Some(principal)) => Lookup::Known(principal),
        Ok(None) => Lookup::Unknown,
        Err(error) => {
            warn!("Could not look up who somebody is: {error}");
            Lookup::Unavailable
        }
    }
}

/// A verb over SSH calls the API in this process.
async fn verb(api: Option<Router>, request: VerbRequest) -> u8 {
    let Some(api) = api else { return 1 };
    // Arguments can be secrets; the verb's name is none.
    let name = request.argv.first().map(String::as_str).unwrap_or_default();
    let span = info_span!("verb", name, user = request.principal.name, address = %request.address);
    let client = Client::InProcess { api, principal: request.principal };
    let colours = match request.terminal {
        doors::Terminal::None => Colours::Never,
        doors::Terminal::Columns(_) => Colours::Terminal,
    };
    let terminal = Terminal {
        input: Mutex::new(request.input),
        out: request.output,
        err: request.errors,
        colours,
        keys: Keys::Line(request.line),
    };
    commands::run_words(&request.argv, client, terminal).instrument(span).await
}
