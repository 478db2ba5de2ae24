//! The databases a behaviour is tested on.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Where PostgreSQL is, when it is; `make test` starts one.
pub const POSTGRES: &str = "GUICHET_TEST_POSTGRES_URL";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// One empty database.
pub struct TestDatabase {
    pub url: String,
}

impl TestDatabase {
    pub async fn new(backend: Backend, folder: &Path) -> TestDatabase {
        match backend {
            Backend::Sqlite => TestDatabase { url: format!("sqlite://{}", folder.join("guichet.db").display()) },
            Backend::Postgres => TestDatabase { url: fresh_postgres().await },
        }
    }
}

/// Creates a database of its own on the test server.
async fn fresh_postgres() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let server = std::env::var(POSTGRES).unwrap_or_else(|_| {
        panic!("{POSTGRES} is not set: run `make test`, or set it to the URL of a PostgreSQL server that tests may use")
    });
    let name = format!("guichet_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server).await.expect("the test PostgreSQL answers");
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a database is made");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}")
}

/// Makes of one behaviour, a function over a backend, one test for each backend.
#[macro_export]
macro_rules! on_each_database {
    ($($(#[$doc:meta])* $behaviour:ident),* $(,)?) => {
        mod sqlite {
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour($crate::database::Backend::Sqlite).await; })*
        }
        mod postgres {
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour($crate::database::Backend::Postgres).await; })*
        }
    };
}
