//! The inbox: from a request's bytes to a committed row.

use axum::http::HeaderMap;
use secrecy::SecretString;
use tracing::{debug, info};

use super::payload::{self, Envelope, Malformed};
use super::secrets::{self, What};
use super::signature::{self, Forged};
use crate::crypto::CryptoError;
use crate::db::apps::App;
use crate::db::connections::{self, Connection};
use crate::db::deliveries::{self, NewDelivery, Taken, Verdict};
use crate::db::jobs;
use crate::domain::hook::Kind;
use crate::domain::ids::DeliveryId;
use crate::platform::Platform;

/// Why a delivery was not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error(transparent)]
    Forged(#[from] Forged),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// What the sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// Somebody answers, and the secret is right.
    Pong(DeliveryId),
    /// It is in the inbox.
    Taken(DeliveryId),
    /// It was there already, and is not worked on once more.
    Known(DeliveryId),
}

/// Verifies a delivery and commits its row, with the job that judges it.
pub(crate) async fn take(
    platform: &Platform,
    (app, connection): (&App, &Connection),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Receipt, NotTaken> {
    let provider = connection.provider;
    let secrets = secrets_of(platform, app, connection)?;
    if let Err(forged) = signature::verify(provider, headers, body, &secrets) {
        info!(app = %app.name, "Turned a delivery away: {forged}");
        connections::refused(&mut *platform.pool.acquire().await?, app.id, &forged.to_string()).await?;
        return Err(forged.into());
    }
    let envelope = Envelope::read(provider, headers);
    let told = match payload::read(provider, &envelope.event, body) {
        Ok(told) => told,
        Err(malformed) => {
            connections::refused(&mut *platform.pool.acquire().await?, app.id, &malformed.to_string())
                .await?;
            return Err(malformed.into());
        }
    };
    let Envelope { delivery, event } = &envelope;
    let new = NewDelivery { app_id: app.id, source: provider.as_str(), delivery, event, told: &told };
    store(platform, &new).await.map_err(NotTaken::Database)
}

/// One transaction: the row, and its job or its verdict.
pub(super) async fn store(platform: &Platform, new: &NewDelivery<'_>) -> sqlx::Result<Receipt> {
    let mut tx = platform.pool.begin().await?;
    let taken = deliveries::take(&mut tx, new).await?;
    let receipt = match taken {
        Taken::Known(id) => Receipt::Known(id),
        Taken::New(id) | Taken::Again(id) if new.told.kind == Kind::Ping => {
            deliveries::judge(&mut tx, id, &Verdict::Pong, None).await?;
            Receipt::Pong(id)
        }
        Taken::New(id) | Taken::Again(id) => {
            jobs::enqueue(&mut tx, super::job(new.app_id, id).as_new()).await?;
            Receipt::Taken(id)
        }
    };
    tx.commit().await?;
    debug!(delivery = new.delivery, "{receipt:?}");
    platform.queue.wake();
    Ok(receipt)
}

/// The secrets that count: the newest, and for a while the one before it.
fn secrets_of(
    platform: &Platform,
    app: &App,
    connection: &Connection,
) -> Result<Vec<SecretString>, CryptoError> {
    let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
    [Some(&connection.secret), connection.old_secret.as_ref()]
        .into_iter()
        .flatten()
        .map(|sealed| secrets::open(&key, app.id, What::Secret, sealed))
        .collect()
}
