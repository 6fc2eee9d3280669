//! The parts that the platform stands on, as they are now, for admins.

use std::future::Future;
use std::time::{Duration, Instant};

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytesize::ByteSize;
use tokio::time::timeout;

use super::admission::Visitor;
use super::page::{Failure, Frame, Here, show};
use super::text::When;
use crate::db::activity;
use crate::local::disk;
use crate::platform::Platform;
use crate::target::Target;

/// A part that takes longer than this to answer counts as not answering.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Template)]
#[template(path = "system.html")]
struct Page {
    frame: Frame,
    version: &'static str,
    parts: Vec<Part>,
    queue: Option<Queue>,
}

/// One thing that the platform needs.
struct Part {
    name: &'static str,
    /// `good` or `bad`, and the word for it.
    look: &'static str,
    state: &'static str,
    what: String,
    latency: Option<String>,
}

struct Queue {
    queued: i64,
    running: i64,
    dead: i64,
    oldest: Option<Oldest>,
}

struct Oldest {
    app: String,
    build: i64,
    since: When,
}

pub(super) async fn page(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, Failure> {
    let (database, engine, registry, target) =
        tokio::join!(database(&platform), engine(&platform), registry(&platform), target(&platform));
    let parts = vec![database, engine, registry, target, room(&platform)];
    show(&Page {
        frame: Frame::new(&visitor, Here::System, "System"),
        version: env!("CARGO_PKG_VERSION"),
        parts,
        queue: queue(&platform).await.ok(),
    })
}

async fn database(platform: &Platform) -> Part {
    let asked = async {
        let version = activity::server_version(&mut *platform.pool.acquire().await?).await?;
        anyhow::Ok(format!("PostgreSQL {version}"))
    };
    measured("Database", asked).await
}

async fn engine(platform: &Platform) -> Part {
    measured("Engine", async { Ok(platform.engine.info().await?.to_string()) }).await
}

async fn registry(platform: &Platform) -> Part {
    let asked = async {
        platform.registry.ping().await?;
        Ok(platform.registry.address().to_owned())
    };
    measured("Registry", asked).await
}

async fn target(platform: &Platform) -> Part {
    match &*platform.target {
        Target::Kubernetes(cluster) => {
            let asked = async {
                let health = cluster.health().await?;
                let missing = health.missing.join("; ");
                anyhow::ensure!(missing.is_empty(), "rights are missing in the cluster: {missing}");
                Ok(format!("Kubernetes {} at {}", health.version, cluster.apiserver()))
            };
            measured("Cluster", asked).await
        }
        Target::Docker(target) => {
            let asked = async {
                target.health().await?;
                Ok(format!("listens on {}", platform.settings.apps.listen))
            };
            measured("Apps' router", asked).await
        }
    }
}

fn room(platform: &Platform) -> Part {
    let folder = platform.data_dir();
    let (look, state, what) = match disk::check(folder, platform.settings.limits.watermark()) {
        Ok(free) => {
            let size = disk::space(folder).map_or(0, |space| space.size);
            let size = ByteSize(size).display().iec();
            ("good", "enough room", format!("{} of {size} free", ByteSize(free).display().iec()))
        }
        Err(error) => ("bad", "pushes are refused", error.to_string()),
    };
    Part { name: "Disk", look, state, what, latency: None }
}

async fn measured(name: &'static str, asked: impl Future<Output = anyhow::Result<String>>) -> Part {
    let began = Instant::now();
    let (look, state, what) = match timeout(PATIENCE, asked).await {
        Ok(Ok(what)) => ("good", "answers", what),
        Ok(Err(error)) => ("bad", "in trouble", format!("{error:#}")),
        Err(_) => ("bad", "does not answer", format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let latency = (look == "good").then(|| format!("{:.1} ms", began.elapsed().as_secs_f64() * 1000.0));
    Part { name, look, state, what, latency }
}

async fn queue(platform: &Platform) -> sqlx::Result<Queue> {
    let mut conn = platform.pool.acquire().await?;
    let work = activity::work(&mut conn).await?;
    let oldest = activity::oldest_waiting_build(&mut conn).await?;
    Ok(Queue {
        queued: work.queued,
        running: work.running,
        dead: work.dead,
        oldest: oldest.map(|build| Oldest {
            app: build.app,
            build: build.number,
            since: When::new(build.since),
        }),
    })
}
