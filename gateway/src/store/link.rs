//! The recorder's own connection, by the database's own driver: through the driver for any database each text is copied
//! four times on its way, which was a tenth of the CPU of a busy gateway.

use std::sync::Arc;

use sqlx::any::AnyArguments;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{AnyConnection, Arguments, AssertSqlSafe, Connection, Encode, Executor, SqlStr, Type};
use tokio::sync::Mutex;

use super::{ACQUIRE, Kind, StoreError};

/// What a column takes.
#[derive(Clone, Debug)]
pub enum Value {
    Text(Option<Arc<str>>),
    Int(Option<i64>),
    Real(Option<f64>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Some(text.into()))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(Some(number))
    }
}

/// The end of a chain as it is stored: number, hash, next place.
pub type Last = (i64, String, i64);

/// Where statements that change something go, one after another, in a transaction that is already open.
pub trait Writes: Send {
    /// Rows affected.
    fn run(&mut self, text: SqlStr, values: Vec<Value>) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Changes one row and gives it back.
    fn last(&mut self, text: SqlStr, values: Vec<Value>) -> impl Future<Output = Result<Last, StoreError>> + Send;
}

impl Writes for AnyConnection {
    async fn run(&mut self, text: SqlStr, values: Vec<Value>) -> Result<u64, StoreError> {
        Ok(sqlx::query_with(text, any(values)?).execute(&mut *self).await?.rows_affected())
    }

    async fn last(&mut self, text: SqlStr, values: Vec<Value>) -> Result<Last, StoreError> {
        Ok(sqlx::query_as_with(text, any(values)?).fetch_one(&mut *self).await?)
    }
}

/// An open connection.
pub enum Native {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

impl Writes for Native {
    async fn run(&mut self, text: SqlStr, values: Vec<Value>) -> Result<u64, StoreError> {
        Ok(match self {
            Native::Sqlite(connection) => {
                let values: SqliteArguments = bound(values)?;
                sqlx::query_with(text, values).execute(&mut **connection).await?.rows_affected()
            }
            Native::Postgres(connection) => {
                let values: PgArguments = bound(values)?;
                sqlx::query_with(text, values).execute(&mut **connection).await?.rows_affected()
            }
        })
    }

    async fn last(&mut self, text: SqlStr, values: Vec<Value>) -> Result<Last, StoreError> {
        Ok(match self {
            Native::Sqlite(connection) => {
                let values: SqliteArguments = bound(values)?;
                sqlx::query_as_with(text, values).fetch_one(&mut **connection).await?
            }
            Native::Postgres(connection) => {
                let values: PgArguments = bound(values)?;
                sqlx::query_as_with(text, values).fetch_one(&mut **connection).await?
            }
        })
    }
}

impl Native {
    /// Opens a transaction; dropping the connection undoes it.
    pub async fn begin(&mut self) -> Result<(), StoreError> {
        self.say(match self {
            Native::Sqlite(_) => "BEGIN IMMEDIATE",
            Native::Postgres(_) => "BEGIN",
        })
        .await
    }

    pub async fn commit(&mut self) -> Result<(), StoreError> {
        self.say("COMMIT").await
    }

    pub async fn undo(&mut self) -> Result<(), StoreError> {
        self.say("ROLLBACK").await
    }

    async fn say(&mut self, text: &'static str) -> Result<(), StoreError> {
        match self {
            Native::Sqlite(connection) => connection.execute(text).await.map(drop)?,
            Native::Postgres(connection) => connection.execute(text).await.map(drop)?,
        }
        Ok(())
    }

    async fn close(self) -> Result<(), StoreError> {
        match self {
            Native::Sqlite(connection) => connection.close().await?,
            Native::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

fn bound<A: Arguments + Default>(values: Vec<Value>) -> Result<A, StoreError>
where
    Option<Arc<str>>: Encode<'static, A::Database> + Type<A::Database>,
    Option<i64>: Encode<'static, A::Database> + Type<A::Database>,
    Option<f64>: Encode<'static, A::Database> + Type<A::Database>,
{
    let mut arguments = A::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Text(text) => arguments.add(text),
            Value::Int(number) => arguments.add(number),
            Value::Real(number) => arguments.add(number),
        };
        added.map_err(|error| StoreError::Other(error.to_string()))?;
    }
    Ok(arguments)
}

fn any(values: Vec<Value>) -> Result<AnyArguments, StoreError> {
    let mut arguments = AnyArguments::default();
    for value in values {
        let added = match value {
            Value::Text(text) => arguments.add(text.map(|text| text.to_string())),
            Value::Int(number) => arguments.add(number),
            Value::Real(number) => arguments.add(number),
        };
        added.map_err(|error| StoreError::Other(error.to_string()))?;
    }
    Ok(arguments)
}

#[derive(Clone)]
enum Options {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

/// One connection, opened when it is first used and again after a failure.
pub struct Link {
    options: Options,
    /// What is said to a new connection of SQLite.
    pragmas: String,
    open: Mutex<Option<Native>>,
}

impl Link {
    /// # Errors
    /// A URL that the driver does not read.
    pub fn new(kind: Kind, url: &str, pragmas: String) -> Result<Link, sqlx::Error> {
        let options = match kind {
            Kind::Sqlite => Options::Sqlite(url.parse()?),
            Kind::Postgres => Options::Postgres(url.parse()?),
        };
        Ok(Link { options, pragmas, open: Mutex::default() })
    }

    async fn connect(&self) -> Result<Native, StoreError> {
        let opened = async {
            Ok::<_, sqlx::Error>(match &self.options {
                Options::Sqlite(options) => {
                    let mut connection = SqliteConnection::connect_with(options).await?;
                    connection.execute(AssertSqlSafe(self.pragmas.clone())).await?;
                    Native::Sqlite(Box::new(connection))
                }
                Options::Postgres(options) => Native::Postgres(Box::new(PgConnection::connect_with(options).await?)),
            })
        };
        match tokio::time::timeout(ACQUIRE, opened).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(StoreError::Unavailable("no answer".to_owned())),
        }
    }

    /// Does something on the connection, alone. After a failure, or when the future is dropped, it is closed, and with it
    /// whatever was not committed is undone.
    pub async fn with<T>(&self, work: impl AsyncFnOnce(&mut Native) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut place = self.open.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let done = work(&mut connection).await?;
        *place = Some(connection);
        Ok(done)
    }

    /// Closes it, once it is free.
    pub async fn close(&self) {
        if let Some(connection) = self.open.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "a connection to the database did not close well");
        }
    }
}
