//! A database of its own for each test, copied from a template that has the schema.

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Where tests find a PostgreSQL that they may make databases in.
#[derive(clap::Parser)]
struct Settings {
    #[arg(
        long,
        env = "SLIPWAY_TEST_DATABASE_URL",
        default_value = "postgres://postgres@127.0.0.1:5998/postgres"
    )]
    url: PgConnectOptions,
}

/// A fresh database; dropped when `Drop` runs.
pub(crate) struct TestDatabase {
    pub(crate) pool: PgPool,
    name: String,
}

/// Connections of one test.
const CONNECTIONS: u32 = 5;

static TEMPLATE: OnceCell<String> = OnceCell::const_new();

impl TestDatabase {
    pub(crate) async fn new() -> Self {
        let template = TEMPLATE.get_or_init(make_template).await;
        let name = format!("slipway_test_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect_with(&server()).await.expect("the tests' PostgreSQL answers");
        run(&mut admin, format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template}""#)).await;
        Self { pool: super::pool(server().database(&name), CONNECTIONS), name }
    }

    /// One whose schema is as an earlier release had it: up to the migration of this number.
    pub(crate) async fn of_migration(last: i64) -> Self {
        let name = format!("slipway_test_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect_with(&server()).await.expect("the tests' PostgreSQL answers");
        run(&mut admin, format!(r#"CREATE DATABASE "{name}" TEMPLATE template0"#)).await;
        let pool = super::pool(server().database(&name), CONNECTIONS);
        let all = sqlx::migrate!("../migrations");
        let earlier = all.iter().filter(|migration| migration.version <= last).cloned().collect();
        sqlx::migrate::Migrator::with_migrations(earlier).run(&pool).await.expect("the migrations run");
        Self { pool, name }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!(r#"DROP DATABASE IF EXISTS "{}" WITH (FORCE)"#, self.name);
        let dropping = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut admin = PgConnection::connect_with(&server()).await.expect("connects");
                run(&mut admin, statement).await;
            });
        });
        assert!(dropping.join().is_ok() || std::thread::panicking(), "the test's database stayed behind");
    }
}

fn server() -> PgConnectOptions {
    <Settings as clap::Parser>::parse_from(["tests"]).url
}

/// One template per schema: named after the migrations, made under a lock, and renamed when it is whole.
async fn make_template() -> String {
    let migrator = sqlx::migrate!("../migrations");
    let mut schema = Sha256::new();
    migrator.iter().for_each(|migration| schema.update(&migration.checksum));
    let name = format!("slipway_template_{}", &hex::encode(schema.finalize())[..16]);
    let mut admin = PgConnection::connect_with(&server()).await.expect("the tests' PostgreSQL answers");
    run(&mut admin, "SELECT pg_advisory_lock(7151)".to_owned()).await;
    let there = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(&name);
    if there.fetch_optional(&mut admin).await.expect("the query runs").is_none() {
        let draft = format!("{name}_draft");
        run(&mut admin, format!(r#"DROP DATABASE IF EXISTS "{draft}" WITH (FORCE)"#)).await;
        run(&mut admin, format!(r#"CREATE DATABASE "{draft}""#)).await;
        let pool = super::pool(server().database(&draft), 1);
        super::migrate(&pool).await.expect("the migrations run");
        pool.close().await;
        run(&mut admin, format!(r#"ALTER DATABASE "{draft}" RENAME TO "{name}""#)).await;
    }
    name
}

async fn run(conn: &mut PgConnection, statement: String) {
    conn.execute(sqlx::query(sqlx::AssertSqlSafe(statement))).await.expect("the statement runs");
}
