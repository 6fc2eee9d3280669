//! The parts of the platform: private ones unless a setting names others.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, PgPool};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::{self, ServeArgs};
use crate::crypto::KeyFile;
use crate::db;
use crate::docker::{Engine, EngineError};
use crate::journal::Journals;
use crate::lifecycle::Lifecycle;
use crate::local::postgres::PrivatePostgres;
use crate::local::registry::PrivateRegistry;
use crate::local::router;
use crate::local::state::{DataDir, Layout};
use crate::platform::Platform;
use crate::queue::Queue;
use crate::registry::{Registry, Scheme};
use crate::ssh::HostKey;
use crate::target::docker::DockerTarget;
use crate::target::kubernetes::{Access, Credentials, KubernetesTarget, Patience};
use crate::target::{Target, docker};

/// Between two tries to reach a database or an engine that is away at start.
const PAUSE: Duration = Duration::from_secs(2);
/// How long old processes may go on draining when the server ends; reconciling ends them on the next start.
const DRAIN_AT_END: Duration = Duration::from_secs(5);

/// Everything that was started.
pub(super) struct Parts {
    pub(super) platform: Platform,
    pub(super) host_key: HostKey,
    data: DataDir,
    /// Holds the database's lock that says that this is its only server.
    _only: PgConnection,
    draining: TaskTracker,
    postgres: Option<PrivatePostgres>,
    registry: Option<PrivateRegistry>,
}

impl Parts {
    /// Starts what no setting replaces, and connects to the rest.
    pub(super) async fn start(args: ServeArgs, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let mut data = DataDir::open(Layout::new(args.data.dir()?))?;
        let postgres = match args.database.url()? {
            Some(_) => None,
            None => Some(PrivatePostgres::start(&data, args.database.connections).await?),
        };
        let pool = connect(&args, postgres.as_ref(), lifecycle).await?;
        let only = db::be_the_only_server(&pool).await?;
        let engine = engine(&args.docker.host, lifecycle).await?;
        // Of an engine that is away, connecting has warned.
        if let Ok(found) = engine.info().await {
            info!("{found}");
            sweep(&engine, data.platform().as_str()).await;
        }
        let registry = match args.registry.push {
            Some(_) => None,
            None => Some(PrivateRegistry::start(&mut data, &args.docker.host).await?),
        };
        let addresses = Addresses::of(&args, registry.as_ref())?;
        let scheme = if args.registry.plain_http { Scheme::Http } else { Scheme::Https };
        let login = args.registry.login(&addresses.push)?;
        let images = Registry::new(&addresses.push, &addresses.pull, login, scheme);
        let pull_login = args.registry.login(&addresses.pull)?;
        let draining = TaskTracker::new();
        let router = match args.kubernetes.target() {
            config::Target::Docker => Some(router_of(&args, &data).await?),
            config::Target::Kubernetes => None,
        };
        let target = match &router {
            Some(router) => {
                let version = router.ensure().await?;
                info!("The apps' router {} answers on {}", version.version, version.address);
                let settings = docker::Settings::new(data.platform().as_str(), args.rollout.drain);
                let control = router.control.clone();
                Target::Docker(DockerTarget::new(engine.api().clone(), control, settings, draining.clone()))
            }
            None => {
                let cluster = cluster(&args).await?;
                addresses.check_for(&args, &cluster)?;
                Target::Kubernetes(cluster)
            }
        };
        let key_file = args.data.key_file.clone().unwrap_or_else(|| data.layout().key_file());
        let platform = Platform {
            id: data.platform().as_str().into(),
            pool: pool.clone(),
            keys: Arc::new(KeyFile::open_or_create(&key_file)?),
            repositories: data.layout().repositories(),
            engine,
            registry: images,
            pull_login,
            target: Arc::new(target),
            router: router.map(Arc::new),
            queue: Queue::new(pool),
            logs: Default::default(),
            journals: Journals::new(data.layout().journals(), args.limits.journal()),
            drains: Default::default(),
            cancels: Default::default(),
            rollouts: Default::default(),
            runs: Default::default(),
            attendants: Default::default(),
            clock: Default::default(),
            phase_cancels: Default::default(),
            github_app: Default::default(),
            settings: Arc::new(args),
        };
        let host_key = HostKey::load_or_create(&data.layout().ssh_host_key())?;
        Ok(Self { platform, host_key, data, _only: only, draining, postgres, registry })
    }

    /// Ends what was started, the database last.
    pub(super) async fn stop(self) {
        self.draining.close();
        if tokio::time::timeout(DRAIN_AT_END, self.draining.wait()).await.is_err() {
            info!("Old processes are still draining; the next start ends them");
        }
        self.platform.pool.close().await;
        if let Some(registry) = self.registry {
            registry.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
        drop(self.data);
    }
}

/// Where images are pushed to and pulled from.
struct Addresses {
    push: String,
    pull: String,
}

impl Addresses {
    fn of(args: &ServeArgs, private: Option<&PrivateRegistry>) -> anyhow::Result<Self> {
        let push = match (&args.registry.push, private) {
            (Some(address), _) => address.clone(),
            (None, Some(private)) => private.address(),
            (None, None) => bail!("invariant: a registry is set or private"),
        };
        // An address that was given is the operator's word; only the default is judged below.
        let pull = args.registry.pull.clone().unwrap_or_else(|| push.clone());
        Ok(Self { push, pull })
    }

    /// Nodes of another machine cannot pull from our loopback.
    fn check_for(&self, args: &ServeArgs, cluster: &KubernetesTarget) -> anyhow::Result<()> {
        let apiserver = cluster.apiserver().parse().context("the kubeconfig's address of the cluster")?;
        match config::check_pull_address(&self.pull, &apiserver) {
            Err(error) if args.registry.pull.is_none() => Err(error.into()),
            Err(_) => {
                warn!("Every node has to reach a registry at {} (SLIPWAY_REGISTRY_PULL)", self.pull);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// A pool whose schema is up to date. A database that is away is waited for: it may be starting too.
async fn connect(
    args: &ServeArgs,
    private: Option<&PrivatePostgres>,
    lifecycle: &Lifecycle,
) -> anyhow::Result<PgPool> {
    let options = match (args.database.url()?, private) {
        (Some(url), _) => {
            PgConnectOptions::from_str(url.expose_secret()).context("DATABASE_URL is no PostgreSQL URL")?
        }
        (None, Some(private)) => private.options(),
        (None, None) => bail!("invariant: a database is set or private"),
    };
    let pool = db::pool(options, args.database.connections);
    loop {
        match db::migrate(&pool).await {
            Ok(()) => return Ok(pool),
            Err(MigrateError::Execute(error)) if db::is_away(&error) => {
                warn!("The database does not answer, waiting for it: {error}");
            }
            Err(error) => return Err(error).context("bringing the database's schema up to date"),
        }
        tokio::select! {
            () = lifecycle.soft.cancelled() => bail!("stopped while waiting for the database"),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// The engine; its socket is waited for: it may be starting too.
async fn engine(host: &str, lifecycle: &Lifecycle) -> anyhow::Result<Engine> {
    loop {
        match Engine::connect(host).await {
            Err(error @ EngineError::Unreachable { .. }) => warn!("Waiting for the engine: {error}"),
            done => return Ok(done?),
        }
        tokio::select! {
            () = lifecycle.soft.cancelled() => bail!("stopped while waiting for the Docker engine"),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Removes what builds of a server that was killed left in the engine.
async fn sweep(engine: &Engine, platform: &str) {
    match engine.sweep_lifecycles(platform).await {
        Ok(0) => {}
        Ok(left) => info!("Removed {left} containers and volumes of builds that were cut off"),
        Err(error) => warn!("The engine could not be searched for what builds have left: {error}"),
    }
}

async fn cluster(args: &ServeArgs) -> anyhow::Result<KubernetesTarget> {
    let settings = &args.kubernetes;
    let context = settings.context.clone();
    let credentials = match (&settings.kubeconfig, settings.in_cluster) {
        (_, true) => Credentials::InCluster,
        (Some(path), false) => Credentials::Kubeconfig { path: path.clone(), context },
        (None, false) => Credentials::Kubeconfig { path: default_kubeconfig(), context },
    };
    let access = Access {
        credentials,
        namespace: Some(settings.namespace.clone()),
        platform: "slipway".to_owned(),
        patience: Patience { total: args.rollout.deadline, ..Patience::default() },
    };
    Ok(KubernetesTarget::connect(access).await?)
}

/// Where kubectl looks too.
fn default_kubeconfig() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join(".kube/config")
}

/// How the apps' router is started, and started again should it die: it outlives this process.
async fn router_of(args: &ServeArgs, data: &DataDir) -> anyhow::Result<router::Keeper> {
    let folder = data.layout().router();
    tokio::fs::create_dir_all(&folder).await.context("making the router's folder")?;
    let socket = folder.join("control.sock");
    let mut settings = router::Settings::new(args.apps.listen, socket.clone(), folder.join("routes.json"));
    settings.domains = vec![args.apps.domain.clone()];
    settings.trusted_proxies = args.http.trusted_proxies.clone();
    let log = data.layout().log_of("router");
    Ok(router::Keeper {
        control: router::Control::new(socket),
        program: router::Program::this()?,
        settings,
        log,
    })
}
