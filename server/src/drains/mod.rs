//! Log drains: each app's log, sent on as it grows.
//!
//! Invariant: a drain never holds up a process, nor another drain. It reads the app's log, which is bounded, from a
//! position of its own; what it could not deliver before the oldest lines went is counted, and the count is told in the
//! log. Delivered is what the other end has taken: after a fault some lines may come twice, none is left out silently.

mod address;
mod deliver;
mod frame;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) use address::{Address, Reach};

use crate::crypto::{self, CryptoError, Label};
use crate::db::apps::App;
use crate::db::log_drains::{self, Drain};
use crate::domain::ids::{AppId, DrainId};
use crate::domain::names::ConfigKey;
use crate::platform::Platform;

/// How often drains are looked for without anybody saying that there are new ones.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// For what is being delivered when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Says that drains were added or removed.
pub(crate) type Changed = Arc<Notify>;

/// Delivers until `soft`.
pub(crate) async fn run(platform: Platform, soft: CancellationToken) {
    let mut running: HashMap<DrainId, CancellationToken> = HashMap::new();
    let mut tasks = JoinSet::new();
    while !soft.is_cancelled() {
        match all(&platform).await {
            Ok(drains) => {
                running.retain(|id, stop| {
                    let stays = drains.iter().any(|drain| drain.id == *id);
                    if !stays {
                        stop.cancel();
                    }
                    stays
                });
                for drain in drains {
                    running.entry(drain.id).or_insert_with(|| {
                        let stop = soft.child_token();
                        tasks.spawn(start(platform.clone(), drain, stop.clone()));
                        stop
                    });
                }
            }
            Err(error) => warn!("Could not look for log drains: {error}"),
        }
        tokio::select! {
            () = soft.cancelled() => {}
            () = platform.drains.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        while tasks.try_join_next().is_some() {}
    }
    drop(tokio::time::timeout(LAST_WORDS, async { while tasks.join_next().await.is_some() {} }).await);
}

async fn all(platform: &Platform) -> sqlx::Result<Vec<Drain>> {
    log_drains::drains(&mut *platform.pool.acquire().await?, None).await
}

async fn start(platform: Platform, drain: Drain, stop: CancellationToken) {
    match address_of(&platform, &drain) {
        Ok(address) => deliver::deliver(platform, drain, address, stop).await,
        Err(error) => warn!(app = %drain.app, "A log drain cannot be opened: {error}"),
    }
}

/// The address of a drain, opened.
pub(crate) fn address_of(platform: &Platform, drain: &Drain) -> Result<Address, CryptoError> {
    let key = platform.keys.unwrap(drain.app_id, &drain.wrapped_key)?;
    let name = name_of(drain.id);
    let opened = crypto::open(&key, label(drain.app_id, &name), &drain.sealed)?;
    Address::parse(opened.expose_secret()).map_err(|_| CryptoError::Tampered)
}

/// An address for the database.
pub(crate) fn seal(
    platform: &Platform,
    app: &App,
    id: DrainId,
    address: &Address,
) -> Result<Vec<u8>, CryptoError> {
    let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
    Ok(crypto::seal(&key, label(app.id, &name_of(id)), &address.text().to_owned().into()))
}

/// Config vars have versions from 1 on, so that no value of one opens as an address.
const SEALED_AS: i64 = 0;

fn label(app: AppId, name: &ConfigKey) -> Label<'_> {
    Label { app, name, version: SEALED_AS }
}

fn name_of(id: DrainId) -> ConfigKey {
    format!("LOG_DRAIN_{}", id.0.simple()).parse().expect("invariant: hex digits make a name")
}

/// How Heroku's logs call a drain: `d.<id>`.
pub(crate) fn token(id: DrainId) -> String {
    format!("d.{id}")
}
