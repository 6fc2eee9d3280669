//! A platform of the last release, with rows in every table, is brought up to date in place.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::testing::TestDatabase;
use super::{apps, batches, builds, formation, jobs, log_drains, people, pipelines, releases};

/// The newest migration of the last release, and rows of its schema.
const LAST_RELEASE: (i64, &str) = (8, include_str!("fixtures/rows_of_0008.sql"));

/// How many rows each table has.
async fn counts(conn: &mut PgConnection) -> BTreeMap<String, i64> {
    let tables = "SELECT table_name::text FROM information_schema.tables \
                  WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *conn).await.unwrap();
    let mut counts = BTreeMap::new();
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count = sqlx::query_scalar(count).fetch_one(&mut *conn).await.unwrap();
        counts.insert(table, count);
    }
    counts
}

#[tokio::test]
async fn the_last_release_is_upgraded_in_place_and_every_row_is_read() {
    let database = TestDatabase::of_migration(LAST_RELEASE.0).await;
    let mut conn = database.pool.acquire().await.unwrap();
    conn.execute(LAST_RELEASE.1).await.unwrap();
    let before = counts(&mut conn).await;
    let empty: Vec<_> = before.iter().filter(|(_, count)| **count == 0).collect();
    assert!(empty.is_empty(), "tables without a row to upgrade: {empty:?}");

    super::migrate(&database.pool).await.unwrap();
    let after = counts(&mut conn).await;
    for (table, count) in &before {
        assert_eq!(after.get(table), Some(count), "{table}");
    }

    let blog = apps::all(&mut conn).await.unwrap().pop().unwrap();
    assert_eq!(blog.name.as_str(), "blog");
    assert!(people::user_named(&mut conn, "ada").await.unwrap().is_some());
    let current = releases::current_of(&mut conn, blog.id).await.unwrap().unwrap();
    let pending = releases::newest_pending_of(&mut conn, blog.id).await.unwrap().unwrap();
    assert_eq!((current.version, pending.version), (1, 3));
    let building = builds::running_of(&mut conn, blog.id).await.unwrap().unwrap();
    assert_eq!(building.number, 2);
    let phases = batches::phases_of(&mut conn, pending.id).await.unwrap();
    assert_eq!(phases.len(), 1);
    let web = formation::entries(&mut conn, blog.id).await.unwrap();
    assert_eq!(web.len(), 1);
    assert!(formation::is_changing(&mut conn, blog.id).await.unwrap());
    assert!(pipelines::coupling_of(&mut conn, blog.id).await.unwrap().is_some());
    assert_eq!(log_drains::drains(&mut conn, Some(blog.id)).await.unwrap().len(), 1);
    let job = jobs::claim_next(&mut conn, "rollout", Uuid::now_v7(), Duration::from_secs(60)).await.unwrap();
    assert!(job.is_some(), "what was queued is taken up");
}
