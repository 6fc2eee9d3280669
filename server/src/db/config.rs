//! Values of config vars, sealed. A value never changes: setting a var adds a row with the next version.

use sqlx::PgConnection;

use crate::domain::ids::AppId;
use crate::domain::names::ConfigKey;

/// One value, still encrypted. Its associated data is the app, the name and the version.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) name: ConfigKey,
    pub(crate) version: i64,
    pub(crate) sealed: Vec<u8>,
}

/// The values that `config` (`{"NAME": version}`, an app's or a release's) points at, by name.
pub(crate) async fn values(
    conn: &mut PgConnection,
    app: AppId,
    config: &serde_json::Value,
) -> sqlx::Result<Vec<Sealed>> {
    let rows = sqlx::query!(
        r#"SELECT v.name, v.version, v.sealed
           FROM jsonb_each_text($2) AS wanted (name, version)
           JOIN config_values v ON v.app_id = $1 AND v.name = wanted.name AND v.version = wanted.version::bigint
           ORDER BY v.name"#,
        app.0,
        config,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let name = row.name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok(Sealed { name, version: row.version, sealed: row.sealed })
        })
        .collect()
}

/// The version that the next value of `name` gets. Ask under the app lock.
pub(crate) async fn next_version(conn: &mut PgConnection, app: AppId, name: &ConfigKey) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(max(version), 0) + 1 AS "next!" FROM config_values WHERE app_id = $1 AND name = $2"#,
        app.0,
        name.as_str(),
    )
    .fetch_one(conn)
    .await
}

/// Adds a value.
pub(crate) async fn add(conn: &mut PgConnection, app: AppId, value: &Sealed) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO config_values (app_id, name, version, sealed) VALUES ($1, $2, $3, $4)",
        app.0,
        value.name.as_str(),
        value.version,
        value.sealed,
    )
    .execute(conn)
    .await
    .map(drop)
}
