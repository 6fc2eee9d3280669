//! The formation of an app, and what people asked of its processes.

use sqlx::PgConnection;
use sqlx::types::Json;

use super::app_lock::LockedApp;
use super::jobs::Fenced;
use crate::domain::formation::{Autoscale, ChangeStatus, Formation, Scaling, Wish};
use crate::domain::ids::{AppId, ChangeId};
use crate::domain::names::ProcessType;

/// What is stored of one process type, with its times.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) process_type: ProcessType,
    pub(crate) scaling: Scaling,
    pub(crate) created_at: jiff::Timestamp,
    pub(crate) updated_at: jiff::Timestamp,
}

struct Row {
    process_type: String,
    quantity: i32,
    size: Option<String>,
    autoscale: Option<Json<Autoscale>>,
    asked: i64,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
}

impl TryFrom<Row> for Entry {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            process_type: row.process_type.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            scaling: Scaling {
                quantity: u32::try_from(row.quantity).unwrap_or(0),
                size: row.size,
                autoscale: row.autoscale.map(|json| json.0),
                asked: row.asked,
            },
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        })
    }
}

/// Every type that has been released once, by name.
pub(crate) async fn entries(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT process_type, quantity, size, autoscale AS "autoscale: Json<Autoscale>", asked,
               created_at AS "created_at: jiff_sqlx::Timestamp", updated_at AS "updated_at: jiff_sqlx::Timestamp"
           FROM formation WHERE app_id = $1 ORDER BY process_type"#,
        app.0,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Entry::try_from).collect()
}

/// The formation as it is in force.
pub(crate) async fn of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Formation> {
    let entries = entries(conn, app).await?;
    Ok(entries.into_iter().map(|entry| (entry.process_type, entry.scaling)).collect())
}

/// Takes the types of a release in, each as it is at first; those that were not known before.
pub(crate) async fn introduce<'a>(
    conn: &mut PgConnection,
    app: &LockedApp,
    types: impl IntoIterator<Item = &'a ProcessType>,
) -> sqlx::Result<Vec<ProcessType>> {
    let mut new = Vec::new();
    for name in types {
        let inserted = sqlx::query!(
            "INSERT INTO formation (app_id, process_type, quantity) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            app.id.0,
            name.as_str(),
            signed(Scaling::at_first(name).quantity),
        )
        .execute(&mut *conn)
        .await?;
        if inserted.rows_affected() == 1 {
            new.push(name.clone());
        }
    }
    Ok(new)
}

/// Puts a formation in the place of the one before.
pub(crate) async fn store(
    conn: &mut PgConnection,
    app: &LockedApp,
    formation: &Formation,
) -> sqlx::Result<()> {
    for (name, scaling) in formation {
        sqlx::query!(
            "INSERT INTO formation (app_id, process_type, quantity, size, autoscale, asked)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (app_id, process_type) DO UPDATE
             SET quantity = $3, size = $4, autoscale = $5, asked = $6, updated_at = now()
             WHERE (formation.quantity, formation.size, formation.autoscale, formation.asked)
                 IS DISTINCT FROM ($3, $4, $5, $6)",
            app.id.0,
            name.as_str(),
            signed(scaling.quantity),
            scaling.size,
            scaling.autoscale.as_ref().map(Json) as Option<Json<&Autoscale>>,
            scaling.asked,
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// What somebody asked, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: ChangeId,
    pub(crate) app_id: AppId,
    pub(crate) status: ChangeStatus,
    pub(crate) wish: Wish,
    pub(crate) actor_name: String,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: jiff::Timestamp,
    pub(crate) finished_at: Option<jiff::Timestamp>,
}

/// Adds a wish that is still to be done.
pub(crate) async fn add_change(
    conn: &mut PgConnection,
    app: AppId,
    wish: &Wish,
    actor_name: &str,
) -> sqlx::Result<ChangeId> {
    let id = ChangeId::new();
    sqlx::query!(
        "INSERT INTO formation_changes (id, app_id, wish, actor_name) VALUES ($1, $2, $3, $4)",
        id.0,
        app.0,
        Json(wish) as Json<&Wish>,
        actor_name,
    )
    .execute(conn)
    .await?;
    Ok(id)
}

pub(crate) async fn change(conn: &mut PgConnection, id: ChangeId) -> sqlx::Result<Option<Change>> {
    let row = sqlx::query!(
        r#"SELECT app_id AS "app_id: AppId", status AS "status: ChangeStatus", wish AS "wish: Json<Wish>", actor_name,
               reason, created_at AS "created_at: jiff_sqlx::Timestamp",
               finished_at AS "finished_at: jiff_sqlx::Timestamp"
           FROM formation_changes WHERE id = $1"#,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Change {
        id,
        app_id: row.app_id,
        status: row.status,
        wish: row.wish.0,
        actor_name: row.actor_name,
        reason: row.reason,
        created_at: row.created_at.to_jiff(),
        finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
    }))
}

/// Ends a pending change; `Lost` if it has ended already.
pub(crate) async fn end_change(
    conn: &mut PgConnection,
    id: ChangeId,
    status: ChangeStatus,
    reason: Option<&str>,
) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE formation_changes SET status = $2, reason = $3, finished_at = now()
         WHERE id = $1 AND status = 'pending'",
        id.0,
        status.as_str(),
        reason,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Whether something that was asked of the app's processes is not done yet.
pub(crate) async fn is_changing(conn: &mut PgConnection, app: AppId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM formation_changes WHERE app_id = $1 AND status = 'pending') AS "changing!""#,
        app.0,
    )
    .fetch_one(conn)
    .await
}

/// The column is signed, and holds no more than a thousand.
fn signed(quantity: u32) -> i32 {
    i32::try_from(quantity).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::TestDatabase;
    use crate::db::{app_lock, people};
    use crate::domain::names::TeamName;

    fn name(text: &str) -> ProcessType {
        text.parse().expect("a process type")
    }

    async fn app(conn: &mut PgConnection) -> LockedApp {
        let team =
            people::create_team(conn, &TeamName::default_team()).await.expect("inserts").expect("is new");
        let app = crate::db::apps::NewApp {
            id: AppId::new(),
            name: &"blog".parse().expect("a name"),
            team,
            wrapped_key: &[],
        };
        assert!(crate::db::apps::create(conn, &app).await.expect("inserts"));
        app_lock::lock(conn, app.id).await.expect("locks").expect("is there")
    }

    #[tokio::test]
    async fn a_type_is_taken_in_once_and_keeps_what_was_asked_for() {
        let database = TestDatabase::new().await;
        let conn = &mut *database.pool.acquire().await.expect("connects");
        let app = app(conn).await;
        let types = [name("web"), name("worker")];
        assert_eq!(introduce(conn, &app, &types).await.expect("inserts"), types);
        let mut formation = of(conn, app.id).await.expect("answers");
        assert_eq!((formation[&types[0]].quantity, formation[&types[1]].quantity), (1, 0));
        let autoscale = Some(Autoscale { min: 1, max: 3, cpu: 50 });
        let web = Scaling { quantity: 4, size: Some("large".to_owned()), autoscale, asked: 9 };
        formation.insert(name("web"), web);
        store(conn, &app, &formation).await.expect("stores");
        assert_eq!(introduce(conn, &app, &types).await.expect("inserts"), []);
        assert_eq!(of(conn, app.id).await.expect("answers"), formation);
    }

    #[tokio::test]
    async fn a_change_ends_once() {
        let database = TestDatabase::new().await;
        let conn = &mut *database.pool.acquire().await.expect("connects");
        let app = app(conn).await.id;
        let wish = Wish::Restart(crate::domain::formation::Which::All);
        let id = add_change(conn, app, &wish, "ada").await.expect("inserts");
        assert!(is_changing(conn, app).await.expect("answers"));
        let ended = end_change(conn, id, ChangeStatus::Failed, Some("crashed")).await.expect("updates");
        assert_eq!(ended, Fenced::Done);
        let late = end_change(conn, id, ChangeStatus::Succeeded, None).await.expect("updates");
        assert_eq!(late, Fenced::Lost);
        let change = change(conn, id).await.expect("answers").expect("is there");
        assert_eq!(
            (change.status, change.reason.as_deref(), change.wish),
            (ChangeStatus::Failed, Some("crashed"), wish)
        );
        assert!(!is_changing(conn, app).await.expect("answers"));
    }
}
